import { createHash } from 'node:crypto'
import { runInNewContext } from 'node:vm'
import { expect, it } from 'vitest'
import { fileHash, piece, pieceScript } from './content.ts'

it('makes the same bytes in a page, which has only the text of the function, as here', () => {
  const page = { Uint8Array, Uint32Array, Math } as { benchPiece?: typeof piece }
  runInNewContext(`globalThis = this; ${pieceScript}`, page)
  expect(Buffer.compare(page.benchPiece?.(7, 3) ?? new Uint8Array(), piece(7, 3))).toBe(0)
})

it('makes no piece twice, and hashes a file as its pieces one after the other', () => {
  const pieces = [piece(1, 0), piece(1, 1)]
  expect(new Set([...pieces, piece(2, 0)].map((each) => each.subarray(0, 64).join())).size).toBe(3)
  const hash = createHash('sha256').update(Buffer.concat(pieces)).digest('hex')
  expect(fileHash({ seed: 1, mebibytes: 2 })).toBe(hash)
})
