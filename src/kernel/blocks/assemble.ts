// Puts the pieces of blocks together that a peer sends: in order, bounded, one block at a time. An item is one piece, packed or
// not, or several small blocks.
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { BLOCK_ITEM_BYTES, MAX_BLOCK_BYTES } from '../limits.ts'
import { unpack } from './packing.ts'

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const total = v.pipe(int, v.maxValue(MAX_BLOCK_BYTES))
const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array)
/** index of the CID in the request, offset, total bytes of the block, piece */
const plain = v.strictTuple([int, int, total, bytes])
/** The same, with the piece's length before it is packed. */
const packed = v.strictTuple([int, int, total, v.pipe(int, v.maxValue(BLOCK_ITEM_BYTES)), bytes])

/** A part of a block: `length` bytes from `offset` on, of which `content` gives what they are. */
interface Piece {
  index: number
  offset: number
  total: number
  length: number
  /** @throws {OsError} EPROTO; ENOTSUP when it cannot be unpacked here. */
  content: () => Uint8Array
}

export interface Assembler {
  /** How many of the blocks are here, or were left out, and what part of the next one. */
  readonly progress: number
  /**
   * @returns how many bytes came, and blocks that are whole now.
   * @throws {OsError} EPROTO for pieces out of order or too large; ENOTSUP where none can be unpacked.
   */
  add(value: unknown): { came: number; whole: Whole[] }
}

interface Whole {
  index: number
  bytes: Uint8Array
}

/** The pieces of an item: several plain ones, one behind the other, or one that is packed. @throws {OsError} EPROTO. */
function piecesOf(value: unknown): Piece[] {
  const flat: unknown[] = Array.isArray(value) ? value : [value]
  if (flat.length === packed.items.length) {
    const [index, offset, total, length, bytes] = parse(packed, flat)
    return [{ index, offset, total, length, content: () => unpacked(bytes, length) }]
  }
  return Array.from({ length: Math.max(1, Math.ceil(flat.length / 4)) }, (_, i) => {
    const [index, offset, total, bytes] = parse(plain, flat.slice(4 * i, 4 * i + 4))
    return { index, offset, total, length: bytes.byteLength, content: () => bytes }
  })
}

function parse<T>(schema: v.GenericSchema<unknown, T>, value: unknown): T {
  const parsed = v.safeParse(schema, value)
  if (!parsed.success) throw new OsError('EPROTO', 'sent a malformed block piece')
  return parsed.output
}

function unpacked(bytes: Uint8Array, length: number): Uint8Array {
  const content = unpack(bytes, length)
  if (!content) throw new OsError('EPROTO', 'sent a block piece that cannot be unpacked')
  return content
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
        came += piece.length
        const block = add(piece)
        if (block) whole.push(block)
      }
      return { came, whole }
    },
  }

  function add({ index, offset, total, length, content }: Piece): Whole | undefined {
    if (index >= count) throw new OsError('EPROTO', 'sent a block that was not asked for')
    // Each block once and in the order asked for: whoever begins again could go on for ever.
    if (!current && offset === 0 && index > lastIndex) current = { index, bytes: new Uint8Array(total), filled: 0 }
    const expected = current && current.index === index && current.filled === offset
    if (!current || !expected || current.bytes.byteLength !== total || offset + length > total) {
      throw new OsError('EPROTO', 'sent block pieces out of order')
    }
    current.bytes.set(content(), offset)
    current.filled += length
    if (current.filled < total) {
      if (length === 0) throw new OsError('EPROTO', 'sent an empty block piece')
      return undefined
    }
    const { bytes } = current
    current = undefined
    lastIndex = index
    return { index, bytes }
  }
}
