// Pieces of blocks on their way to another node, in fewer bytes: Snappy, which costs a tenth of what sending them would. Every piece
// stands by itself. Used by serve.ts and assemble.ts.
import { snappyCompressor, snappyUncompressor } from 'hysnappy'
import { OsError } from '../../base/errors.ts'
import { PACKED_SHARE } from '../limits.ts'

/** A WebAssembly instance, made when it is needed; `null` where a browser is set to have none, or has no memory for one. */
let uncompress: ReturnType<typeof snappyUncompressor> | null | undefined

function attempt<T>(work: () => T): T | null {
  try {
    return work()
  } catch {
    return null // whoever cannot sends and asks for what is not packed
  }
}

/** @returns fewer bytes that `unpack` makes the same of; undefined where they would be hardly fewer. */
export type Pack = (piece: Uint8Array) => Uint8Array | undefined

/** One for each node, and each with an instance of its own: what was packed before may change how many bytes come of a piece. */
export function createPack(): Pack {
  let compress: ReturnType<typeof snappyCompressor> | null | undefined
  return (piece) => {
    if (compress === undefined) compress = attempt(snappyCompressor)
    const packing = compress
    const packed = packing && attempt(() => packing(piece))
    if (packed === null) compress = null // its memory could not grow
    return packed && packed.byteLength < PACKED_SHARE * piece.byteLength ? packed : undefined
  }
}

/** Whether this node can unpack: where not, it says so to whom it asks. */
export function unpacks(): boolean {
  if (uncompress === undefined) uncompress = attempt(snappyUncompressor)
  return uncompress !== null
}

/**
 * @param packed of a peer, who may have sent anything.
 * @param length of what was packed, in bytes; the caller bounds it.
 * @returns undefined when that is not what it was made of. Bytes may still be wrong: only their hash tells.
 * @throws {OsError} ENOTSUP when this node cannot, whatever it is: the peer has not lied.
 */
export function unpack(packed: Uint8Array, length: number): Uint8Array | undefined {
  if (lengthOf(packed) !== length || packed.byteLength >= length) return undefined
  try {
    if (unpacks()) return uncompress?.(packed, length)
  } catch (error) {
    // One that was stopped in the middle is not used again; where memory could not grow, none is.
    uncompress = error instanceof RangeError ? null : undefined
    if (uncompress !== null) return undefined
  }
  throw new OsError('ENOTSUP', 'this tab cannot unpack: WebAssembly is off, or has no memory')
}

/** What the head says: the length as a varint (format_description.txt of google/snappy), 32 bits at most. */
function lengthOf(packed: Uint8Array): number | undefined {
  let length = 0
  for (let i = 0; i < 5; i++) {
    const byte = packed[i]
    if (byte === undefined) return undefined
    length += (byte & 0x7f) * 2 ** (7 * i)
    if (byte < 0x80) return length
  }
  return undefined
}
