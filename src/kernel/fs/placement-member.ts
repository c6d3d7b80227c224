// What a member of a tree's journal asks its leader about leaves: which others keep, and who takes them where there is no room.
// Above: files.ts, tree-keeper.ts, tree-sweep.ts. Below: block-holder.ts, rpc; placement.ts where this node leads the tree.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { CidText } from '../blocks/cid.ts'
import { MAX_CIDS_PER_CALL, REPLICAS } from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import { type BlockHolder, bitsOf } from './block-holder.ts'
import type { Elsewhere } from './leaves.ts'

/** How it shows that the leader does not lead (yet), or is not here. */
const UNLED = ['EAGAIN', 'EHOSTUNREACH', 'ETIMEDOUT', 'ECONNRESET'] as const

export interface PlacementMemberOptions {
  rpc: RpcNode
  log: LogSink
  holder: BlockHolder
  /** For trees that this node leads: see Placement. */
  placed(peer: NodeId, tree: Kid, cids: readonly CidText[], relieve: boolean): Promise<boolean[]>
}

export class PlacementMember {
  readonly #options: PlacementMemberOptions

  constructor(options: PlacementMemberOptions) {
    this.#options = options
  }

  /**
   * For a member of that tree's journal: which leaves others keep, as its leader says. What is kept here because somebody
   * asked for it is not asked about. Where the leader does not say so, what others have counts: it is placed when somebody
   * leads. @param relieve there is no room here: others are to be found.
   */
  elsewhere(tree: Kid, leader: NodeId, relieve = false): Elsewhere {
    const { holder, log } = this.#options
    return async (leaves) => {
      const cids = leaves.map(({ cid }) => cid)
      const released = holder.released.get(tree)
      const owed = cids.filter((cid) => !holder.has(tree, cid) || released?.has(cid))
      let placed = new Set<CidText>()
      try {
        placed = new Set(await this.#askLeader(tree, leader, owed, relieve))
      } catch (error) {
        if (!UNLED.some((code) => isOsError(error, code))) throw error
        // It may not lead before this node has what it is about to say.
        log.log('debug', 'fs', `${shortNode(leader)} does not say where leaves are: ${errorLine(error)}`)
        placed = await this.#seen(owed)
      }
      return cids.map((cid) => placed.has(cid))
    }
  }

  /** Those that are not here, and that enough others have, kept or not. */
  async #seen(cids: readonly CidText[]): Promise<Set<CidText>> {
    const { holder } = this.#options
    const seen = new Set<CidText>()
    const missing = await holder.missing(cids)
    for (let at = 0; at < missing.length; at += MAX_CIDS_PER_CALL) {
      const some = missing.slice(at, at + MAX_CIDS_PER_CALL)
      const elsewhere = await holder.elsewhere(some, REPLICAS)
      for (const [i, cid] of some.entries()) if (elsewhere[i]) seen.add(cid)
    }
    return seen
  }

  /** This node has no room: of what it was asked to keep, others keep what they can. @throws {OsError} EHOSTUNREACH, EAGAIN. */
  async relieve(tree: Kid): Promise<void> {
    const { holder } = this.#options
    const leader = await this.#leaderOf(tree)
    const kept = holder.of(tree)
    for (let at = 0; at < kept.length; at += MAX_CIDS_PER_CALL) {
      const some = kept.slice(at, at + MAX_CIDS_PER_CALL)
      holder.release(tree, await this.#askLeader(tree, leader, some, true))
    }
  }

  /** Those of these leaves that enough others keep, so that this node is not counted on. @throws {OsError} EHOSTUNREACH, EAGAIN. */
  async placedElsewhere(tree: Kid, cids: readonly CidText[]): Promise<CidText[]> {
    return this.#askLeader(tree, await this.#leaderOf(tree), cids, false)
  }

  async #leaderOf(tree: Kid): Promise<NodeId> {
    const leader = await this.#options.holder.leaderOf(tree)
    if (leader === undefined) throw new OsError('EHOSTUNREACH', `nobody who leads ${shortKid(tree)} is here`)
    return leader
  }

  /** @returns those that enough others keep. */
  async #askLeader(tree: Kid, leader: NodeId, cids: readonly CidText[], relieve: boolean): Promise<CidText[]> {
    const { rpc, placed } = this.#options
    const found: CidText[] = []
    for (let at = 0; at < cids.length; at += MAX_CIDS_PER_CALL) {
      const some = cids.slice(at, at + MAX_CIDS_PER_CALL)
      const args = { tree, cids: some, ...(relieve ? { relieve } : {}) }
      const own = leader === rpc.self
      const answer = own
        ? bitsOf(await placed(rpc.self, tree, some, relieve))
        : await rpc.call(leader, 'tree.placed', args)
      found.push(...some.filter((_cid, i) => answer[i] === 1))
    }
    return found
  }
}
