import { afterEach, describe, expect, it } from 'vitest'
import { type Mutation, mutate } from '../kernel/mutations.ts'
import { firstFailure } from './raft-model.contract.ts'

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
    300_000,
  ) // some take a thousand seeds
})
