// Files and folders dropped onto the page, as the shell's `put` takes them. Folders are walked lazily: nothing is
// read before it is stored.
import { OsError } from '../base/errors.ts'
import type { HostFile } from '../shell/host.ts'
import { hostFile } from './host.ts'
import { MAX_DROPPED_FILES } from './limits.ts'

/** Calls `onDrop` with what was dropped; marks the page with the class `dropping` meanwhile. */
export function acceptDrops(onDrop: (files: AsyncIterable<HostFile>) => void): void {
  const root = document.documentElement
  let depth = 0
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false
  addEventListener('dragenter', (event) => {
    if (!hasFiles(event)) return
    depth++
    root.classList.add('dropping')
  })
  addEventListener('dragleave', () => {
    depth = Math.max(0, depth - 1)
    if (depth === 0) root.classList.remove('dropping')
  })
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return
    event.preventDefault() // allow the drop
    if (event.dataTransfer) event.dataTransfer.dropEffect = 'copy'
  })
  addEventListener('drop', (event) => {
    depth = 0
    root.classList.remove('dropping')
    if (!event.dataTransfer || !hasFiles(event)) return
    event.preventDefault() // or the browser would leave the page for the file
    onDrop(droppedFiles(event.dataTransfer))
  })
}

/** Takes hold of the entries at once: after the event they are gone. */
function droppedFiles(transfer: DataTransfer): AsyncIterable<HostFile> {
  const files = [...transfer.files]
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? null).filter((entry) => entry !== null)
  return entries.length > 0 ? walkAll(entries) : plain(files)
}

async function* plain(files: readonly File[]): AsyncGenerator<HostFile> {
  for (const file of files) yield hostFile(file, file.name)
}

async function* walkAll(entries: readonly FileSystemEntry[]): AsyncGenerator<HostFile> {
  const waiting = [...entries]
  let count = 0
  for (let entry = waiting.shift(); entry; entry = waiting.shift()) {
    if (isDirectory(entry)) waiting.unshift(...(await children(entry)))
    else if (isFile(entry)) {
      if (++count > MAX_DROPPED_FILES) throw new OsError('EFBIG', `more than ${MAX_DROPPED_FILES} files were dropped`)
      yield hostFile(await fileOf(entry), entry.fullPath.replace(/^\//, ''))
    }
  }
}

/** Chromium does not expose the interfaces of entries to scripts. */
function isDirectory(entry: FileSystemEntry): entry is FileSystemDirectoryEntry {
  return entry.isDirectory
}

function isFile(entry: FileSystemEntry): entry is FileSystemFileEntry {
  return entry.isFile
}

/** The browser hands out a directory in portions; an empty one is the end. */
async function children(directory: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = directory.createReader()
  const all: FileSystemEntry[] = []
  for (;;) {
    const portion = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, (error) => reject(unreadable(directory, error))),
    )
    if (portion.length === 0) return all.sort((a, b) => (a.name < b.name ? -1 : 1))
    all.push(...portion)
  }
}

function fileOf(entry: FileSystemFileEntry): Promise<File> {
  return new Promise((resolve, reject) => entry.file(resolve, (error) => reject(unreadable(entry, error))))
}

function unreadable(entry: FileSystemEntry, cause: DOMException): OsError {
  return new OsError('EIO', `the browser cannot read ${entry.fullPath}: ${cause.message}`, { cause })
}
