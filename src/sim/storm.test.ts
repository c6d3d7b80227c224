import { expect, it } from 'vitest'
import { generate } from './generate.ts'
import { hunt, tell } from './hunt.ts'
import { STORM_USUAL } from './scenarios.ts'
import { runStorm, STORM } from './storm.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

it('a storm does exactly the same again for the same seed, and something else for another', async () => {
  const run = (seed: number) => runStorm({ schedule: generate(seed, STORM), settle })
  const [first, second, other] = [await run(7), await run(7), await run(8)]
  expect(second).toEqual(first)
  expect(other.trace).not.toBe(first.trace)
})

it.each([0, 1, 2, 3])('nothing acknowledged is lost in a storm (seeds %i0 …)', { timeout: 170_000 }, async (ten) => {
  const found = await hunt({ scenario: 'storm', seed: ten * 10 + 1, seeds: 10, ...STORM_USUAL, settle })
  expect(found && tell(found)).toBeUndefined()
})
