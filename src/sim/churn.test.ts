import { describe, expect, it } from 'vitest'
import { type ChurnReport, runChurn } from './churn.ts'

const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

/** As `npm run sim` does; a failure says how to see it again. */
async function churn(seed: number, nodes: number, seconds: number, onLine?: () => void): Promise<ChurnReport> {
  try {
    const watched = onLine ? { onLine } : {}
    return await runChurn({ seed, nodes, durationMs: seconds * 1000, settle, ...watched })
  } catch (error) {
    const replay = `npm run sim -- --scenario=churn --seed=${seed} --nodes=${nodes} --seconds=${seconds}`
    throw new Error(`seed ${seed} failed; replay: ${replay} --verbose`, { cause: error })
  }
}

describe('a cluster in which tabs join, close, crash and come back', () => {
  it('does exactly the same again for the same seed, and something else for another', async () => {
    const [first, second, other] = [await churn(7, 8, 20), await churn(7, 8, 20), await churn(8, 8, 20)]
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

  it('says how to see a failure again', async () => {
    const planted = () => {
      throw new Error('planted')
    }
    await expect(churn(42, 8, 20, planted)).rejects.toThrow(
      'npm run sim -- --scenario=churn --seed=42 --nodes=8 --seconds=20',
    )
  })
})
