// What the tests of the Raft model share: it is run seed after seed until one fails.
import { type Found, hunt } from './hunt.ts'
import { scenarios } from './scenarios.ts'

const { usual } = scenarios['raft'] as (typeof scenarios)[string]

/** @param shrinkRuns spent on the shortest trace. */
export function firstFailure(seeds: number, from = 1, shrinkRuns = 0): Promise<Found | undefined> {
  return hunt({ scenario: 'raft', ...usual, seed: from, seeds, shrinkRuns, settle: async () => undefined })
}
