// Looks for a seed that fails, and makes what fails as short as it can. Above: scripts/sim.mjs, the tests.

import { type Report, replay, type Scenario, type ScenarioOptions, scenarios } from './scenarios.ts'
import type { Schedule } from './schedule.ts'
import { shrink } from './shrink.ts'

export interface HuntOptions extends Omit<ScenarioOptions, 'seed'> {
  scenario: string
  /** The first seed, and how many. */
  seed: number
  seeds: number
  /** Runs spent on making a failure shorter; 0: none. */
  shrinkRuns?: number
  onReport?: (report: Report) => void
  onShrinking?: (message: string) => void
}

export interface Found {
  seed: number
  /** What does not hold, in the run as it was found. */
  error: Error
  /** The smallest schedule that still fails, and with what; where the scenario has schedules. */
  shortest: { schedule: Schedule; message: string; runs: number } | undefined
  /** Shows it again. A schedule has to be in a file. */
  command: string
}

/** @returns the first failure; undefined when all seeds hold. */
export async function hunt(options: HuntOptions): Promise<Found | undefined> {
  const { seed: first, seeds, onReport } = options
  const scenario = scenarios[options.scenario] as Scenario
  for (let seed = first; seed < first + seeds; seed++) {
    try {
      const report = await scenario.run({ ...options, seed })
      onReport?.(report)
    } catch (error) {
      return explain(options, seed, error instanceof Error ? error : new Error(String(error)))
    }
  }
  return undefined
}

async function explain(options: HuntOptions, seed: number, error: Error): Promise<Found> {
  const scenario = scenarios[options.scenario] as Scenario
  options.onShrinking?.(`seed ${seed} failed: ${error.message}`)
  const most = options.shrinkRuns ?? 150
  const quiet = { ...options, seed, onLine: undefined }
  if (!scenario.schedule) {
    const seconds = await shorter(scenario, quiet, most)
    return { seed, error, shortest: undefined, command: replay(options.scenario, { ...options, seed, seconds }) }
  }
  const whole = options.schedule ?? scenario.schedule({ ...options, seed })
  const fails = (schedule: Schedule) => failure(scenario, { ...quiet, schedule })
  const shortest = await shrink(whole, error.message, fails, most)
  return { seed, error, shortest, command: replay(options.scenario, { ...options, seed }) }
}

/** @returns the shortest of some times in which the seed still fails. */
async function shorter(scenario: Scenario, options: ScenarioOptions, most: number): Promise<number> {
  let { seconds } = options
  for (let runs = 0; runs < most && seconds > 1; runs++) {
    const half = Math.floor(seconds / 2)
    if ((await failure(scenario, { ...options, seconds: half })) === undefined) break
    seconds = half
  }
  return seconds
}

async function failure(scenario: Scenario, options: ScenarioOptions): Promise<string | undefined> {
  try {
    await scenario.run(options)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
