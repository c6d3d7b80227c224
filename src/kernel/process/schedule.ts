// Where the next event runs. A pure function, so that its decisions can be tested and explained.
import type { NodeId } from '../../base/ids.ts'
import type { PeerState } from '../../syscalls/types.ts'
import { LEASE_DEPTH } from '../limits.ts'
import { unfit } from '../membership/member.ts'

export interface NodeLoad {
  id: NodeId
  slots: number
  state: PeerState
  /** Leases that it has from this home. */
  leased: number
  /** Leases that it works on for anybody, as it last said. */
  running: number
}

export interface Placement {
  node: NodeId
  /** Leases that it works on at a time; others wait there. */
  slots: number
  /** Leases that all nodes together can have, this one included. */
  rooms: number
  /** For people: why there. */
  reason: string
}

/** The node with the most room per slot; hidden tabs count as half as fast. Undefined: all are full, wait. */
export function place(nodes: readonly NodeLoad[]): Placement | undefined {
  let best: { node: NodeLoad; fill: number } | undefined
  let rooms = 0
  for (const node of nodes) {
    if (node.slots === 0 || unfit(node.state) || node.state === 'connecting') continue
    rooms += node.slots * LEASE_DEPTH
    if (node.leased >= node.slots * LEASE_DEPTH) continue
    const foreign = Math.max(0, node.running - node.leased)
    const speed = node.state === 'hidden' ? 0.5 : 1
    const fill = (node.leased + foreign / 2) / (node.slots * speed)
    if (!best || fill < best.fill) best = { node, fill }
  }
  if (!best) return undefined
  const { node, fill } = best
  return {
    node: node.id,
    slots: node.slots,
    rooms,
    reason: `least loaded: ${node.leased} leased on ${node.slots} slots, fill ${fill.toFixed(2)}`,
  }
}
