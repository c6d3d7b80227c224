// The file that several systems carry in one measurement: the same bytes everywhere, made anew wherever they are needed.
import { createHash } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'

export interface FileSpec {
  seed: number
  mebibytes: number
}

declare global {
  /** In a page that was given `pieceScript`. */
  var benchPiece: typeof piece
}

/** Mebibyte `index` of a file: no two pieces of any size are alike. Stands alone, because pages get its text. Xorshift32. */
export function piece(seed: number, index: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(2 ** 18)
  let state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) | 1
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = state
  }
  return new Uint8Array(words.buffer)
}

/** Makes `benchPiece` in a page. */
export const pieceScript = `globalThis.benchPiece = ${piece}`

/** SHA-256 of the file, in hexadecimal. */
export function fileHash({ seed, mebibytes }: FileSpec): string {
  const hash = createHash('sha256')
  for (let i = 0; i < mebibytes; i++) hash.update(piece(seed, i))
  return hash.digest('hex')
}

/** Prose, as a file of text has it: the documents of this repository, much longer than what packing looks back on. */
export function prose(): string {
  const files = globSync(['README.md', 'docs/**/*.md'], { cwd: `${import.meta.dirname}/..` })
  return files.map((file) => readFileSync(`${import.meta.dirname}/../${file}`, 'utf8')).join('\n')
}
