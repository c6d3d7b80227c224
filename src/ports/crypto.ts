// Port: hashing and signatures. Asynchronous, because WebCrypto is; a simulator answers at once.
import type { NodeId } from '../base/ids.ts'

export interface Hasher {
  /** 32-byte digest. The input is not kept and not changed. */
  sha256(data: Uint8Array): Promise<Uint8Array>
}

export interface Signer {
  /** The node whose key this is: an ed25519 libp2p peer id. */
  readonly nodeId: NodeId
  sign(data: Uint8Array): Promise<Uint8Array>
  /** False for a wrong signature, an unknown key type or a malformed id; never throws for bad input. */
  verify(signer: NodeId, data: Uint8Array, signature: Uint8Array): Promise<boolean>
}
