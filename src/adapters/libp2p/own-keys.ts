// In the page this takes the place of libp2p's code for Ed25519 (vite.config.ts), which brings a curve for browsers that
// have none: ours loads it only there (ed25519.ts). Keys are made in identity.ts and nowhere else.
import { type Bytes, owned } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { loadEd25519, SEED_BYTES } from './ed25519.ts'

/** As libp2p's Uint8ArrayList, whose bytes may lie in many pieces. */
type Pieces = Uint8Array | { subarray(): Uint8Array }

export const publicKeyLength = 32
/** Of the seed with the public key behind it. */
export const privateKeyLength = 64

export async function hashAndSign(privateKey: Uint8Array, message: Pieces): Promise<Bytes> {
  const { load } = await loadEd25519()
  const key = await load(owned(privateKey.subarray(0, SEED_BYTES)))
  return key.sign(message.subarray())
}

export async function hashAndVerify(publicKey: Uint8Array, signature: Uint8Array, message: Pieces): Promise<boolean> {
  const { verifier } = await loadEd25519()
  const verify = await verifier(owned(publicKey))
  return verify(message.subarray(), signature)
}

function refuse(): never {
  throw new OsError('ENOTSUP', 'libp2p makes no keys here: a node makes its own')
}

export { refuse as generateKey, refuse as generateKeyFromSeed }
