// Randomness from WebCrypto. Implements ports/random.ts.
import type { Random } from '../../ports/random.ts'

/** getRandomValues refuses more at once. */
const MAX_RANDOM_BYTES = 65_536

export function systemRandom(): Random {
  return {
    bytes(length) {
      const out = new Uint8Array(length)
      for (let at = 0; at < length; at += MAX_RANDOM_BYTES) {
        crypto.getRandomValues(out.subarray(at, at + MAX_RANDOM_BYTES))
      }
      return out
    },
    float: () => Math.random(),
  }
}
