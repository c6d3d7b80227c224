import { describe, expect, it } from 'vitest'
import { tell } from './hunt.ts'
import { firstFailure } from './raft-model.contract.ts'
import { runRaftModel } from './raft-model.ts'

const model = (seed: number) => runRaftModel({ seed, steps: 200 })

describe('a replicated journal', () => {
  it('does exactly the same again for the same seed, and something else for another', async () => {
    const [first, second, other] = [await model(7), await model(7), await model(8)]
    expect(second).toEqual(first)
    expect(other.trace).not.toBe(first.trace)
  })

  it.each([0, 1, 2, 3])('loses nothing, whatever fails (seeds %i00 …)', async (hundred) => {
    const found = await firstFailure(100, hundred * 100 + 1, 150)
    expect(found && tell(found)).toBeUndefined()
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
