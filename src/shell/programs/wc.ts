// wc: counts lines, words, characters and bytes. Output as that of coreutils, down to the width of its columns.
import { isOsError } from '../../base/errors.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { piecesOf } from './each-file.ts'

/** In the order in which they are printed. */
const COLUMNS = ['lines', 'words', 'chars', 'bytes'] as const
type Column = (typeof COLUMNS)[number]
type Counts = Record<Column, number>

/** Of numbers when it is not known how large they become, as on a pipe. */
const UNKNOWN_WIDTH = 7
const NEWLINE = 10

const none = (): Counts => ({ lines: 0, words: 0, chars: 0, bytes: 0 })

/** Space, tab, new line, vertical tab, form feed, carriage return. */
function isBlank(byte: number): boolean {
  return byte === 32 || (byte >= 9 && byte <= 13)
}

/** @param inWord whether what came before ends within a word. @returns the same of this piece. */
function count(piece: Uint8Array, counts: Counts, inWord: boolean): boolean {
  let [lines, words, chars, within] = [0, 0, 0, inWord]
  for (const byte of piece) {
    if (byte === NEWLINE) lines++
    // All but what goes on with a character of UTF-8.
    if ((byte & 0xc0) !== 0x80) chars++
    const blank = isBlank(byte)
    if (!blank && !within) words++
    within = !blank
  }
  counts.lines += lines
  counts.words += words
  counts.chars += chars
  counts.bytes += piece.byteLength
  return within
}

/** So wide that the sizes of all files together fit. */
async function widthOf(context: ProgramContext, operands: readonly string[]): Promise<number> {
  let bytes = 0
  let least = 1
  for (const operand of operands) {
    try {
      const { info } = operand === '-' ? {} : await context.fs.stat(context.named(operand), context.cancel)
      if (info?.kind === 'file') bytes += info.size
      else least = UNKNOWN_WIDTH
    } catch (error) {
      if (context.signal.aborted) throw error
      // It is reported when its turn comes.
    }
  }
  return Math.max(least, String(bytes).length)
}

export const wc = defineProgram(
  {
    name: 'wc',
    summary: 'Count lines, words and bytes',
    usage: ['[OPTION]... [FILE]...'],
    details: [
      'Without a FILE, or where it is -: standard input. Counts lines, words and bytes unless told; they are printed in',
      'the order lines, words, characters, bytes. A word is what stands between blanks.',
    ].join('\n'),
    options: {
      lines: { short: 'l', help: 'ends of lines' },
      words: { short: 'w', help: 'words' },
      chars: { short: 'm', help: 'characters of UTF-8' },
      bytes: { short: 'c', help: 'bytes' },
    },
  },
  async (context, { options, operands }) => {
    const files = operands.length > 0 ? operands : ['-']
    const chosen = COLUMNS.filter((column) => options[column])
    const shown = chosen.length > 0 ? chosen : (['lines', 'words', 'bytes'] as const)
    const width = files.length === 1 && shown.length === 1 ? 1 : await widthOf(context, files)
    const print = (counts: Counts, name: string) => {
      const numbers = shown.map((column) => String(counts[column]).padStart(width)).join(' ')
      return context.print(`${numbers}${name && ` ${context.shown(name)}`}\n`)
    }
    const total = none()
    const code = await forEachOperand(context, files, async (operand) => {
      const counts = none()
      const name = operands.length > 0 ? operand : ''
      try {
        let inWord = false
        for await (const piece of piecesOf(context, operand)) inWord = count(piece, counts, inWord)
      } catch (error) {
        if (isOsError(error, 'EISDIR')) await print(counts, name) // as coreutils: there is nothing in it
        throw error
      }
      for (const column of COLUMNS) total[column] += counts[column]
      await print(counts, name)
    })
    if (files.length > 1) await print(total, 'total')
    return code
  },
)
