// Whom to be connected to. A pure function: everybody in a small cluster; beyond, the nearest by XOR distance
// (Kademlia's neighbours, whom the DHT needs) and a spread over the rest, so that the graph stays connected.
import type { NodeId } from '../../base/ids.ts'
import { MAX_MESH_PEERS } from '../limits.ts'

/** A 32-bit position of a node id on the ring (FNV-1a): cheap, even, the same on every node. */
export function ringPosition(id: NodeId): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < id.length; i++) hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

export function wantedNeighbours(self: NodeId, known: readonly NodeId[]): Set<NodeId> {
  if (known.length < MAX_MESH_PEERS) return new Set(known)
  const own = ringPosition(self)
  const byDistance = known
    .map((id) => ({ id, distance: (ringPosition(id) ^ own) >>> 0 }))
    .sort((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1))
  const near = MAX_MESH_PEERS / 2
  const wanted = new Set(byDistance.slice(0, near).map(({ id }) => id))
  // Every k-th of the rest: at distances that grow, as in a Kademlia table.
  const rest = byDistance.slice(near)
  const step = rest.length / (MAX_MESH_PEERS - 1 - near)
  for (let i = 0; i < rest.length; i += step) {
    const peer = rest[Math.floor(i)]
    if (peer) wanted.add(peer.id)
  }
  return wanted
}
