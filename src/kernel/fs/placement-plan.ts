// Who should keep which leaf: pure functions. Above: placement.ts. Below: nothing.
//
// Each leaf has an order of its own of all nodes: weighted rendezvous hashing (Thaler and Ravishankar 1998; with weights
// as in Schindelhauer and Schomaker 2005). When a node comes or goes, only what it keeps moves.
import type { DeviceId, NodeId } from '../../base/ids.ts'
import type { PeerRow } from '../../syscalls/types.ts'
import { spread } from '../journal/liveness.ts'
import { KEEP_BATCH_BYTES, MAX_CIDS_PER_CALL, SETTLED_MS } from '../limits.ts'
import type { PlacedLeaf } from './leaves.ts'

/** A node that could keep something now. */
export interface Keeper {
  id: NodeId
  device: DeviceId
  /** Of all leaves it gets a share like this one of the sum of all weights; 0: none. */
  weight: number
}

/** A leaf that is to be kept by more devices. */
export interface Missing extends PlacedLeaf {
  /** Devices that keep it. */
  on: ReadonlySet<string>
  /** How many should. */
  count: number
  /** Nodes that were asked already. */
  tried: Set<NodeId>
}

export interface Assignment {
  id: NodeId
  leaf: PlacedLeaf
  /** How many will keep it before this one does: the first copies are made first. */
  before: number
}

/**
 * How much of what is placed a node should get: none when its disk is full; more where there is room for certain; less where
 * the tab is hidden, and so is throttled and frozen first, or came just now, as those do who are gone soon.
 */
export function weightOf({ state, storage, knownMs }: Pick<PeerRow, 'state' | 'storage' | 'knownMs'>): number {
  const room = { exhausted: 0, full: 0, scarce: 0.25, ample: 1, persistent: 2 }[storage]
  return room * (state === 'hidden' ? 0.5 : 1) * (knownMs >= SETTLED_MS ? 1 : 0.5)
}

/** How well that node is for that leaf: higher goes first. */
export function scoreOf(cid: string, { id, weight }: Pick<Keeper, 'id' | 'weight'>): number {
  if (weight <= 0) return Number.NEGATIVE_INFINITY
  const hash = Math.min(1 - 2 ** -32, Math.max(2 ** -32, spread(`${cid} ${id}`)))
  return weight / -Math.log(hash)
}

/** Whom to ask next for each leaf: whoever is best of those on other devices, and was not asked before. */
export function planOf(missing: readonly Missing[], keepers: readonly Keeper[]): Assignment[] {
  const plan: Assignment[] = []
  for (const { cid, size, on, count, tried } of missing) {
    if (on.size >= count) continue
    const devices = new Set(on)
    const free = keepers.filter(({ id, device, weight }) => weight > 0 && !tried.has(id) && !devices.has(device))
    const scored = free.map((keeper) => ({ keeper, score: scoreOf(cid, keeper) }))
    scored.sort((a, b) => b.score - a.score || (a.keeper.id < b.keeper.id ? -1 : 1))
    for (const { keeper } of scored) {
      if (devices.size >= count) break
      if (devices.has(keeper.device)) continue
      plan.push({ id: keeper.id, leaf: { cid, size }, before: devices.size })
      devices.add(keeper.device)
      tried.add(keeper.id)
    }
  }
  return plan
}

/** The same as calls, each to one node and not too large; those with which all have a first and a second copy come first. */
export function batchesOf(plan: readonly Assignment[]): { id: NodeId; leaves: PlacedLeaf[] }[] {
  const batches: { id: NodeId; leaves: PlacedLeaf[]; bytes: number }[] = []
  const open = new Map<string, (typeof batches)[number]>()
  for (const { id, leaf, before } of [...plan].sort((a, b) => a.before - b.before)) {
    const key = `${before} ${id}`
    let batch = open.get(key)
    if (!batch || batch.leaves.length >= MAX_CIDS_PER_CALL || batch.bytes + leaf.size > KEEP_BATCH_BYTES) {
      batch = { id, leaves: [], bytes: 0 }
      batches.push(batch)
      open.set(key, batch)
    }
    batch.leaves.push(leaf)
    batch.bytes += leaf.size
  }
  return batches
}
