import { expect, it } from 'vitest'
import { runScale } from './scale.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

it('more tabs than a mesh agree, and journals get their members back; the same again for the same seed', async () => {
  // Many are replaced, so that a minute is enough: some of them lead journals whose members are no neighbours.
  const run = () => runScale({ seed: 3, nodes: 50, seconds: 60, perHour: 10, settle })
  const [first, second] = [await run(), await run()]
  expect(second).toEqual(first)
  expect(first.replaced).toBeGreaterThan(5)
  expect(first.repaired).toBeGreaterThan(0)
  expect(first.links).toBeLessThan(40)
}, 120_000)
