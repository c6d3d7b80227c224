// tail: the end of files, and what is written to them from then on.
import { concat } from '../../base/bytes.ts'
import { Emitter, until } from '../../base/emitter.ts'
import { defineProgram, type ProgramContext } from '../program.ts'
import {
  forEachFile,
  HEADING_OPTIONS,
  type Part,
  partOf,
  piecesOf,
  shortCount,
  startOfLast,
  withinLines,
} from './each-file.ts'

const STEP_BYTES = 64 * 1024

const bytesOf = ({ unit, count }: Part) => (unit === 'bytes' ? count : 0)

/** The end of a file, read from behind: a large one is not read whole. @returns it, and how large the file is. */
async function endOf(context: ProgramContext, path: string, wanted: Part): Promise<[Uint8Array, number]> {
  const { info } = await context.fs.stat(path, context.cancel)
  if (info.kind === 'stream') return endOfAll(context.fs.read(path, context.cancel), wanted)
  for (let length = STEP_BYTES; ; length *= 4) {
    const start = Math.max(0, info.size - Math.max(length, bytesOf(wanted)))
    const parts: Uint8Array[] = []
    for await (const part of context.fs.read(path, { start, end: info.size, ...context.cancel })) parts.push(part)
    const bytes = concat(parts)
    const from = startOfLast(bytes, wanted)
    if (start === 0 || from > 0 || wanted.unit === 'bytes') return [bytes.subarray(from), start + bytes.byteLength]
  }
}

async function endOfAll(pieces: AsyncIterable<Uint8Array>, wanted: Part): Promise<[Uint8Array, number]> {
  let kept: Uint8Array = new Uint8Array(0)
  let size = 0
  for await (const piece of pieces) {
    size += piece.byteLength
    const both = concat([kept, piece])
    kept = both.slice(startOfLast(both, wanted))
  }
  return [kept, size]
}

/** Prints all from a line or a byte on, counted from 1. @returns how large the file is. */
async function printFrom(context: ProgramContext, operand: string, { unit, count }: Part): Promise<number> {
  let skip = Math.max(0, count - 1)
  let size = 0
  for await (const piece of piecesOf(context, operand)) {
    size += piece.byteLength
    const bytes = Math.min(skip, piece.byteLength)
    const [start, skipped] = unit === 'lines' ? withinLines(piece, skip) : [bytes, bytes]
    skip -= skipped
    if (start < piece.byteLength) await context.stdout.write(piece.subarray(start))
  }
  return size
}

/** @returns how large the file is. */
async function printLast(context: ProgramContext, operand: string, part: Part): Promise<number> {
  const [end, size] =
    operand === '-' ? await endOfAll(piecesOf(context, '-'), part) : await endOf(context, context.named(operand), part)
  await context.stdout.write(end)
  return size
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
    details: [
      'Without a FILE, or where it is -: standard input. A COUNT may end in K, M or G (1024 and its powers); after a +',
      'it tells where to begin: -c +1 prints all.',
    ].join('\n'),
    options: {
      lines: { short: 'n', value: '[+]COUNT', help: 'so many lines; 10 unless told' },
      bytes: { short: 'c', value: '[+]COUNT', help: 'so many bytes instead' },
      ...HEADING_OPTIONS,
      follow: { short: 'f', help: 'print what is appended, until Ctrl-C' },
    },
    rewrite: shortCount,
  },
  async (context, { options, operands }) => {
    const part = partOf(options)
    const print = part.sign === '+' ? printFrom : printLast
    const ends: { path: string; size: number }[] = []
    const code = await forEachFile(context, operands, options, async (operand) => {
      const size = await print(context, operand, part)
      if (operand !== '-') ends.push({ path: context.path(operand), size })
    })
    if (options.follow) await Promise.all(ends.map(({ path, size }) => follow(context, path, size)))
    return code
  },
)
