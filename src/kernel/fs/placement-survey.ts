// Finds out what there is to know of trees' leaves: which they are, and who keeps them. Above: placement.ts.
// Below: placement-site.ts (what is known of one tree), block-holder.ts (where this node is asked), rpc.
import { errorLine } from '../../base/errors.ts'
import { type Kid, type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { CidText } from '../blocks/cid.ts'
import { MAX_CIDS_PER_CALL } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { BlockHolder } from './block-holder.ts'
import type { Census } from './leaves.ts'
import type { PlacementSite } from './placement-site.ts'

export interface SurveyOptions {
  rpc: RpcNode
  clock: Clock
  log: LogSink
  membership: Membership
  holder: BlockHolder
  /** All leaves below these directories, and their sizes. @throws {OsError} EIO, EFBIG. */
  census(roots: readonly CidText[]): Promise<Census>
}

export class Survey {
  readonly #options: SurveyOptions
  /** What was counted last of each tree. */
  readonly #counts = new Map<Kid, { key: string; counted: Promise<Census> }>()

  constructor(options: SurveyOptions) {
    this.#options = options
  }

  /** A tree is not kept here any longer. */
  forget(tree: Kid): void {
    this.#counts.delete(tree)
  }

  /** All leaves of these versions of a tree; counted once as long as they are the same. @throws {OsError} EIO, EFBIG. */
  leaves(tree: Kid, roots: readonly CidText[]): Promise<Census> {
    const key = roots.join()
    const known = this.#counts.get(tree)
    if (known?.key === key) return known.counted
    const counted = this.#options.census(roots)
    this.#counts.set(tree, { key, counted })
    const forget = () => {
      if (this.#counts.get(tree)?.counted === counted) this.#counts.delete(tree)
    }
    // What was lost may be found.
    counted.then(({ complete }) => complete || forget(), forget)
    return counted
  }

  /** The same, of one that is led here. @throws {OsError} EIO, EFBIG. */
  async count(site: PlacementSite, roots: readonly CidText[]): Promise<ReadonlyMap<CidText, number>> {
    const atMs = this.#options.clock.nowMs()
    const { leaves } = await this.leaves(site.tree, roots)
    site.count(leaves, atMs)
    return leaves
  }

  /** Asks everybody which of these it keeps, where nobody was asked yet. */
  async learn(site: PlacementSite, cids: readonly CidText[]): Promise<void> {
    const unknown = site.unknown(cids).sort()
    if (unknown.length === 0) return
    const { rpc, membership } = this.#options
    await Promise.all([rpc.self, ...membership.linked()].map((peer) => this.#ask(site, peer, unknown)))
    site.learnt(unknown)
  }

  /** Asks those who have come, or did not answer, for all. */
  async hear(site: PlacementSite, cids: readonly CidText[]): Promise<void> {
    const peers = [...site.unheard]
    site.unheard.clear()
    await Promise.all(peers.map((peer) => this.#ask(site, peer, cids)))
  }

  async #ask(site: PlacementSite, peer: NodeId, cids: readonly CidText[]): Promise<void> {
    const { rpc, holder, membership, log } = this.#options
    const { tree } = site
    let heard = 0
    try {
      for (let at = 0; at < cids.length; at += MAX_CIDS_PER_CALL) {
        const some = cids.slice(at, at + MAX_CIDS_PER_CALL)
        const own = peer === rpc.self
        membership.mustAnswer(peer)
        const kept = own ? await holder.kept(tree, some) : await rpc.call(peer, 'tree.kept', { tree, cids: some })
        for (const [i, cid] of some.entries()) site.heard(cid, peer, kept[i])
        heard = at + some.length
      }
    } catch (error) {
      if (membership.has(peer)) site.unheard.add(peer)
      for (const cid of cids.slice(heard)) if (!site.underWay.busy(cid)) site.drop(cid, peer)
      log.log('debug', 'fs', `${shortNode(peer)} does not say what it keeps: ${errorLine(error)}`)
    }
  }
}
