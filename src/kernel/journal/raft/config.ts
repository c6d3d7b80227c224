// Who keeps a journal, and what counts as a majority of them. Pure data and arithmetic.
import * as v from 'valibot'
import type { NodeId } from '../../../base/ids.ts'
import { MAX_VOTERS } from '../../limits.ts'

export interface Voter {
  id: NodeId
  /** Votes and remembers how far the journal goes, without keeping its entries: never its leader. */
  witness: boolean
}

export interface GroupConfig {
  voters: readonly Voter[]
  /** Receive the journal, but do not count yet: newcomers catch up first, so that no majority waits for them. */
  learners: readonly NodeId[]
}

const nodeId = v.custom<NodeId>((value) => typeof value === 'string' && value.length > 0 && value.length <= 128)

export const groupConfig: v.GenericSchema<unknown, GroupConfig> = v.strictObject({
  voters: v.pipe(
    v.array(v.strictObject({ id: nodeId, witness: v.boolean() })),
    v.minLength(1),
    v.maxLength(MAX_VOTERS),
  ),
  learners: v.pipe(v.array(nodeId), v.maxLength(MAX_VOTERS)),
})

export function majority({ voters }: GroupConfig): number {
  return Math.floor(voters.length / 2) + 1
}

export function voterOf(config: GroupConfig, id: NodeId): Voter | undefined {
  return config.voters.find((voter) => voter.id === id)
}

/** Everybody who receives the journal or a part of it. */
export function membersOf({ voters, learners }: GroupConfig): NodeId[] {
  return [...voters.map(({ id }) => id), ...learners]
}

/** One voter more or less (or another role): then any majority before and any after share a node. */
export function isSingleStep(before: GroupConfig, after: GroupConfig): boolean {
  const only = (a: GroupConfig, b: GroupConfig) => a.voters.filter(({ id }) => !voterOf(b, id)).length
  return only(before, after) + only(after, before) <= 1
}

/** The highest value that a majority of the voters has reached. */
export function reachedByMajority(config: GroupConfig, reachedBy: (id: NodeId) => number): number {
  const values = config.voters.map(({ id }) => reachedBy(id)).sort((a, b) => b - a)
  return values[majority(config) - 1] ?? 0
}
