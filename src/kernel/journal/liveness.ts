// Who is here, as the journals want to know it, from membership.
import type { DeviceId, NodeId } from '../../base/ids.ts'
import type { PeerRow } from '../../syscalls/types.ts'
import type { Leave, Membership } from '../membership/membership.ts'
import type { Candidate } from './policy.ts'

/** What the journals need to know about who is here; membership tells it. */
export interface Liveness {
  /** This node included. */
  nodes(): readonly Candidate[]
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
}

export function livenessOf(
  membership: Membership,
  self: { id: NodeId; device: DeviceId; fit: () => boolean },
): Liveness {
  return {
    nodes: () => [
      { id: self.id, device: self.device, fit: self.fit() },
      ...membership.rows().map((row) => ({ id: row.id as NodeId, device: row.device as DeviceId, fit: mayKeep(row) })),
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
        if (event.type === 'changed' && event.state !== 'frozen' && event.state !== 'stalled') listener()
      })
    },
  }
}

/** Whether that node could keep a journal now. */
export function mayKeep({ direct, state }: Pick<PeerRow, 'direct' | 'state'>): boolean {
  return direct && state !== 'frozen' && state !== 'stalled'
}
