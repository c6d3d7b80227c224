// Looks for a seed that fails, and makes what fails as short as it can. Above: scripts/sim.mjs, the tests.
import { type Report, replay, type Scenario, type ScenarioOptions, scenarios } from './scenarios.ts'
import type { Schedule } from './schedule.ts'
import { shrink, shrinkSteps } from './shrink.ts'
import { formatSteps, Steps } from './steps.ts'

export interface HuntOptions extends Omit<ScenarioOptions, 'seed' | 'steps'> {
  scenario: string
  /** The first seed, and how many. */
  seed: number
  seeds: number
  /** Of a scenario without schedules: the steps that happen, instead of all. */
  only?: readonly number[] | undefined
  /** Runs spent on making a failure shorter; 0: none. */
  shrinkRuns?: number
  onReport?: (report: Report) => void
  onShrinking?: (message: string) => void
}

export interface Found {
  scenario: string
  seed: number
  /** What does not hold, in the run as it was found. */
  error: Error
  /** The smallest that still fails, and with what: a schedule, or the steps of a scenario that has none. */
  shortest: Shortest
  /** Shows the run as it was found. */
  command: string
}

export type Shortest =
  | { schedule: Schedule; message: string; runs: number }
  | {
      steps: number[]
      /** How many there are without leaving any out, and what those do that are left. */
      of: number
      told: readonly string[]
      message: string
      runs: number
    }

/** For people: the shortest trace found, and the command that shows it again. @param file where its schedule is kept. */
export function tell({ scenario, seed, shortest, command }: Found, file?: string): string {
  const { message, runs } = shortest
  const head = `the shortest trace of ${scenario} ${seed}, after ${runs} runs`
  if ('schedule' in shortest) {
    const again = file === undefined ? command : `${command} --schedule=${file}`
    const schedule = JSON.stringify(shortest.schedule, null, 1)
    return `${head}, fails with: ${message}\n${schedule}\nreplay: ${again} --verbose`
  }
  const { steps, of, told } = shortest
  const lines = told.map((line) => `\n  ${line}`).join('')
  const again = steps.length === of ? command : `${command} --steps=${formatSteps(steps)}`
  return `${head}, has ${steps.length} of ${of} steps, and fails with: ${message}${lines}\nreplay: ${again} --verbose`
}

/** @returns the first failure; undefined when all seeds hold. */
export async function hunt(options: HuntOptions): Promise<Found | undefined> {
  const { seed: first, seeds, onReport } = options
  const scenario = scenarios[options.scenario] as Scenario
  for (let seed = first; seed < first + seeds; seed++) {
    const steps = new Steps(options.only)
    try {
      const report = await scenario.run({ ...options, seed, steps })
      onReport?.(report)
    } catch (error) {
      return explain(options, seed, steps, error instanceof Error ? error : new Error(String(error)))
    }
  }
  return undefined
}

async function explain(options: HuntOptions, seed: number, steps: Steps, error: Error): Promise<Found> {
  const scenario = scenarios[options.scenario] as Scenario
  options.onShrinking?.(`seed ${seed} failed: ${error.message}`)
  const most = options.shrinkRuns ?? 150
  const quiet = { ...options, seed, onLine: undefined, steps: undefined }
  const command = replay(options.scenario, { ...options, seed })
  if (!scenario.schedule) {
    let { told } = steps
    const fails = async (only: readonly number[]) => {
      const some = new Steps(only)
      const message = await failure(scenario, { ...quiet, steps: some })
      if (message !== undefined) told = some.told
      return message
    }
    const shrunk = await shrinkSteps(steps.count, error.message, fails, most)
    return { scenario: options.scenario, seed, error, shortest: { ...shrunk, of: steps.count, told }, command }
  }
  const whole = options.schedule ?? scenario.schedule({ ...options, seed })
  const fails = (schedule: Schedule) => failure(scenario, { ...quiet, schedule })
  const shortest = await shrink(whole, error.message, fails, most)
  return { scenario: options.scenario, seed, error, shortest, command }
}

async function failure(scenario: Scenario, options: ScenarioOptions): Promise<string | undefined> {
  try {
    await scenario.run(options)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
