// Redirections of one command: opens their files, rearranges the three streams, and commits files at the end.
import type { Redirect } from 'unbash'
import { OsError } from '../base/errors.ts'
import { type Expander, expandWord } from './expand.ts'
import { reason } from './messages.ts'
import { namedPath } from './paths.ts'
import type { ShellParts, Streams } from './program.ts'
import { type ByteReader, type ByteWriter, bufferedWriter, emptyReader, nullWriter } from './streams.ts'

/** A redirection that cannot be made: the command does not run. */
export class RedirectError extends Error {
  override readonly name = 'RedirectError'
}

export interface Redirected {
  streams: Streams
  /** Commits what was written. Idempotent. @throws {RedirectError} e.g. when the disk is full. */
  close(): Promise<void>
}

type Target = { path: string } | { descriptor: 0 | 1 | 2 }

export async function applyRedirects(
  redirects: readonly Redirect[],
  streams: Streams,
  expander: Expander,
  parts: ShellParts,
): Promise<Redirected> {
  const table: Record<0 | 1 | 2, ByteReader | ByteWriter> = { 0: streams.stdin, 1: streams.stdout, 2: streams.stderr }
  const opened: { name: string; close(): Promise<void> }[] = []
  let closed = false
  const close = async () => {
    if (closed) return
    closed = true
    let failure: RedirectError | undefined
    for (const file of opened) {
      await file.close().catch((error) => {
        failure ??= new RedirectError(`${file.name}: ${reason(error)}`)
      })
    }
    if (failure) throw failure
  }
  try {
    for (const redirect of redirects) {
      const target = await resolveTarget(redirect, expander)
      const input = redirect.operator === '<' || redirect.operator === '<&'
      const descriptor = (redirect.descriptor?.type === 'FileDescriptor' ? redirect.descriptor.value : input ? 0 : 1) as
        | 0
        | 1
        | 2
      if ('descriptor' in target) {
        table[descriptor] = table[target.descriptor]
        continue
      }
      const file = await open(target.path, redirect, { expander, parts })
      opened.push({ name: target.path, close: () => file.close() })
      table[descriptor] = file
      if (redirect.operator.startsWith('&') || redirect.operator === '>&') table[2] = file
    }
    return { streams: { stdin: reader(table[0]), stdout: writer(table[1]), stderr: writer(table[2]) }, close }
  } catch (error) {
    await close().catch(() => undefined) // the first failure is the one to report
    throw error
  }
}

async function resolveTarget(redirect: Redirect, expander: Expander): Promise<Target> {
  const fields = redirect.target ? await expandWord(redirect.target, expander) : []
  const [field] = fields
  if (field === undefined || fields.length > 1) {
    throw new RedirectError(`${redirect.target?.text ?? ''}: ambiguous redirect`)
  }
  const copies = redirect.operator === '>&' || redirect.operator === '<&'
  if (copies && /^[012]$/.test(field)) return { descriptor: Number(field) as 0 | 1 | 2 }
  if (redirect.operator === '<&' || (redirect.operator === '>&' && redirect.descriptor)) {
    throw new RedirectError(`${field}: ambiguous redirect`)
  }
  return { path: field }
}

async function open(
  name: string,
  redirect: Redirect,
  { expander, parts }: { expander: Expander; parts: ShellParts },
): Promise<ByteReader | ByteWriter> {
  const { signal } = expander
  try {
    const path = namedPath(expander.session.cwd, name)
    if (redirect.operator === '<') return path === '/dev/null' ? emptyReader : await fileReader(path, signal, parts)
    if (path === '/dev/null') return nullWriter
    const handle = await parts.fs.open(path, redirect.operator.endsWith('>>') ? 'a' : 'w', { signal })
    return bufferedWriter({
      isTerminal: false,
      write: async (bytes) => void (await handle.write(bytes, { signal })),
      // Without the signal: what was written before Ctrl-C stays, as with any other shell.
      close: async () => void (await handle.close()),
    })
  } catch (error) {
    throw new RedirectError(`${name || "''"}: ${reason(error)}`)
  }
}

async function fileReader(path: string, signal: AbortSignal, parts: ShellParts): Promise<ByteReader> {
  const info = await parts.fs.stat(path, { signal })
  if (info.isDirectory()) throw new OsError('EISDIR', `${path} is a directory`)
  const pieces = parts.fs.read(path, { signal })
  return {
    isTerminal: false,
    async read() {
      const next = await pieces.next()
      return next.done ? new Uint8Array(0) : next.value
    },
    close: async () => void (await pieces.return(undefined)),
  }
}

function reader(stream: ByteReader | ByteWriter): ByteReader {
  return 'read' in stream ? stream : emptyReader
}

function writer(stream: ByteReader | ByteWriter): ByteWriter {
  return 'write' in stream ? stream : nullWriter
}
