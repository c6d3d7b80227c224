// Who hears a node's heartbeats. Everybody to everybody would cost each tab as much as there are tabs; here each node
// has a few watchers, those who follow it on the ring of ids, and the watchers tell the others when it falls silent.
// Source: the idea of SWIM (Das, Gupta, Motivala 2002), that the load of each member must not grow with the group,
// with heartbeats to fixed watchers in place of random probes, because a heartbeat needs no answer.
import type { NodeId } from '../../base/ids.ts'

/** The `count` peers that follow `self` on the ring; all of them when there are no more. */
export function watchersOf(self: NodeId, peers: readonly NodeId[], count: number): Set<NodeId> {
  const ring = [...peers].sort()
  const next = ring.findIndex((peer) => peer > self)
  const start = Math.max(next, 0)
  return new Set([...ring.slice(start), ...ring.slice(0, start)].slice(0, count))
}
