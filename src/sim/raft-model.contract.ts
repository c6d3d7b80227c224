// What the tests of the Raft model share: it is run seed after seed until one fails.
import { runRaftModel } from './raft-model.ts'

export const SECONDS = 40
export const model = (seed: number) => runRaftModel({ seed, steps: SECONDS * 5 })

/** @returns the first seed that finds something, and what. */
export async function firstFailure(seeds: number, from = 1): Promise<{ seed: number; message: string } | undefined> {
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      await model(seed)
    } catch (error) {
      return { seed, message: String(error) }
    }
  }
  return undefined
}
