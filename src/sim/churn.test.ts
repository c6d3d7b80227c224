import { describe, expect, it } from 'vitest'
import { type ChurnReport, runChurn } from './churn.ts'
import { hunt, tell } from './hunt.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

/** As `npm run sim` does; a failure says how to see it again. */
async function churn(seed: number, nodes: number, seconds: number): Promise<ChurnReport> {
  const reports: ChurnReport[] = []
  const onReport = (report: unknown) => void reports.push(report as ChurnReport)
  const found = await hunt({ scenario: 'churn', seed, seeds: 1, nodes, seconds, settle, shrinkRuns: 20, onReport })
  expect(found && tell(found)).toBeUndefined()
  return reports[0] as ChurnReport
}

describe('a cluster in which tabs join, close, crash and come back', () => {
  it('does exactly the same again for the same seed, and something else for another', async () => {
    const run = (seed: number) => runChurn({ seed, nodes: 8, durationMs: 20_000, settle })
    const [first, second, other] = [await run(7), await run(7), await run(8)]
    expect(second).toEqual(first)
    expect(other.trace).not.toBe(first.trace)
  })

  it.each(Array.from({ length: 30 }, (_, i) => i + 1))('agrees in the end, of 8 tabs (seed %i)', async (seed) => {
    const report = await churn(seed, 8, 20)
    expect(report.joins).toBeGreaterThan(8)
    expect(report.slowestCloseMs).toBeLessThan(1_000)
    expect(report.slowestCrashMs).toBeLessThan(5_000)
    expect(report.convergedMs).toBeLessThan(20_000)
  })

  it('agrees in the end, of 50 tabs', async () => {
    const report = await churn(50, 50, 15)
    expect(report.joins).toBeGreaterThan(50)
    expect(report.convergedMs).toBeLessThan(30_000)
  })
})
