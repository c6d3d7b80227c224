// tail: the end of files, and what is written to them from then on.
import { concat } from '../../base/bytes.ts'
import { Emitter, until } from '../../base/emitter.ts'
import { defineProgram, type ProgramContext } from '../program.ts'
import { forEachFile, PART_OPTIONS, piecesOf, shortCount, USUAL_LINES } from './each-file.ts'

const NEWLINE = 10
const STEP_BYTES = 64 * 1024

interface Wanted {
  lines: number | undefined
  bytes: number | undefined
}

/** Where the end begins that is wanted. */
function startIn(bytes: Uint8Array, wanted: Wanted): number {
  if (wanted.bytes !== undefined) return Math.max(0, bytes.byteLength - wanted.bytes)
  let left = wanted.lines ?? USUAL_LINES
  if (left === 0) return bytes.byteLength
  // The last line may have no end.
  for (let at = bytes.byteLength - 2; at >= 0; at--) if (bytes[at] === NEWLINE && --left === 0) return at + 1
  return 0
}

/** The end of a file, read from behind: a large one is not read whole. @returns it, and how large the file is. */
async function endOf(context: ProgramContext, path: string, wanted: Wanted): Promise<[Uint8Array, number]> {
  const { info } = await context.fs.stat(path, context.cancel)
  if (info.kind === 'stream') return endOfAll(context.fs.read(path, context.cancel), wanted)
  for (let length = STEP_BYTES; ; length *= 4) {
    const start = Math.max(0, info.size - Math.max(length, wanted.bytes ?? 0))
    const parts: Uint8Array[] = []
    for await (const part of context.fs.read(path, { start, end: info.size, ...context.cancel })) parts.push(part)
    const bytes = concat(parts)
    const from = startIn(bytes, wanted)
    if (start === 0 || from > 0 || wanted.bytes !== undefined) return [bytes.subarray(from), start + bytes.byteLength]
  }
}

async function endOfAll(pieces: AsyncIterable<Uint8Array>, wanted: Wanted): Promise<[Uint8Array, number]> {
  let kept: Uint8Array = new Uint8Array(0)
  let size = 0
  for await (const piece of pieces) {
    size += piece.byteLength
    const both = concat([kept, piece])
    kept = both.slice(startIn(both, wanted))
  }
  return [kept, size]
}

/** Prints what is appended until the user has enough. */
async function follow(context: ProgramContext, path: string, from: number): Promise<void> {
  const changes = new Emitter<void>((error) => void context.complain(String(error)))
  let changed = true // something may have come since the end was read
  const off = context.parts.events.on((event) => {
    if (event.type !== 'tree') return
    changed = true
    changes.emit()
  })
  try {
    for (let at = from; ; ) {
      const none = () => undefined
      await until(changes, () => changed, none, context.signal)
      changed = false
      const { size } = await context.fs.stat(path, context.cancel)
      if (size < at) {
        await context.complain(`${path}: file truncated`)
        at = 0
      }
      for await (const piece of context.fs.read(path, { start: at, end: size, ...context.cancel })) {
        await context.stdout.write(piece)
        at += piece.byteLength
      }
    }
  } finally {
    off()
  }
}

export const tail = defineProgram(
  {
    name: 'tail',
    summary: 'Print the end of files',
    usage: ['[OPTION]... [FILE]...'],
    details: 'Without a FILE, or where it is -: standard input.',
    options: {
      ...PART_OPTIONS,
      follow: { short: 'f', help: 'print what is appended, until Ctrl-C' },
    },
    rewrite: shortCount,
  },
  async (context, { options, operands }) => {
    const { lines, bytes } = options
    const wanted = { lines, bytes }
    const ends: { path: string; size: number }[] = []
    const code = await forEachFile(context, operands, async (operand) => {
      const path = context.path(operand)
      const [end, size] =
        operand === '-' ? await endOfAll(piecesOf(context, '-'), wanted) : await endOf(context, path, wanted)
      await context.stdout.write(end)
      if (operand !== '-') ends.push({ path, size })
    })
    if (options.follow) await Promise.all(ends.map(({ path, size }) => follow(context, path, size)))
    return code
  },
)
