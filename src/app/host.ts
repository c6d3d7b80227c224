// What the shell may use of a page: time, file picker, downloads, tabs. A page with a terminal adds its own parts
// (screen.ts).
import { OsError } from '../base/errors.ts'
import type { HostFile, ShellHost } from '../shell/host.ts'
import { TRANSFER_BYTES } from '../shell/limits.ts'
import { DOWNLOAD_URL_MS } from './limits.ts'

export function pageHost(): ShellHost {
  return {
    now: () => Date.now(),
    sleep,
    pickFiles,
    download,
    openLink: (url) => open(url, '_blank') !== null,
  }
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(done, ms)
    function done() {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }
    function onAbort() {
      clearTimeout(timer)
      reject(new OsError('ECANCELED', 'cancelled'))
    }
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** A browser's file as the shell reads it: never more than one piece in memory. */
export function hostFile(file: File, path: string): HostFile {
  return {
    path,
    size: file.size,
    async *read() {
      for (let at = 0; at < file.size; at += TRANSFER_BYTES) {
        try {
          yield new Uint8Array(await file.slice(at, at + TRANSFER_BYTES).arrayBuffer())
        } catch (error) {
          throw new OsError('EIO', 'the browser can no longer read this file; was it changed or removed?', {
            cause: error,
          })
        }
      }
    },
  }
}

function pickFiles(signal: AbortSignal, { folder } = { folder: false }): Promise<HostFile[]> {
  if (navigator.userActivation?.isActive === false) {
    const reason = 'the browser opens its file picker only right after a key or a click'
    return Promise.reject(new OsError('EPERM', reason))
  }
  const input = document.createElement('input')
  input.type = 'file'
  input.multiple = true
  input.webkitdirectory = folder
  return new Promise((resolve) => {
    input.addEventListener('change', () =>
      resolve([...(input.files ?? [])].map((file) => hostFile(file, file.webkitRelativePath || file.name))),
    )
    input.addEventListener('cancel', () => resolve([]))
    signal.addEventListener('abort', () => resolve([]), { once: true })
    input.click()
  })
}

/**
 * Pieces become Blobs as they come: the browser keeps those on disk, not in this page's memory.
 * @throws {OsError} EIO when it has no room for all of them.
 */
export async function download(name: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  const parts: Blob[] = []
  for await (const piece of content) {
    const part = new Blob([piece.slice()])
    await kept(part)
    parts.push(part)
  }
  const url = URL.createObjectURL(new Blob(parts, { type: 'application/octet-stream' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), DOWNLOAD_URL_MS)
}

/** A Blob for which the browser has no room is made nevertheless, and the download with it fails where nobody sees it. */
async function kept(part: Blob): Promise<void> {
  try {
    await part.slice(0, 1).arrayBuffer()
  } catch (error) {
    throw new OsError('EIO', 'the browser has no room for so large a download', { cause: error })
  }
}
