// Commits of a keg are signed by the node that made them, its leader then: nobody who leads later, or tells of versions,
// can make one up that an honest node is said to have made. Above: tree-keeper.ts, tree-holding.ts, history.ts. Below: the
// signer.
import { encode } from 'cborg'
import type { Kid, NodeId } from '../../base/ids.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { CidText } from '../blocks/cid.ts'
import type { Version } from './versions.ts'

/** Who has signed a commit, and how. */
export interface Signed {
  by: NodeId
  signature: Uint8Array
}

/** What is signed: which version of which tree, made of which. */
export interface Commit extends Pick<Version, 'version' | 'root' | 'atMs' | 'by' | 'what'> {
  tree: Kid
  parent: CidText
}

function bytesOf({ tree, version, parent, root, atMs, by, what }: Commit): Uint8Array {
  return encode(['brittlestar commit', 1, tree, version, parent, root, atMs, by, what])
}

export async function signCommit(signer: Signer, commit: Commit): Promise<Signed> {
  return { by: signer.nodeId, signature: await signer.sign(bytesOf(commit)) }
}

/** Whether that node has signed it. */
export function isSigned(signer: Signer, commit: Commit, { by, signature }: Signed): Promise<boolean> {
  return signer.verify(by, bytesOf(commit), signature)
}
