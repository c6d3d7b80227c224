// head: the beginning of files.
import { isOsError } from '../../base/errors.ts'
import { defineProgram } from '../program.ts'
import { forEachFile, PART_OPTIONS, piecesOf, shortCount, USUAL_LINES } from './each-file.ts'

const NEWLINE = 10

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
    options: PART_OPTIONS,
    rewrite: shortCount,
  },
  async (context, { options, operands }) => {
    const { bytes, lines = USUAL_LINES } = options
    try {
      return await forEachFile(context, operands, async (operand) => {
        let [leftBytes, leftLines] = [bytes ?? Infinity, bytes === undefined ? lines : Infinity]
        if (leftBytes === 0 || leftLines === 0) return
        for await (const piece of piecesOf(context, operand)) {
          const [end, seen] = within(piece, leftLines)
          const part = piece.subarray(0, Math.min(end, leftBytes))
          await context.stdout.write(part)
          leftBytes -= part.byteLength
          leftLines -= seen
          if (leftBytes === 0 || leftLines === 0) return
        }
      })
    } catch (error) {
      if (isOsError(error, 'EPIPE')) return 0 // whoever reads has enough
      throw error
    }
  },
)
