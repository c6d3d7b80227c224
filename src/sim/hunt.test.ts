// A failure is found, shrunk to the steps that it needs, told, and shown again.
import { afterEach, expect, it } from 'vitest'
import { mutate } from '../kernel/mutations.ts'
import { hunt, tell } from './hunt.ts'
import { formatSteps, parseSteps, Steps } from './steps.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
const size = { scenario: 'churn', nodes: 5, seconds: 20, settle }
let heal: (() => void) | undefined
afterEach(() => heal?.())

it('of a scenario without a schedule the steps are found that a failure needs', { timeout: 120_000 }, async () => {
  heal = mutate('keep-the-dead')
  const found = await hunt({ ...size, seed: 1, seeds: 20, shrinkRuns: 60 })
  if (!found || !('steps' in found.shortest)) throw new Error('nothing was found')
  const { steps, of, told } = found.shortest
  expect(of).toBeGreaterThan(3)
  expect(told).toHaveLength(1)
  expect(told[0]).toMatch(/^step \d+: .{4} (crashes|closes)$/)
  const only = `--steps=${steps.join(',')}`
  expect(tell(found)).toContain(`npm run sim -- --scenario=churn --seed=${found.seed} --nodes=5 --seconds=20 ${only}`)
  const again = await hunt({ ...size, seed: found.seed, seeds: 1, only: parseSteps(only.slice(8)), shrinkRuns: 0 })
  expect(again?.error.message).toBe(found.shortest.message)
  heal()
  expect(await hunt({ ...size, seed: found.seed, seeds: 1, shrinkRuns: 0 })).toBeUndefined()
})

it('steps are numbered whether they happen or not', () => {
  const some = new Steps([1, 3])
  expect(Array.from({ length: 5 }, () => some.next())).toEqual([false, true, false, true, false])
  expect(some.count).toBe(5)
  expect([new Steps().next(), new Steps([]).next()]).toEqual([true, false])
  expect([[], [0, 7]].map((list) => parseSteps(formatSteps(list)))).toEqual([[], [0, 7]])
  for (const bad of ['', 'x', '1,,2', '-1', '1.5']) expect(() => parseSteps(bad)).toThrow(TypeError)
})
