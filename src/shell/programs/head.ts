// head: the beginning of files.
import { concat } from '../../base/bytes.ts'
import { isOsError } from '../../base/errors.ts'
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

async function printFirst(context: ProgramContext, operand: string, { unit, count }: Part): Promise<void> {
  let left = count
  if (left === 0) return
  for await (const piece of piecesOf(context, operand)) {
    const [end, seen] = unit === 'lines' ? withinLines(piece, left) : both(Math.min(piece.byteLength, left))
    await context.stdout.write(piece.subarray(0, end))
    left -= seen
    if (left === 0) return
  }
}

const both = (bytes: number): [number, number] => [bytes, bytes]

async function printAllButLast(context: ProgramContext, operand: string, part: Part): Promise<void> {
  let held: Uint8Array = new Uint8Array(0)
  for await (const piece of piecesOf(context, operand)) {
    const bytes = concat([held, piece])
    const end = startOfLast(bytes, part)
    await context.stdout.write(bytes.subarray(0, end))
    held = bytes.slice(end)
  }
}

export const head = defineProgram(
  {
    name: 'head',
    summary: 'Print the beginning of files',
    usage: ['[OPTION]... [FILE]...'],
    details: [
      'Without a FILE, or where it is -: standard input. A COUNT may end in K, M or G (1024 and its powers); after a dash',
      'it tells how much is left out at the end.',
    ].join('\n'),
    options: {
      lines: { short: 'n', value: '[-]COUNT', help: 'so many lines; 10 unless told' },
      bytes: { short: 'c', value: '[-]COUNT', help: 'so many bytes instead' },
      ...HEADING_OPTIONS,
    },
    rewrite: shortCount,
  },
  async (context, { options, operands }) => {
    const part = partOf(options)
    const print = part.sign === '-' ? printAllButLast : printFirst
    try {
      return await forEachFile(context, operands, options, (operand) => print(context, operand, part))
    } catch (error) {
      if (isOsError(error, 'EPIPE')) return 0 // whoever reads has enough
      throw error
    }
  },
)
