// In the page this takes the place of the X25519 that noise imports (vite.config.ts), which brings all of Ed25519 to make a
// table for faster keys: 10 kB for the few handshakes of a tab. The curve is RFC 7748's, the arithmetic the same library's.
import { pow } from '@noble/curves/abstract/modular.js'
import { montgomery } from '@noble/curves/abstract/montgomery.js'

const P = 2n ** 255n - 19n

export const x25519 = montgomery({
  P,
  type: 'x25519',
  powPminus2: (x) => pow(x, P - 2n, P),
  adjustScalarBytes(bytes: Uint8Array) {
    bytes[0] = (bytes[0] ?? 0) & 0b1111_1000
    bytes[31] = ((bytes[31] ?? 0) & 0b0111_1111) | 0b0100_0000
    return bytes
  },
})
