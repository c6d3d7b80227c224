// Who should keep a journal: the next change of members, if one is due. A pure function, so that it can be tested.
// Wanted are GROUP_SIZE voters, on distinct devices where there are as many, and of those on the ones that keep best. Two voters would be worse than one, because
// either could stop the other: with two nodes a witness is the third vote, and without one the second only learns.
// One change at a time; newcomers catch up as learners before they count.
import type { DeviceId, NodeId } from '../../base/ids.ts'
import { GROUP_SIZE, MAX_VOTERS } from '../limits.ts'
import { type GroupConfig, voterOf } from './raft/config.ts'

export interface Candidate {
  id: NodeId
  device: DeviceId
  /** May keep journals now: not frozen, not silent. */
  fit: boolean
  /** How well it would keep this journal: higher goes first. */
  rank: number
}

export interface PolicyView {
  self: NodeId
  config: GroupConfig
  /** Every node that is here, this one included. */
  nodes: readonly Candidate[]
  /** Voters that are not here and will not be back soon: gone for longer than a reload takes; or that store nothing any more. */
  gone: (id: NodeId) => boolean
  /** Learners that have everything. */
  caughtUp: (id: NodeId) => boolean
  /** Learners that should have everything by now: they may never have, and stand in nobody's way. */
  slow: (id: NodeId) => boolean
  /** A node that only votes (the relay), where there is one. */
  witness: NodeId | undefined
}

/** Who keeps a new journal of `self` from its beginning on. */
export function firstConfig(self: NodeId, nodes: readonly Candidate[]): GroupConfig {
  const chosen = [self, ...best(nodes, [self], GROUP_SIZE - 1)]
  const voters = chosen.length < GROUP_SIZE ? [self] : chosen
  return { voters: voters.map((id) => ({ id, witness: false })), learners: [] }
}

/** The configuration to propose next; undefined when nothing is to be done. */
export function nextConfig(view: PolicyView): GroupConfig | undefined {
  return promote(view) ?? dropLearners(view) ?? recruit(view) ?? dismiss(view) ?? adjustWitness(view)
}

/** Up to `count` nodes that may join these, on other devices first. */
function best(nodes: readonly Candidate[], kept: readonly NodeId[], count: number): NodeId[] {
  const devices = new Set(kept.map((id) => deviceOf(nodes, id)))
  const free = nodes
    .filter(({ id, fit }) => fit && !kept.includes(id))
    .sort((a, b) => b.rank - a.rank || (a.id < b.id ? -1 : 1))
  const chosen: NodeId[] = []
  for (const { id, device } of free) {
    if (chosen.length >= count || devices.has(device)) continue
    chosen.push(id)
    devices.add(device)
  }
  for (const { id } of free) if (chosen.length < count && !chosen.includes(id)) chosen.push(id)
  return chosen
}

/** Learners that have caught up become voters, if three will vote in the end. */
function promote({ config, caughtUp, nodes, witness }: PolicyView): GroupConfig | undefined {
  const ready = config.learners.filter((id) => caughtUp(id) && nodes.some((node) => node.id === id))
  const [first] = ready
  const votes = config.voters.length + ready.length + (witness === undefined ? 0 : 1)
  if (first === undefined || votes < GROUP_SIZE) return undefined
  return {
    voters: [...config.voters, { id: first, witness: false }],
    learners: config.learners.filter((id) => id !== first),
  }
}

/** A learner that went away is not waited for. */
function dropLearners({ config, nodes }: PolicyView): GroupConfig | undefined {
  const here = config.learners.filter((id) => nodes.some((node) => node.id === id))
  return here.length < config.learners.length ? { ...config, learners: here } : undefined
}

/** Learners that are waited for. */
function learning({ config, slow }: PolicyView): NodeId[] {
  return config.learners.filter((id) => !slow(id))
}

function recruit(view: PolicyView): GroupConfig | undefined {
  const { config, nodes, gone } = view
  if (config.voters.length + config.learners.length >= MAX_VOTERS) return undefined
  const keepers = keepersOf(config).filter((id) => !gone(id))
  const members = [...keepers, ...learning(view)]
  const devices = new Set(keepers.map((id) => deviceOf(nodes, id)))
  const present = nodes.filter(({ id }) => !voterOf(config, id) && !config.learners.includes(id))
  const [next] = best([...present, ...nodes.filter(({ id }) => members.includes(id))], members, 1)
  if (next === undefined) return undefined
  // A second tab of a device is worth an exchange for a node on a device of its own.
  const better = devices.size < keepers.length && !devices.has(deviceOf(nodes, next)) && learning(view).length === 0
  if (members.length >= GROUP_SIZE && !better) return undefined
  return { ...config, learners: [...config.learners, next] }
}

function dismiss(view: PolicyView): GroupConfig | undefined {
  const { config, nodes, gone, self, witness } = view
  const keepers = keepersOf(config)
  const without = (id: NodeId): GroupConfig => ({ ...config, voters: config.voters.filter((voter) => voter.id !== id) })
  const lost = keepers.find((id) => id !== self && gone(id))
  if (lost) return without(lost)
  const others = keepers.filter((id) => id !== self)
  if (keepers.length === 2 && config.voters.length === 2 && witness === undefined && learning(view).length === 0) {
    return without(others[0] as NodeId)
  }
  if (keepers.length <= GROUP_SIZE) return undefined
  const seen = new Set([deviceOf(nodes, self)])
  for (const id of others) {
    const device = deviceOf(nodes, id)
    if (seen.has(device)) return without(id)
    seen.add(device)
  }
  return without(others.at(-1) as NodeId)
}

/** With exactly two keepers a third vote decides who may go on alone; with any other number it is in the way. */
function adjustWitness(view: PolicyView): GroupConfig | undefined {
  const { config, witness } = view
  const keepers = config.voters.filter((voter) => !voter.witness)
  const present = config.voters.find((voter) => voter.witness)
  if (present && (keepers.length !== 2 || (witness !== undefined && present.id !== witness))) {
    return { ...config, voters: keepers }
  }
  if (present || keepers.length !== 2 || witness === undefined || learning(view).length > 0) return undefined
  return { ...config, voters: [...keepers, { id: witness, witness: true }] }
}

function keepersOf(config: GroupConfig): NodeId[] {
  return config.voters.filter(({ witness }) => !witness).map(({ id }) => id)
}

function deviceOf(nodes: readonly Candidate[], id: NodeId): string {
  return nodes.find((node) => node.id === id)?.device ?? id
}
