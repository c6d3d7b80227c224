// Ed25519 signatures: the browser's own, or those of @noble/curves, which is loaded only where the browser has none
// (Chromium before 137, Firefox before 129, Safari before 17). Used by identity.ts, and by libp2p through own-keys.ts.
import { type Bytes, concat, owned } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'

export interface Ed25519 {
  load(seed: Bytes): Promise<LoadedKey>
  /** Rejects for bytes that are no point of the curve. */
  verifier(publicKey: Bytes): Promise<Verify>
}

export interface LoadedKey {
  publicKey: Bytes
  sign(data: Uint8Array): Promise<Bytes>
}

/** False for a wrong signature, whatever its length. */
export type Verify = (data: Uint8Array, signature: Uint8Array) => Promise<boolean>

export const SEED_BYTES = 32
/** PKCS #8 of an Ed25519 private key (RFC 8410), up to the seed. */
const PKCS8_PREFIX = new Uint8Array([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32])

let loaded: Promise<Ed25519> | undefined

export function loadEd25519(): Promise<Ed25519> {
  loaded ??= webCryptoWorks()
    .then((works) => (works ? webCrypto : nobleCurves()))
    .catch((error) => {
      loaded = undefined // whoever serves it may be back at the next call
      throw error
    })
  return loaded
}

async function webCryptoWorks(): Promise<boolean> {
  try {
    await webCrypto.load(new Uint8Array(SEED_BYTES))
    return true
  } catch {
    // NotSupportedError, or no crypto.subtle at all.
    return false
  }
}

const webCrypto: Ed25519 = {
  async load(seed) {
    const pkcs8 = concat([PKCS8_PREFIX, seed])
    const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', true, ['sign'])
    const { x } = await crypto.subtle.exportKey('jwk', key)
    if (x === undefined) throw new OsError('ENOTSUP', 'WebCrypto does not tell the public key')
    return {
      publicKey: fromBase64Url(x),
      sign: async (data) => new Uint8Array(await crypto.subtle.sign('Ed25519', key, owned(data))),
    }
  },
  async verifier(publicKey) {
    const key = await crypto.subtle.importKey('raw', publicKey, 'Ed25519', false, ['verify'])
    return (data, signature) => crypto.subtle.verify('Ed25519', key, owned(signature), owned(data))
  },
}

async function nobleCurves(): Promise<Ed25519> {
  const { ed25519 } = await import('@noble/curves/ed25519.js')
  return {
    load: async (seed) => ({
      publicKey: owned(ed25519.getPublicKey(seed)),
      sign: async (data) => owned(ed25519.sign(data, seed)),
    }),
    async verifier(publicKey) {
      ed25519.Point.fromBytes(publicKey)
      return async (data, signature) => {
        try {
          return ed25519.verify(signature, data, publicKey)
        } catch {
          // This library throws for a signature of the wrong length.
          return false
        }
      }
    },
  }
}

function fromBase64Url(text: string): Bytes {
  const base64 = text.replaceAll('-', '+').replaceAll('_', '/')
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
}
