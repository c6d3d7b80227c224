// Who a node is: an ed25519 key, its libp2p peer id, and signatures with it. Small, so that the node id is known
// before libp2p is loaded (node.ts).
import { base58btc } from 'multiformats/bases/base58'
import { type Bytes, concat, equalBytes } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import { Latest } from '../../base/latest.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { Random } from '../../ports/random.ts'
import { type Ed25519, loadEd25519, SEED_BYTES, type Verify } from './ed25519.ts'

export interface Identity {
  readonly nodeId: NodeId
  /** The key as libp2p stores it (protobuf): keep it, and pass it to loadIdentity after a reload. A secret. */
  readonly privateKeyBytes: Bytes
  readonly signer: Signer
}

/** Protobuf of libp2p's PrivateKey: type 1 (Ed25519), 64 bytes of seed and public key. */
const PRIVATE_KEY_PREFIX = new Uint8Array([0x08, 0x01, 0x12, 0x40])
/** A peer id is the identity multihash (0x00, 36 bytes) of the protobuf PublicKey: type 1, 32 bytes. */
const PEER_ID_PREFIX = new Uint8Array([0x00, 0x24, 0x08, 0x01, 0x12, 0x20])
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
  const ed25519 = await loadEd25519()
  const key = await ed25519.load(seed)
  const nodeId = base58btc.baseEncode(concat([PEER_ID_PREFIX, key.publicKey])) as NodeId
  const verifiers = new Latest<Promise<Verify | undefined>>(MAX_CACHED_KEYS)
  const verifierOf = (id: NodeId): Promise<Verify | undefined> => {
    const known = verifiers.get(id)
    if (known) return known
    const made = importVerifier(ed25519, id)
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

async function importVerifier(ed25519: Ed25519, id: NodeId): Promise<Verify | undefined> {
  const publicKey = publicKeyOf(id)
  if (!publicKey) return undefined
  try {
    return await ed25519.verifier(publicKey)
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
