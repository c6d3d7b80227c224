import { afterEach, describe, expect, it } from 'vitest'
import { type Mutation, mutate } from '../kernel/mutations.ts'
import { runProcesses } from './processes.ts'
import { replay } from './scenarios.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))
const run = (seed: number) => runProcesses({ seed, nodes: 6, seconds: 15, settle })

async function firstFailure(seeds: number): Promise<{ seed: number; message: string } | undefined> {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      await run(seed)
    } catch (error) {
      return { seed, message: String(error) }
    }
  }
  return undefined
}

it('a process under a killer does exactly the same again for the same seed', async () => {
  const [first, second] = [await run(7), await run(7)]
  expect(second).toEqual(first)
})

it('a process under a killer loses nothing and doubles nothing', async () => {
  const failure = await firstFailure(40)
  const command = failure && replay('processes', { seed: failure.seed, nodes: 6, seconds: 15 })
  expect(failure?.message, `replay: ${command} --verbose`).toBeUndefined()
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
    expect(await firstFailure(60)).toBeDefined()
  })
})
