// Stands in for a table of @libp2p/kad-dht (routing-table/generated-prefix-list): for each 16-bit prefix a number
// whose key hashes to that prefix, for refreshing buckets. The table is 50 KB of the page, gzipped; this computes an
// entry in 2 ms when it is needed, to the first 10 bits, which tells the buckets of a thousand nodes apart.
// vite.config.ts puts it in the table's place.
import { sha256 } from '@noble/hashes/sha2.js'

export const PREFIX_BITS = 10

/** The 34 bytes of a sha2-256 multihash whose digest begins with `n`: what the library makes a key of. */
export function keyOf(n: number): Uint8Array {
  const key = new Uint8Array(34)
  key[0] = 0x12
  key[1] = 32
  new DataView(key.buffer).setUint32(2, n)
  return key
}

/** A number whose key hashes to the first PREFIX_BITS of `prefix` (16 bits). */
export function preimage(prefix: number): number {
  for (let n = 0; ; n++) {
    const [high = 0, low = 0] = sha256(keyOf(n))
    if (((high << 8) | low) >> (16 - PREFIX_BITS) === prefix >> (16 - PREFIX_BITS)) return n
  }
}

export default new Proxy<Record<string, number>>({}, { get: (_table, index) => preimage(Number(index)) })
