// tail: the end of files, and what is written to them from then on.
import { concat } from '../../base/bytes.ts'
import { isOsError } from '../../base/errors.ts'
import { reason } from '../messages.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
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

/** Standard input and a stream are read to their end. */
async function mayGoOn(context: ProgramContext, operand: string): Promise<boolean> {
  return operand !== '-' && (await context.fs.stat(context.path(operand), context.cancel)).info.kind !== 'stream'
}

interface Followed {
  operand: string
  size: number
}

/** Prints what is appended until the user has enough. One that goes is waited for: its writer may begin it again. */
async function follow(context: ProgramContext, { operand, size }: Followed): Promise<void> {
  const path = context.path(operand)
  let at: number | undefined = size
  let since: string | undefined
  for (;;) {
    try {
      since = await nextVersion(context, path, since)
      at = await printSince(context, operand, at)
    } catch (error) {
      if (!isOsError(error, 'ENOENT')) throw error
      if (at !== undefined) await context.complain(`'${operand}' has become inaccessible: ${reason(error)}`)
      at = undefined
      since ??= ''
    }
  }
}

/** @returns what a path is now, once it is another than `since`. */
async function nextVersion(context: ProgramContext, path: string, since: string | undefined): Promise<string> {
  const args = { for: 'changes' as const, path, ...(since === undefined ? {} : { since }) }
  const { version = '' } = await context.client.call('wait', args, context.cancel)
  return version
}

/** @param from undefined: it was not there. @returns how far it is printed. */
async function printSince(context: ProgramContext, operand: string, from: number | undefined): Promise<number> {
  const path = context.path(operand)
  const { size } = await context.fs.stat(path, context.cancel)
  if (from === undefined) await context.complain(`'${operand}' has appeared`)
  else if (size < from) await context.complain(`${operand}: file truncated`)
  let at = from === undefined || size < from ? 0 : from
  for await (const piece of context.fs.read(path, { start: at, end: size, ...context.cancel })) {
    await context.stdout.write(piece)
    at += piece.byteLength
  }
  return at
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
    const ends: Followed[] = []
    const code = await forEachFile(context, operands, options, async (operand) => {
      const goesOn = options.follow && (await mayGoOn(context, operand))
      const size = await print(context, operand, part)
      if (goesOn) ends.push({ operand, size })
    })
    const followed = ends.map((end) => forEachOperand(context, [end.operand], () => follow(context, end)))
    return Math.max(code, ...(await Promise.all(followed)))
  },
)
