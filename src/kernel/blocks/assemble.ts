// Puts the pieces of blocks together that a peer sends: in order, bounded, one block at a time. An item is one piece, or several
// small blocks.
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { MAX_BLOCK_BYTES } from '../limits.ts'

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** index of the CID in the request, offset, total bytes of the block, piece */
const quadruple = v.strictTuple([
  int,
  int,
  v.pipe(int, v.maxValue(MAX_BLOCK_BYTES)),
  v.custom<Uint8Array<ArrayBuffer>>((value) => value instanceof Uint8Array),
])

export interface Assembler {
  /** How many of the blocks are here, or were left out, and what part of the next one. */
  readonly progress: number
  /**
   * @returns how many bytes came, and blocks that are whole now.
   * @throws {OsError} EPROTO for pieces out of order or too large.
   */
  add(value: unknown): { came: number; whole: Whole[] }
}

interface Whole {
  index: number
  bytes: Uint8Array
}

/** The numbers and bytes of an item, by piece. @throws {OsError} EPROTO. */
function piecesOf(value: unknown): v.InferOutput<typeof quadruple>[] {
  const flat: unknown[] = Array.isArray(value) ? value : [value]
  return Array.from({ length: Math.max(1, Math.ceil(flat.length / 4)) }, (_, i) => {
    const parsed = v.safeParse(quadruple, flat.slice(4 * i, 4 * i + 4))
    if (!parsed.success) throw new OsError('EPROTO', 'sent a malformed block piece')
    return parsed.output
  })
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
      let came = 0
      const whole: Whole[] = []
      for (const piece of piecesOf(value)) {
        came += piece[3].byteLength
        const block = add(piece)
        if (block) whole.push(block)
      }
      return { came, whole }
    },
  }

  function add([index, offset, total, piece]: v.InferOutput<typeof quadruple>): Whole | undefined {
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
  }
}
