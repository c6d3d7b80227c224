// Who should keep a journal: the next change of members, if one is due. A pure function, so that it can be tested.
// Wanted are GROUP_SIZE nodes on distinct devices; with fewer devices, as many nodes as there are; with two nodes a
// witness as the third vote. One change at a time; newcomers catch up as learners before they count.
import type { DeviceId, NodeId } from '../../base/ids.ts'
import { GROUP_SIZE } from '../limits.ts'
import { type GroupConfig, voterOf } from './raft/config.ts'

export interface Candidate {
  id: NodeId
  device: DeviceId
  /** May keep journals now: not frozen, not silent. */
  fit: boolean
}

export interface PolicyView {
  self: NodeId
  config: GroupConfig
  /** Every node that is here, this one included. */
  nodes: readonly Candidate[]
  /** Voters that are not here and will not be back soon: gone for longer than a reload takes. */
  gone: (id: NodeId) => boolean
  /** Learners that have everything. */
  caughtUp: (id: NodeId) => boolean
  /** A node that only votes (the relay), where there is one. */
  witness: NodeId | undefined
}

/** Who keeps a new journal of `self` from its beginning on. */
export function firstConfig(self: NodeId, nodes: readonly Candidate[]): GroupConfig {
  const chosen = [self]
  const devices = new Set([deviceOf(nodes, self)])
  const free = nodes.filter(({ id, fit }) => fit && id !== self).sort((a, b) => (a.id < b.id ? -1 : 1))
  for (const { id, device } of free) {
    if (chosen.length === GROUP_SIZE || devices.has(device)) continue
    chosen.push(id)
    devices.add(device)
  }
  for (const { id } of free) if (chosen.length < GROUP_SIZE && !chosen.includes(id)) chosen.push(id)
  return { voters: chosen.map((id) => ({ id, witness: false })), learners: [] }
}

/** The configuration to propose next; undefined when nothing is to be done. */
export function nextConfig(view: PolicyView): GroupConfig | undefined {
  return promote(view) ?? dropStrangers(view) ?? recruit(view) ?? dismiss(view) ?? adjustWitness(view)
}

/** A learner that has caught up becomes a voter. */
function promote({ config, caughtUp, nodes }: PolicyView): GroupConfig | undefined {
  const ready = config.learners.find((id) => caughtUp(id) && nodes.some((node) => node.id === id))
  if (ready === undefined) return undefined
  return {
    voters: [...config.voters, { id: ready, witness: false }],
    learners: config.learners.filter((id) => id !== ready),
  }
}

/** A learner that went away is not waited for. */
function dropStrangers({ config, nodes }: PolicyView): GroupConfig | undefined {
  const here = config.learners.filter((id) => nodes.some((node) => node.id === id))
  return here.length < config.learners.length ? { ...config, learners: here } : undefined
}

function recruit({ config, nodes, gone }: PolicyView): GroupConfig | undefined {
  if (config.learners.length > 0) return undefined
  const keepers = config.voters.filter(({ id, witness }) => !witness && !gone(id))
  const devices = new Set(keepers.map(({ id }) => deviceOf(nodes, id)))
  const free = nodes.filter(({ id, fit }) => fit && !voterOf(config, id)).sort((a, b) => (a.id < b.id ? -1 : 1))
  const elsewhere = free.find(({ device }) => !devices.has(device))
  // A keeper on a device of its own is worth an exchange, a mere second tab only a place that is empty.
  const doubled = devices.size < Math.min(GROUP_SIZE, keepers.length)
  const wanted = keepers.length < GROUP_SIZE ? (elsewhere ?? free[0]) : doubled ? elsewhere : undefined
  return wanted && { ...config, learners: [wanted.id] }
}

function dismiss({ config, nodes, gone, self }: PolicyView): GroupConfig | undefined {
  const keepers = config.voters.filter(({ witness }) => !witness)
  const without = (id: NodeId): GroupConfig => ({ ...config, voters: config.voters.filter((voter) => voter.id !== id) })
  const lost = keepers.find(({ id }) => id !== self && gone(id))
  if (lost) return without(lost.id)
  if (keepers.length <= GROUP_SIZE) return undefined
  const seen = new Set([deviceOf(nodes, self)])
  for (const { id } of keepers) {
    if (id === self) continue
    const device = deviceOf(nodes, id)
    if (seen.has(device)) return without(id)
    seen.add(device)
  }
  const last = keepers.findLast(({ id }) => id !== self)
  return last && without(last.id)
}

/** With exactly two keepers a third vote decides who may go on alone; with any other number it is in the way. */
function adjustWitness({ config, witness }: PolicyView): GroupConfig | undefined {
  const keepers = config.voters.filter((voter) => !voter.witness)
  const present = config.voters.find((voter) => voter.witness)
  if (present && (keepers.length !== 2 || (witness !== undefined && present.id !== witness))) {
    return { ...config, voters: keepers }
  }
  if (present || keepers.length !== 2 || witness === undefined || config.learners.length > 0) return undefined
  return { ...config, voters: [...keepers, { id: witness, witness: true }] }
}

function deviceOf(nodes: readonly Candidate[], id: NodeId): string {
  return nodes.find((node) => node.id === id)?.device ?? id
}
