// Puts the pieces of blocks together that a peer sends: in order, bounded, one block at a time.
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../limits.ts'

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** index of the CID in the request, offset, total bytes of the block, piece */
const item = v.strictTuple([
  int,
  int,
  v.pipe(int, v.maxValue(MAX_BLOCK_BYTES)),
  v.custom<Uint8Array<ArrayBuffer>>((value) => value instanceof Uint8Array),
])

export interface Assembler {
  /** How many of the blocks are here, or were left out, and what part of the next one. */
  readonly progress: number
  /** @returns a block once it is whole. @throws {OsError} EPROTO for pieces out of order or too large. */
  add(value: unknown): { index: number; bytes: Uint8Array } | undefined
}

export function createAssembler(count: number): Assembler {
  let current: { index: number; bytes: Uint8Array; filled: number } | undefined
  let lastIndex = -1
  return {
    get progress() {
      return (
        lastIndex + 1 + (current && current.index === lastIndex + 1 ? current.filled / current.bytes.byteLength : 0)
      )
    },
    add(value) {
      const parsed = v.safeParse(item, value)
      if (!parsed.success) throw new OsError('EPROTO', 'sent a malformed block piece')
      const [index, offset, total, piece] = parsed.output
      if (index >= count) throw new OsError('EPROTO', 'sent a block that was not asked for')
      // Each block once and in the order asked for: whoever begins again could go on for ever.
      if (!current && offset === 0 && index > lastIndex) current = { index, bytes: new Uint8Array(total), filled: 0 }
      const { byteLength } = piece
      const expected = current && current.index === index && current.filled === offset
      if (!current || !expected || current.bytes.byteLength !== total || offset + byteLength > total) {
        throw new OsError('EPROTO', 'sent block pieces out of order')
      }
      current.bytes.set(piece, offset)
      current.filled += byteLength
      if (current.filled < total) {
        if (byteLength === 0) throw new OsError('EPROTO', 'sent an empty block piece')
        return undefined
      }
      const { bytes } = current
      current = undefined
      lastIndex = index
      return { index, bytes }
    },
  }
}
