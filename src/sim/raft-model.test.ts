import { describe, expect, it } from 'vitest'
import { firstFailure, model, SECONDS } from './raft-model.contract.ts'
import { replay } from './scenarios.ts'

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
