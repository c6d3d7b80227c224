// What this node tells others of who leads the trees of a keg. Above: tree-in-use.ts, which decides which tree is used. Below: rpc,
// membership.
import type { Kid, NodeId } from '../../base/ids.ts'
import * as limits from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import { ofKeg, precedes } from './tree-head.ts'

export interface TreeWordOptions {
  /** Undefined for `/`. */
  keg?: Kid | undefined
  rpc: RpcNode
  membership: Membership
}

export class TreeWord {
  readonly #options: TreeWordOptions
  /** What this node has told of its own. */
  #told: TreeHead | undefined

  constructor(options: TreeWordOptions) {
    this.#options = options
  }

  /** This node's own word to everybody, once. */
  tell(head: TreeHead): void {
    const told = this.#told
    if (told?.tree === head.tree && told.term === head.term && told.version === head.version) return
    this.#told = head
    this.#options.rpc.noteAll('tree.head', head)
  }

  /** It does not lead that one any longer. */
  resign(tree: Kid): void {
    const { rpc, keg } = this.#options
    rpc.noteAll('tree.resigned', ofKeg({ tree }, keg))
    this.#told = undefined
  }

  /**
   * Another is used from now on. Whoever leads it tells its neighbours itself: in a full mesh these are all. In a larger
   * cluster everybody has half as many at least, and passes it on.
   */
  pass(best: TreeHead): void {
    const { rpc, membership } = this.#options
    if (best.home === rpc.self) this.tell(best)
    else if (membership.peers().length >= limits.MAX_MESH_PEERS / 2) rpc.noteAll('tree.head', best)
  }

  /** To a node that is linked now. @param known the newest that was used here. */
  greet(peer: NodeId, candidates: readonly (TreeHead | undefined)[], known: TreeHead): void {
    const { rpc, keg } = this.#options
    const heads = [...new Set(candidates)].filter((head) => head !== undefined && head.home !== peer) as TreeHead[]
    for (const head of heads) rpc.note(peer, 'tree.head', head)
    // Nobody leads it at the moment, or the peer does as far as is known here.
    const told = heads.some(({ version }) => version > 0)
    if (known.version > 0 && !told) rpc.note(peer, 'tree.known', ofKeg({ tree: known.tree }, keg))
  }

  /** It brings its tree into an older one that is led here, once it knows of that: it may have given it up while this node stood still. */
  ofOlder(peer: NodeId, head: TreeHead, oldest: TreeHead | undefined): void {
    const { rpc } = this.#options
    const written = oldest !== undefined && oldest.version > 0 && head.version > 0
    if (written && oldest.home === rpc.self && precedes(oldest, head)) rpc.note(peer, 'tree.head', oldest)
  }

  /** Whoever came together with this node may not have met anybody else, and has told nothing since. */
  newcomers(tree: Kid, knows: (peer: NodeId) => boolean): void {
    const { rpc, membership, keg } = this.#options
    for (const peer of membership.linked()) if (!knows(peer)) rpc.note(peer, 'tree.known', ofKeg({ tree }, keg))
  }
}
