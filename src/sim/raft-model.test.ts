import { afterEach, describe, expect, it } from 'vitest'
import { type Mutation, mutate } from '../kernel/mutations.ts'
import { runRaftModel } from './raft-model.ts'
import { replay } from './scenarios.ts'

const SECONDS = 40
const model = (seed: number) => runRaftModel({ seed, steps: SECONDS * 5 })

/** @returns the first seed that finds something, and what. */
async function firstFailure(seeds: number, from = 1): Promise<{ seed: number; message: string } | undefined> {
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      await model(seed)
    } catch (error) {
      return { seed, message: String(error) }
    }
  }
  return undefined
}

describe('a replicated journal', () => {
  it('does exactly the same again for the same seed, and something else for another', async () => {
    const [first, second, other] = [await model(7), await model(7), await model(8)]
    expect(second).toEqual(first)
    expect(other.trace).not.toBe(first.trace)
  })

  it.each([0, 1, 2, 3])('loses nothing, whatever fails (seeds %i00 …)', async (hundred) => {
    const failure = await firstFailure(100, hundred * 100 + 1)
    const command = failure && replay('raft', { seed: failure.seed, nodes: 5, seconds: SECONDS })
    expect(failure?.message, `replay: ${command} --verbose`).toBeUndefined()
  })

  it('is exercised: terms change, members come and go, much is acknowledged', async () => {
    const reports = await Promise.all([11, 12, 13, 14, 15].map(model))
    const sum = (of: (report: (typeof reports)[number]) => number) =>
      reports.reduce((total, each) => total + of(each), 0)
    expect(sum(({ acknowledged }) => acknowledged)).toBeGreaterThan(200)
    expect(sum(({ terms }) => terms)).toBeGreaterThan(10)
    expect(sum(({ reconfigurations }) => reconfigurations)).toBeGreaterThan(10)
  })
})

/**
 * A checker that cannot fail proves nothing: each of these faults of the kernel has to be found. Counting copies of
 * entries of earlier terms is too rare for it: kernel/journal/raft/old-terms.test.ts.
 */
describe('the model finds a kernel that', () => {
  let heal: (() => void) | undefined
  afterEach(() => heal?.())

  const faults: [string, Mutation][] = [
    ['votes for whoever has less', 'skip-vote-check'],
    ['votes twice in a term', 'vote-twice'],
    ['forgets its vote', 'forget-vote'],
    ['acknowledges before a majority has it', 'ack-before-majority'],
    ['acknowledges before its disk does', 'ack-before-stored'],
    ['takes entries that do not follow its own', 'skip-log-match'],
    ['reads without asking whether it still leads', 'read-unconfirmed'],
    ['changes members while another change is under way', 'reconfigure-early'],
    ['takes what a former leader sends', 'forget-fencing'],
    ['lets its witness believe old messages', 'witness-goes-back'],
  ]
  it.each(faults)(
    '%s',
    async (_what, mutation) => {
      heal = mutate(mutation)
      expect(await firstFailure(2_000)).toBeDefined()
    },
    120_000,
  ) // some take a thousand seeds
})
