// What the leader of a tree knows of its leaves: who keeps each, and which are being put there. Above: placement.ts.
// Below: nothing.
import type { DeviceId, Kid, NodeId } from '../../base/ids.ts'
import type { CidText } from '../blocks/cid.ts'
import { BLOCK_BYTES, PLACE_NEEDS_MS } from '../limits.ts'
import type { PlacedLeaf } from './leaves.ts'
import { type Keeper, scoreOf } from './placement-plan.ts'

/** How a node keeps something: as a member of the tree's journal, for as long as it is one; or because it was asked to. */
export const AS_MEMBER = 1
export const ASKED = 2

/** Who counts: those who are here, with their devices, and the members of the journal. */
export interface View {
  /** The keg that it is a tree of; undefined: of `/`. */
  keg: Kid | undefined
  devices: ReadonlyMap<NodeId, DeviceId>
  members: readonly NodeId[]
}

interface Known {
  size: number
  holders: Map<NodeId, number>
  /** Everybody was asked. */
  learnt: boolean
}

/** Changes of a tree that this node is making, or made a moment ago: they are not in its versions yet, or were not just now. */
export class UnderWay {
  /** By leaf: how many put it into the tree, and when the last one ended. */
  readonly #leaves = new Map<CidText, { busy: number; endedMs: number }>()
  /** Versions are being brought back, which may need anything that the tree ever needed; and when the last one was. */
  #restoring = 0
  #restoredMs = Number.NEGATIVE_INFINITY

  begin(cids: readonly CidText[]): void {
    for (const cid of cids) {
      const known = this.#leaves.get(cid) ?? { busy: 0, endedMs: Number.NEGATIVE_INFINITY }
      known.busy++
      this.#leaves.set(cid, known)
    }
  }

  end(cids: readonly CidText[], nowMs: number): void {
    for (const cid of cids) {
      const known = this.#leaves.get(cid)
      if (!known) continue
      known.busy--
      known.endedMs = nowMs
    }
  }

  /** A version is being brought back. @returns what ends it. */
  restore(): (nowMs: number) => void {
    this.#restoring++
    return (nowMs) => {
      this.#restoring--
      this.#restoredMs = nowMs
    }
  }

  /** Whether a version is being brought back, or was since. */
  restored(sinceMs: number): boolean {
    return this.#restoring > 0 || this.#restoredMs >= sinceMs
  }

  /** Whether a change under way puts it into the tree. */
  busy(cid: CidText): boolean {
    return (this.#leaves.get(cid)?.busy ?? 0) > 0
  }

  /** The same, or one that ended since. */
  busySince(cid: CidText, sinceMs: number): boolean {
    const known = this.#leaves.get(cid)
    return known !== undefined && (known.busy > 0 || known.endedMs >= sinceMs)
  }

  /** Forgets what ended before. */
  forget(beforeMs: number): void {
    for (const [cid, { busy, endedMs }] of this.#leaves) if (busy === 0 && endedMs < beforeMs) this.#leaves.delete(cid)
  }
}

export class PlacementSite {
  readonly tree: Kid
  readonly underWay: UnderWay
  readonly #leaves = new Map<CidText, Known>()
  /** Nodes that were not asked for all, or did not answer. */
  readonly unheard = new Set<NodeId>()
  /** It was looked through since this node leads the tree. */
  counted = false
  /** When everybody was asked about everything. */
  learntMs = Number.NEGATIVE_INFINITY

  constructor(tree: Kid, underWay: UnderWay) {
    this.tree = tree
    this.underWay = underWay
  }

  /** A change puts these into the tree. */
  begin(leaves: readonly PlacedLeaf[]): void {
    for (const { cid, size } of leaves) this.#known(cid).size = size
    this.underWay.begin(leaves.map(({ cid }) => cid))
  }

  /** Whether it is a leaf of the tree, as far as is known. */
  knows(cid: CidText): boolean {
    return this.#leaves.has(cid)
  }

  /** Everybody is to be asked anew about these. What was said counts until then: who writes, or looks, goes by it meanwhile. */
  unlearn(cids: readonly CidText[]): void {
    for (const cid of cids) {
      const known = this.#leaves.get(cid)
      if (known) known.learnt = false
    }
  }

  /** Bytes, as far as they are known. */
  size(cid: CidText): number {
    return this.#leaves.get(cid)?.size ?? BLOCK_BYTES
  }

  /** Those of which not everybody was asked. */
  unknown(cids: readonly CidText[]): CidText[] {
    return cids.filter((cid) => !this.#leaves.get(cid)?.learnt)
  }

  learnt(cids: readonly CidText[]): void {
    for (const cid of cids) this.#known(cid).learnt = true
  }

  /** @param how AS_MEMBER, ASKED; anything else: it does not keep it. */
  heard(cid: CidText, peer: NodeId, how: number | undefined): void {
    if (how === AS_MEMBER || how === ASKED) this.#known(cid).holders.set(peer, how)
    else this.drop(cid, peer)
  }

  drop(cid: CidText, peer: NodeId): void {
    this.#leaves.get(cid)?.holders.delete(peer)
  }

  holdersOf(cid: CidText): NodeId[] {
    return [...(this.#leaves.get(cid)?.holders.keys() ?? [])]
  }

  /** Devices that keep it, without one node. */
  devicesOf(cid: CidText, { devices, members }: View, but?: NodeId): Set<string> {
    const on = new Set<string>()
    for (const [id, how] of this.#leaves.get(cid)?.holders ?? []) {
      const device = devices.get(id)
      if (device !== undefined && id !== but && (how === ASKED || members.includes(id))) on.add(device)
    }
    return on
  }

  /** How many. */
  devices(cid: CidText, view: View, but?: NodeId): number {
    return this.devicesOf(cid, view, but).size
  }

  /** Who were asked to keep it, and need not: those that do it least well. */
  surplus(cid: CidText, copies: number, keepers: readonly Keeper[], view: View): NodeId[] {
    const asked = keepers.filter(({ id }) => this.#leaves.get(cid)?.holders.get(id) === ASKED)
    asked.sort((a, b) => scoreOf(cid, a) - scoreOf(cid, b))
    const rest = new Map(view.devices)
    return asked.flatMap(({ id, device }) => {
      rest.delete(id)
      if (this.devices(cid, { ...view, devices: rest }) >= copies) return [id]
      rest.set(id, device)
      return []
    })
  }

  /** These are all leaves of its versions at that time; what has come since is not among them. */
  count(leaves: ReadonlyMap<CidText, number>, atMs: number): void {
    for (const cid of this.#leaves.keys())
      if (!leaves.has(cid) && !this.underWay.busySince(cid, atMs)) this.#leaves.delete(cid)
    for (const [cid, size] of leaves) this.#known(cid).size = size
    this.underWay.forget(atMs - PLACE_NEEDS_MS)
    this.counted = true
  }

  #known(cid: CidText): Known {
    const known: Known = this.#leaves.get(cid) ?? { size: BLOCK_BYTES, holders: new Map(), learnt: false }
    this.#leaves.set(cid, known)
    return known
  }
}
