// Files from the host into the tree, in pieces, with progress: behind `put` and behind files dropped on the page.
import { formatBytes } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'
import type { Ack } from '../syscalls/types.ts'
import type { HostFile } from './host.ts'
import { RESUMED_BYTES, SMALL_FILE_BYTES, SMALL_FILES } from './limits.ts'
import { Complaint, reason } from './messages.ts'
import { joinPath, parentPath } from './paths.ts'
import type { ProgramContext } from './program.ts'
import { bar, ProgressLine } from './progress.ts'

/**
 * Stores `files` below `directory` (absolute), making the directories that they need; small ones several at a time. A file
 * that fails is reported and the rest go on; one that is cancelled half way leaves nothing behind.
 * @returns exit code
 */
export async function importFiles(
  context: ProgramContext,
  files: Iterable<HostFile> | AsyncIterable<HostFile>,
  directory: string,
  options: { rename?: string; ack?: Ack['level'] | undefined } = {},
): Promise<number> {
  const made = new Set([directory])
  const storing = new Map<string, { file: HostFile; stored: Promise<string> }>()
  let code = 0
  let count = 0
  const settle = async () => {
    const all = [...storing.values()]
    storing.clear()
    const outcomes = await Promise.allSettled(all.map(({ stored }) => stored))
    /** After this one there is no going on: the others are told of first. */
    let fatal: { error: unknown } | undefined
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.status === 'fulfilled') {
        count++
        await context.print(outcome.value)
        continue
      }
      const error: unknown = outcome.reason
      const complaint = `${all[i]?.file.path}: ${reason(error)}`
      if (context.signal.aborted || !(error instanceof OsError)) fatal ??= { error }
      else if (error.code === 'ENOSPC') fatal ??= { error: new Complaint(error.code, complaint, { cause: error }) }
      else {
        await context.complain(complaint)
        code = 1
      }
    }
    if (fatal) throw fatal.error
  }
  try {
    for await (const file of files) {
      const path = joinPath(directory, options.rename ?? safeRelative(file.path))
      const small = file.size <= SMALL_FILE_BYTES
      if (!small || storing.size >= SMALL_FILES || storing.has(path)) await settle()
      const stored = importFile(context, file, path, { ...options, made, small })
      stored.catch(() => undefined) // reported when its turn comes
      storing.set(path, { file, stored })
      if (!small) await settle()
    }
  } finally {
    await settle() // also where the source of files broke
  }
  if (count === 0 && code === 0) await context.complain('no files were chosen')
  return code
}

/** @returns what is said of it when it is stored. @throws {OsError} as writing it does. */
async function importFile(
  context: ProgramContext,
  file: HostFile,
  path: string,
  { ack: level, made, small }: { ack?: Ack['level'] | undefined; made: Set<string>; small: boolean },
): Promise<string> {
  const parent = parentPath(path)
  if (!made.has(parent)) await context.fs.mkdir(parent, { recursive: true, ...context.cancel })
  made.add(parent)
  const progress = small ? undefined : new ProgressLine(context)
  const startMs = context.host.now()
  let done = 0
  async function* counted() {
    for await (const piece of file.read()) {
      done += piece.byteLength
      await progress?.show(transferText(file.path, { done, total: file.size, ms: context.host.now() - startMs }))
      yield piece
    }
  }
  let ack: Ack | undefined
  let alreadyHere = 0
  try {
    ;({ ack, alreadyHere = 0 } = await context.fs.writeFile(path, counted(), {
      ...context.cancel,
      ...(level ? { ack: level } : {}),
    }))
  } finally {
    await progress?.clear()
  }
  const resumed = resumedText(alreadyHere)
  return `${context.shown(path)}  ${formatBytes(done)}${resumed && `  ${resumed}`}${ack ? `  ${ackText(ack)}` : ''}\n`
}

/** What a write found here, of an earlier attempt or of a copy; empty when that is not worth a word. */
export function resumedText(alreadyHere: number): string {
  return alreadyHere < RESUMED_BYTES ? '' : `${formatBytes(alreadyHere)} were here already`
}

/** How safe something is, in words. */
export function ackText({ level, devices }: Ack): string {
  if (level === 'local') return 'kept by one tab only'
  return devices === 1 ? 'kept by several tabs of one device' : `kept on ${devices} devices`
}

export function transferText(name: string, { done, total, ms }: { done: number; total: number; ms: number }): string {
  const rate = ms > 0 ? `  ${formatBytes(Math.round((done * 1000) / ms))}/s` : ''
  return `${bar(total > 0 ? done / total : 1, 24)} ${formatBytes(done)} of ${formatBytes(total)}${rate}  ${name}`
}

/** A relative path from outside cannot climb out of its directory. */
function safeRelative(path: string): string {
  const names = path.split('/').filter((name) => name !== '' && name !== '.' && name !== '..')
  return names.join('/') || 'file'
}
