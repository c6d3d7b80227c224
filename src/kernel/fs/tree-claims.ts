// Who says that it leads a tree, as far as this node knows: a claim is a way to go, never a proof. Each is its maker's
// own word, and goes with it. Pure. Above: tree-in-use.ts.
import type { Kid, NodeId } from '../../base/ids.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import { precedes } from './tree-head.ts'

export class TreeClaims {
  readonly #most: number
  readonly #claims = new Map<NodeId, TreeHead>()

  constructor(most: number) {
    this.#most = most
  }

  get(home: NodeId): TreeHead | undefined {
    return this.#claims.get(home)
  }

  /** Its home's own word; replaces what it said before. */
  set(head: TreeHead): void {
    this.#claims.set(head.home, head)
    if (this.#claims.size <= this.#most) return
    let worst = head
    for (const claim of this.#claims.values()) if (precedes(worst, claim)) worst = claim
    this.#claims.delete(worst.home)
  }

  /** @returns whether there was one. */
  drop(home: NodeId): boolean {
    return this.#claims.delete(home)
  }

  /** @param tree only of that one. */
  best(tree?: Kid): TreeHead | undefined {
    let best: TreeHead | undefined
    for (const claim of this.#claims.values()) {
      if ((tree === undefined || claim.tree === tree) && (!best || precedes(claim, best))) best = claim
    }
    return best
  }
}
