// Whom to be connected to. A pure function: everybody in a small cluster; beyond, the nearest by XOR distance
// (Kademlia's neighbours, whom the DHT needs) and one at each larger distance, so that the graph stays connected.
import type { NodeId } from '../../base/ids.ts'
import { MAX_MESH_PEERS } from '../limits.ts'

/** A 32-bit position of a node id on the ring (FNV-1a): cheap, even, the same on every node. */
export function ringPosition(id: NodeId): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** Where the spread begins: a finger for each of the largest distances, as many as there is room for beside the near. */
const NEAR = MAX_MESH_PEERS / 2
const LARGEST_BIT = 31
const SMALLEST_BIT = LARGEST_BIT - (MAX_MESH_PEERS - 1 - NEAR) + 1

/** A newcomer changes few of them at any node: links that were wanted once stay, and would otherwise pile up. */
export function wantedNeighbours(self: NodeId, known: readonly NodeId[]): Set<NodeId> {
  if (known.length < MAX_MESH_PEERS) return new Set(known)
  const own = ringPosition(self)
  const byDistance = known
    .map((id) => ({ id, distance: (ringPosition(id) ^ own) >>> 0 }))
    .sort((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1))
  const wanted = new Set(byDistance.slice(0, NEAR).map(({ id }) => id))
  // Of all at a distance between two powers of two the first, as Kademlia's buckets have one entry at least.
  const fingers = new Map<number, NodeId>()
  for (const { id, distance } of byDistance.slice(NEAR)) {
    const bit = LARGEST_BIT - Math.clz32(distance)
    if (bit >= SMALLEST_BIT && !fingers.has(bit)) fingers.set(bit, id)
  }
  for (const id of fingers.values()) wanted.add(id)
  return wanted
}
