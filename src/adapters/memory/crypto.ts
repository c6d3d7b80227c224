// Hashing and signatures that answer at once, for the simulator. SHA-256 is real (CIDs are compared with other
// tools); the signature is a keyed hash with a key that all simulated nodes share: enough to test the paths.
import { sha256 } from '@noble/hashes/sha2.js'
import { concat, equalBytes, utf8 } from '../../base/bytes.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Hasher, Signer } from '../../ports/crypto.ts'

export { sha256 }

export class MemoryHasher implements Hasher {
  async sha256(data: Uint8Array): Promise<Uint8Array> {
    return this.digest(data)
  }

  /** The same at once. */
  digest(data: Uint8Array): Uint8Array {
    return sha256(data)
  }
}

export class MemorySigner implements Signer {
  readonly nodeId: NodeId

  constructor(nodeId: NodeId) {
    this.nodeId = nodeId
  }

  async sign(data: Uint8Array): Promise<Uint8Array> {
    return mark(this.nodeId, data)
  }

  async verify(signer: NodeId, data: Uint8Array, signature: Uint8Array): Promise<boolean> {
    return equalBytes(mark(signer, data), signature)
  }
}

function mark(signer: NodeId, data: Uint8Array): Uint8Array {
  return sha256(concat([utf8(`simulated key of ${signer}`), data]))
}
