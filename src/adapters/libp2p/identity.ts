// Who a node is: an ed25519 key, its libp2p peer id, and signatures with it. Small, so that the node id is known
// before libp2p is loaded (node.ts); browsers without Ed25519 in WebCrypto load @libp2p/crypto for it.
import { base58btc } from 'multiformats/bases/base58'
import { type Bytes, concat, equalBytes, owned } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import { Latest } from '../../base/latest.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { Random } from '../../ports/random.ts'

export interface Identity {
  readonly nodeId: NodeId
  /** The key as libp2p stores it (protobuf): keep it, and pass it to loadIdentity after a reload. A secret. */
  readonly privateKeyBytes: Bytes
  readonly signer: Signer
}

const SEED_BYTES = 32
/** Protobuf of libp2p's PrivateKey: type 1 (Ed25519), 64 bytes of seed and public key. */
const PRIVATE_KEY_PREFIX = new Uint8Array([0x08, 0x01, 0x12, 0x40])
/** A peer id is the identity multihash (0x00, 36 bytes) of the protobuf PublicKey: type 1, 32 bytes. */
const PEER_ID_PREFIX = new Uint8Array([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
/** PKCS #8 of an Ed25519 private key (RFC 8410), up to the seed. */
const PKCS8_PREFIX = new Uint8Array([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32])
const NODE_ID = /^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/
/** Verifying imports the key first (0.1 ms); a cluster has at most a few hundred signers. */
const MAX_CACHED_KEYS = 256

export async function createIdentity(random: Random): Promise<Identity> {
  return fromSeed(random.bytes(SEED_BYTES))
}

/** @throws {OsError} EINVAL for bytes that are no Ed25519 private key, or one whose halves do not match. */
export async function loadIdentity(privateKeyBytes: Uint8Array): Promise<Identity> {
  const start = PRIVATE_KEY_PREFIX.byteLength
  const prefix = privateKeyBytes.subarray(0, start)
  if (privateKeyBytes.byteLength !== start + 2 * SEED_BYTES || !equalBytes(prefix, PRIVATE_KEY_PREFIX)) {
    throw new OsError('EINVAL', 'Cannot load an identity: the bytes are no Ed25519 private key')
  }
  const identity = await fromSeed(new Uint8Array(privateKeyBytes.subarray(start, start + SEED_BYTES)))
  if (!equalBytes(identity.privateKeyBytes, privateKeyBytes)) {
    throw new OsError('EINVAL', 'Cannot load an identity: its public key does not belong to its private key')
  }
  return identity
}

/** True for the text form of an ed25519 peer id; does not decode it. */
export function isNodeId(text: string): text is NodeId {
  return NODE_ID.test(text)
}

async function fromSeed(seed: Bytes): Promise<Identity> {
  const engine = await loadEngine()
  const key = await engine.load(seed)
  const nodeId = base58btc.baseEncode(concat([PEER_ID_PREFIX, key.publicKey])) as NodeId
  const verifiers = new Latest<Promise<Verify | undefined>>(MAX_CACHED_KEYS)
  const verifierOf = (id: NodeId): Promise<Verify | undefined> => {
    const known = verifiers.get(id)
    if (known) return known
    const made = importVerifier(engine, id)
    verifiers.set(id, made)
    return made
  }
  const signer: Signer = {
    nodeId,
    sign: (data) => key.sign(data),
    async verify(by, data, signature) {
      const verify = await verifierOf(by)
      return verify !== undefined && (await verify(data, signature))
    },
  }
  return { nodeId, privateKeyBytes: concat([PRIVATE_KEY_PREFIX, seed, key.publicKey]), signer }
}

async function importVerifier(engine: Engine, id: NodeId): Promise<Verify | undefined> {
  const publicKey = publicKeyOf(id)
  if (!publicKey) return undefined
  try {
    return await engine.verifier(publicKey)
  } catch {
    // Not a point of the curve: nothing is ever signed by it.
    return undefined
  }
}

function publicKeyOf(id: string): Bytes | undefined {
  if (!isNodeId(id)) return undefined
  const bytes = base58btc.baseDecode(id)
  const start = PEER_ID_PREFIX.byteLength
  if (bytes.byteLength !== start + SEED_BYTES || !equalBytes(bytes.subarray(0, start), PEER_ID_PREFIX)) return undefined
  return new Uint8Array(bytes.subarray(start))
}

type Verify = (data: Uint8Array, signature: Uint8Array) => Promise<boolean>

interface LoadedKey {
  publicKey: Bytes
  sign(data: Uint8Array): Promise<Uint8Array>
}

interface Engine {
  load(seed: Bytes): Promise<LoadedKey>
  verifier(publicKey: Bytes): Promise<Verify>
}

let loaded: Promise<Engine> | undefined

function loadEngine(): Promise<Engine> {
  loaded ??= webCryptoWorks().then((works) => (works ? webCryptoEngine : libp2pEngine()))
  return loaded
}

async function webCryptoWorks(): Promise<boolean> {
  try {
    await webCryptoEngine.load(new Uint8Array(SEED_BYTES))
    return true
  } catch {
    // NotSupportedError, or no crypto.subtle at all: the other engine says so itself if it cannot work either.
    return false
  }
}

const webCryptoEngine: Engine = {
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

async function libp2pEngine(): Promise<Engine> {
  const { generateKeyPairFromSeed, publicKeyFromRaw } = await import('@libp2p/crypto/keys')
  return {
    async load(seed) {
      const key = await generateKeyPairFromSeed('Ed25519', seed)
      return { publicKey: new Uint8Array(key.publicKey.raw), sign: async (data) => key.sign(data) }
    },
    async verifier(publicKey) {
      const key = publicKeyFromRaw(publicKey)
      return async (data, signature) => {
        try {
          return await key.verify(data, signature)
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
