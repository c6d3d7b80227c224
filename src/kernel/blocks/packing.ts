// Pieces of blocks on their way to another node, in fewer bytes: Snappy, which costs a tenth of what sending them would. Every piece
// stands by itself. Used by serve.ts and assemble.ts.
import { snappyCompressor, snappyUncompressor } from 'hysnappy'
import { PACKED_SHARE } from '../limits.ts'

/** WebAssembly instances, made when they are needed; `null` where a browser is set to have none. */
let compress: ReturnType<typeof snappyCompressor> | null | undefined
let uncompress: ReturnType<typeof snappyUncompressor> | null | undefined

function made<T>(make: () => T): T | null {
  try {
    return make()
  } catch {
    return null // whoever cannot sends and asks for what is not packed
  }
}

/** @returns fewer bytes that `unpack` makes the same of; undefined where they would be hardly fewer. */
export function pack(piece: Uint8Array): Uint8Array | undefined {
  if (compress === undefined) compress = made(snappyCompressor)
  const packed = compress?.(piece)
  return packed && packed.byteLength < PACKED_SHARE * piece.byteLength ? packed : undefined
}

/** Whether this node can unpack: where not, it says so to whom it asks. */
export function unpacks(): boolean {
  if (uncompress === undefined) uncompress = made(snappyUncompressor)
  return uncompress !== null
}

/**
 * @param packed of a peer, who may have sent anything.
 * @param length of what was packed, in bytes; the caller bounds it.
 * @returns undefined when that is not what it was made of. Bytes may still be wrong: only their hash tells.
 */
export function unpack(packed: Uint8Array, length: number): Uint8Array | undefined {
  if (lengthOf(packed) !== length || packed.byteLength >= length || !unpacks()) return undefined
  try {
    return uncompress?.(packed, length)
  } catch {
    uncompress = undefined // one that was stopped in the middle is not used again
    return undefined
  }
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
