// Pieces of blocks on their way to another node, in fewer bytes: Snappy, which costs a tenth of what sending them would. Every piece
// stands by itself. Used by serve.ts and assemble.ts.
import { snappyCompressor, snappyUncompressor } from 'hysnappy'
import { PACKED_SHARE } from '../limits.ts'

/** A WebAssembly instance each, made when it is needed: most tabs of a small cluster never send or receive. */
let compress: ReturnType<typeof snappyCompressor> | undefined
let uncompress: ReturnType<typeof snappyUncompressor> | undefined

/** @returns fewer bytes that `unpack` makes the same of; undefined where they would be hardly fewer. */
export function pack(piece: Uint8Array): Uint8Array | undefined {
  compress ??= snappyCompressor()
  const packed = compress(piece)
  return packed.byteLength < PACKED_SHARE * piece.byteLength ? packed : undefined
}

/**
 * @param packed of a peer, who may have sent anything.
 * @param length of what was packed, in bytes; the caller bounds it.
 * @returns undefined when that is not what it was made of. Bytes may still be wrong: only their hash tells.
 */
export function unpack(packed: Uint8Array, length: number): Uint8Array | undefined {
  if (lengthOf(packed) !== length || packed.byteLength >= length) return undefined
  uncompress ??= snappyUncompressor()
  try {
    return uncompress(packed, length)
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
