// Who hears a node's heartbeats. Everybody to everybody would cost each tab as much as there are tabs; here each node
// has a few watchers, its neighbours on the ring of ids, and the watchers tell the others when it falls silent.
// Source: the idea of SWIM (Das, Gupta, Motivala 2002), that the load of each member must not grow with the group,
// with heartbeats to fixed watchers in place of random probes, because a heartbeat needs no answer.
import type { NodeId } from '../../base/ids.ts'

/** The nearest on either side of `self` on the ring, `count` in all: who watch each other, mostly; everybody when there are no more. */
export function watchersOf(self: NodeId, peers: readonly NodeId[], count: number): Set<NodeId> {
  if (peers.length <= count) return new Set(peers)
  const ring = [...peers].sort()
  const next = Math.max(
    0,
    ring.findIndex((peer) => peer > self),
  ) // past the last comes the first
  const at = (place: number) => ring[(place + ring.length) % ring.length] as NodeId
  const before = Math.floor(count / 2)
  return new Set(Array.from({ length: count }, (_, i) => at(next - before + i)))
}
