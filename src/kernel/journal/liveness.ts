// Who is here, as the journals want to know it, from membership.
import type { DeviceId, NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { PeerRow } from '../../syscalls/types.ts'
import { SETTLED_MS, SILENT_MS } from '../limits.ts'
import { unfit } from '../membership/member.ts'
import type { Leave, Membership } from '../membership/membership.ts'
import type { Candidate } from './policy.ts'

/** What the journals need to know about who is here; membership tells it. */
export interface Liveness {
  /** This node included, with how well each would keep that journal. */
  nodes(journal: string): readonly Candidate[]
  has(id: NodeId): boolean
  /** Asked with every acknowledgement. */
  deviceOf(id: NodeId): DeviceId | undefined
  /** @param said who took its leave, if anybody. */
  onLeft(listener: (peer: NodeId, said: Leave) => void): void
  /** Tries to have a link to a node that is perhaps no neighbour. */
  reach(id: NodeId): void
  onLink(listener: (peer: NodeId) => void): void
  /** Somebody who could keep no journal, frozen or silent, may be able to now. */
  onFit(listener: () => void): void
  /** Somebody can keep no journal now: it has gone, is frozen or silent. */
  onUnfit(listener: () => void): void
  /** As `onSilent` below. */
  onSilent(listener: (peer: NodeId) => void): void
}

export function livenessOf(
  membership: Membership,
  self: { id: NodeId; device: DeviceId; fit: () => boolean },
  clock: Clock,
): Liveness {
  return {
    nodes: (journal) => [
      { id: self.id, device: self.device, fit: self.fit(), rank: 0 }, // it keeps what it leads
      ...membership.rows().map((row) => {
        const rank = rankOf(row, journal)
        return { id: row.id as NodeId, device: row.device as DeviceId, fit: mayKeep(row), rank }
      }),
    ],
    has: (id) => membership.has(id),
    deviceOf: (id) => (id === self.id ? self.device : (membership.row(id)?.device as DeviceId | undefined)),
    onLeft: (listener) => {
      membership.events.on((event) => {
        if (event.type === 'left') listener(event.peer, event.said)
      })
    },
    reach: (id) => {
      membership.reach(id).catch(() => undefined) // nobody is there, or not now: it is tried at the next election
    },
    onLink: (listener) => {
      membership.onLink(listener)
    },
    onFit: (listener) => {
      membership.events.on((event) => {
        if (event.type === 'changed' && !unfit(event.state)) listener()
      })
    },
    onUnfit: (listener) => {
      membership.events.on((event) => {
        if (event.type === 'left' || (event.type === 'changed' && unfit(event.state))) listener()
      })
    },
    onSilent: (listener) => onSilent(membership, clock, listener),
  }
}

/** Tells of each node that is there and answers nobody: at once when it says that it is frozen, later when it may be busy. */
export function onSilent(membership: Membership, clock: Clock, listener: (peer: NodeId) => void): void {
  membership.events.on((event) => {
    if (event.type !== 'changed') return
    const { peer, state } = event
    if (state === 'frozen') listener(peer)
    if (state !== 'stalled') return
    const look = () => {
      const row = membership.row(peer)
      if (row && unfit(row.state)) listener(peer)
    }
    clock.setTimer(look, SILENT_MS, 'silent node')
  })
}

/**
 * How well a node would keep a journal: one whose disk has room and is not evicted, that people look at (hidden tabs are
 * throttled and frozen first), and that did not come just now, as those do who are gone soon. Among equals each journal
 * has an order of its own, so that all are spread over all (rendezvous hashing).
 */
export function rankOf(
  { id, state, storage, knownMs }: Pick<PeerRow, 'id' | 'state' | 'storage' | 'knownMs'>,
  journal: string,
): number {
  const room = { exhausted: -16, full: -8, scarce: 0, ample: 2, persistent: 3 }[storage]
  return room + (state === 'hidden' ? 0 : 1) + (knownMs >= SETTLED_MS ? 1 : 0) + spread(`${journal} ${id}`)
}

/** FNV-1a, as a number from 0 to 1. */
export function spread(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  // The last characters count as much as the first.
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32
}

/** Whether that node could keep a journal now. */
export function mayKeep({ direct, state }: Pick<PeerRow, 'direct' | 'state'>): boolean {
  return direct && !unfit(state)
}
