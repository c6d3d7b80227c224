// A checker that cannot fail proves nothing: each planted fault of the kernel has to be found by the simulator. (Those of
// the journals' machine alone: raft-model.test.ts; two of processes: processes.test.ts.)
import { afterEach, describe, expect, it } from 'vitest'
import { type Mutation, mutate } from '../kernel/mutations.ts'
import { hunt } from './hunt.ts'
import { scenarios } from './scenarios.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
/** How many seeds it may take from the one that is known to find it: a change of the kernel changes which do. */
const SEEDS = 60

interface Planted {
  what: string
  mutation: Mutation
  scenario: string
  /** The first seed that finds it, as the kernel is now. */
  seed: number
}

const planted: Planted[] = [
  { what: 'claims more copies than there are', mutation: 'claim-more-copies', scenario: 'storm', seed: 1 },
  { what: 'does not fill up a journal that lost a member', mutation: 'never-refill', scenario: 'storm', seed: 1 },
  { what: 'gives two events one id', mutation: 'reuse-event-id', scenario: 'storm', seed: 1 },
  { what: 'forgets the files of its predecessor', mutation: 'forget-files', scenario: 'processes', seed: 92 },
  { what: 'forgets a branch', mutation: 'drop-branch', scenario: 'storm', seed: 6 },
  { what: 'takes a tree for merged that it never met', mutation: 'absorb-unseen', scenario: 'storm', seed: 19 },
  { what: 'frees what other versions hold', mutation: 'sweep-live', scenario: 'storm', seed: 1 },
  { what: 'does not place anew what is lost', mutation: 'place-once', scenario: 'storm', seed: 206 },
  { what: 'needs nothing of what is kept', mutation: 'need-nothing', scenario: 'storm', seed: 65 },
  { what: 'never gives anybody up', mutation: 'keep-the-dead', scenario: 'churn', seed: 1 },
]

/** Small enough that many seeds take seconds. */
const sizes: Record<string, { nodes: number; seconds: number }> = {
  ...Object.fromEntries(Object.entries(scenarios).map(([name, { usual }]) => [name, usual])),
  churn: { nodes: 8, seconds: 20 },
}

describe('the simulator finds a kernel that', () => {
  let heal: (() => void) | undefined
  afterEach(() => heal?.())

  it.each(planted)('$what', { timeout: 170_000 }, async ({ mutation, scenario, seed }) => {
    heal = mutate(mutation)
    const size = sizes[scenario] as { nodes: number; seconds: number }
    expect(await hunt({ scenario, ...size, seed, seeds: SEEDS, shrinkRuns: 0, settle })).toBeDefined()
  })
})
