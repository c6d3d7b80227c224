// head: the beginning of files.
import { isOsError } from '../../base/errors.ts'
import { UsageError } from '../options.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'

const NEWLINE = 10

/** @throws {UsageError} */
export function countOf(text: string | undefined, what: string): number | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`invalid number of ${what}: '${text}'`)
  return Number(text)
}

/** What an operand names, in pieces; standard input for `-`. */
export async function* piecesOf(context: ProgramContext, operand: string): AsyncGenerator<Uint8Array> {
  if (operand !== '-') return yield* context.fs.read(context.path(operand), context.cancel)
  for (let piece = await context.stdin.read(); piece.byteLength > 0; piece = await context.stdin.read()) yield piece
}

/** `-5` means `-n 5`. */
export const shortCount = (args: readonly string[]): string[] => {
  return args.map((arg, i) => (/^-\d+$/.test(arg) && !/^-[nc]$/.test(args[i - 1] ?? '') ? `-n${arg.slice(1)}` : arg))
}

/** Up to the end of that many lines. @returns bytes, and lines in them. */
function within(piece: Uint8Array, lines: number): [bytes: number, lines: number] {
  let seen = 0
  for (const [i, byte] of piece.entries()) if (byte === NEWLINE && ++seen === lines) return [i + 1, seen]
  return [piece.byteLength, seen]
}

export const head = defineProgram(
  {
    name: 'head',
    summary: 'Print the beginning of files',
    usage: ['[OPTION]... [FILE]...'],
    details: 'Without a FILE, or where it is -: standard input.',
    options: {
      lines: { short: 'n', value: 'COUNT', help: 'so many lines; 10 unless told' },
      bytes: { short: 'c', value: 'COUNT', help: 'so many bytes instead' },
    },
    rewrite: shortCount,
  },
  async (context, { options, operands }) => {
    const bytes = countOf(options.bytes, 'bytes')
    const lines = countOf(options.lines, 'lines') ?? 10
    const files = operands.length > 0 ? operands : ['-']
    let first = true
    return forEachOperand(
      context,
      files,
      async (operand) => {
        if (files.length > 1) await context.print(`${first ? '' : '\n'}==> ${operand} <==\n`)
        first = false
        let [leftBytes, leftLines] = [bytes ?? Number.POSITIVE_INFINITY, bytes === undefined ? lines : Infinity]
        if (leftBytes === 0 || leftLines === 0) return
        for await (const piece of piecesOf(context, operand)) {
          const [end, seen] = within(piece, leftLines)
          const part = piece.subarray(0, Math.min(end, leftBytes))
          await context.stdout.write(part)
          leftBytes -= part.byteLength
          leftLines -= seen
          if (leftBytes === 0 || leftLines === 0) return
        }
      },
      { describe: (operand) => `cannot open '${operand}' for reading` },
    ).catch((error: unknown) => {
      if (isOsError(error, 'EPIPE')) return 0 // whoever reads has enough
      throw error
    })
  },
)
