// Programs that print parts of files one after the other: their operands, the heading of each, the spelling of counts.
import { UsageError } from '../options.ts'
import { forEachOperand, type ProgramContext } from '../program.ts'

const NEWLINE = 10
const FACTORS = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 } as const

export const HEADING_OPTIONS = {
  quiet: { short: 'q', help: 'no headings' },
  verbose: { short: 'v', help: 'a heading also for a single file' },
} as const

/** How much of each file. */
export interface Part {
  unit: 'lines' | 'bytes'
  count: number
  /** As it was written before the count. */
  sign: '' | '+' | '-'
}

/** Ten lines unless told. @throws {UsageError} */
export function partOf({ lines, bytes }: { lines: string | undefined; bytes: string | undefined }): Part {
  const unit = bytes === undefined ? 'lines' : 'bytes'
  const text = bytes ?? lines ?? '10'
  const [, sign = '', digits = '', factor = ''] = /^([-+]?)(\d{1,15})([KMG]?)$/.exec(text) ?? []
  const count = Number(digits) * FACTORS[factor as keyof typeof FACTORS]
  if (digits === '' || !Number.isSafeInteger(count)) throw new UsageError(`invalid number of ${unit}: '${text}'`)
  return { unit, count, sign: sign as Part['sign'] }
}

/** Where the last lines or bytes begin. */
export function startOfLast(bytes: Uint8Array, { unit, count }: Part): number {
  if (unit === 'bytes') return Math.max(0, bytes.byteLength - count)
  let left = count
  if (left === 0) return bytes.byteLength
  // The last line may have no end.
  for (let at = bytes.byteLength - 2; at >= 0; at--) if (bytes[at] === NEWLINE && --left === 0) return at + 1
  return 0
}

/** Up to the end of that many lines. @returns bytes, and lines in them. */
export function withinLines(piece: Uint8Array, lines: number): [bytes: number, lines: number] {
  if (lines === 0) return [0, 0]
  let seen = 0
  for (const [i, byte] of piece.entries()) if (byte === NEWLINE && ++seen === lines) return [i + 1, seen]
  return [piece.byteLength, seen]
}

/** What an operand names, in pieces; standard input for `-`. */
export async function* piecesOf(context: ProgramContext, operand: string): AsyncGenerator<Uint8Array> {
  if (operand !== '-') return yield* context.fs.read(context.named(operand), context.cancel)
  for (let piece = await context.stdin.read(); piece.byteLength > 0; piece = await context.stdin.read()) yield piece
}

/** `-5` means `-n 5`. */
export function shortCount(args: readonly string[]): string[] {
  return args.map((arg, i) => (/^-\d+$/.test(arg) && !/^-[nc]$/.test(args[i - 1] ?? '') ? `-n${arg.slice(1)}` : arg))
}

/** Without operands: standard input. Several get headings, unless told. @returns the exit code. */
export function forEachFile(
  context: ProgramContext,
  operands: readonly string[],
  { quiet, verbose }: { quiet: boolean; verbose: boolean },
  work: (operand: string) => Promise<void>,
): Promise<number> {
  const files = operands.length > 0 ? operands : ['-']
  const headed = !quiet && (verbose || files.length > 1)
  let gap = ''
  return forEachOperand(
    context,
    files,
    async (operand) => {
      if (headed) await context.print(`${gap}==> ${context.shown(operand)} <==\n`)
      gap = '\n'
      await work(operand)
    },
    { describe: (operand) => `cannot open '${operand}' for reading` },
  )
}
