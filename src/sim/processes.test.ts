import { afterEach, describe, expect, it } from 'vitest'
import { type Mutation, mutate } from '../kernel/mutations.ts'
import { hunt, tell } from './hunt.ts'
import { runProcesses } from './processes.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
const size = { nodes: 6, seconds: 15 }
const run = (seed: number) => runProcesses({ seed, ...size, settle })
const firstFailure = (seeds: number, shrinkRuns: number) =>
  hunt({ scenario: 'processes', ...size, seed: 1, seeds, shrinkRuns, settle })

it('a process under a killer does exactly the same again for the same seed', async () => {
  const [first, second] = [await run(7), await run(7)]
  expect(second).toEqual(first)
})

it('a process under a killer loses nothing and doubles nothing', async () => {
  const found = await firstFailure(40, 20)
  expect(found && tell(found)).toBeUndefined()
}, 120_000)

describe('the simulator finds a kernel that', () => {
  let heal: (() => void) | undefined
  afterEach(() => heal?.())

  const faults: [string, Mutation][] = [
    ['shows what a re-run prints again', 'repeat-output'],
    ['acknowledges output that it does not have', 'skip-hold'],
  ]
  it.each(faults)('%s', { timeout: 120_000 }, async (_what, mutation) => {
    heal = mutate(mutation)
    expect(await firstFailure(60, 0)).toBeDefined()
  })
})
