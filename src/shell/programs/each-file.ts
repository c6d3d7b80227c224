// Programs that print parts of files one after the other: their operands, the heading of each, the spelling of counts.
import { forEachOperand, type ProgramContext } from '../program.ts'

/** How much of each file. */
export const PART_OPTIONS = {
  lines: { short: 'n', value: 'COUNT', number: 'count', help: 'so many lines; 10 unless told' },
  bytes: { short: 'c', value: 'COUNT', number: 'count', help: 'so many bytes instead' },
} as const

/** Lines unless told. */
export const USUAL_LINES = 10

/** What an operand names, in pieces; standard input for `-`. */
export async function* piecesOf(context: ProgramContext, operand: string): AsyncGenerator<Uint8Array> {
  if (operand !== '-') return yield* context.fs.read(context.path(operand), context.cancel)
  for (let piece = await context.stdin.read(); piece.byteLength > 0; piece = await context.stdin.read()) yield piece
}

/** `-5` means `-n 5`. */
export function shortCount(args: readonly string[]): string[] {
  return args.map((arg, i) => (/^-\d+$/.test(arg) && !/^-[nc]$/.test(args[i - 1] ?? '') ? `-n${arg.slice(1)}` : arg))
}

/** Without operands: standard input. Several get headings. @returns the exit code. */
export function forEachFile(
  context: ProgramContext,
  operands: readonly string[],
  work: (operand: string) => Promise<void>,
): Promise<number> {
  const files = operands.length > 0 ? operands : ['-']
  let gap = ''
  return forEachOperand(
    context,
    files,
    async (operand) => {
      if (files.length > 1) await context.print(`${gap}==> ${operand} <==\n`)
      gap = '\n'
      await work(operand)
    },
    { describe: (operand) => `cannot open '${operand}' for reading` },
  )
}
