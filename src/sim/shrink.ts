// Makes a failing schedule smaller as long as it still fails: the shortest trace found. Delta debugging (Zeller and
// Hildebrandt 2002) over rounds and steps, then shorter times, within a bounded number of runs.
//
// Nothing is moved against anything else, and no step added: what kept the promises in the schedule that failed
// (generate.ts) keeps them in the smaller one.
import { countSteps, type Round, type Schedule, type Step } from './schedule.ts'

export interface Shrunk {
  schedule: Schedule
  /** What the smallest one fails with. */
  message: string
  /** How many times the scenario was run. */
  runs: number
}

/** @param fails runs a schedule. @returns what does not hold, or undefined. */
export type Fails = (schedule: Schedule) => Promise<string | undefined>

class Shrinker {
  best: Schedule
  message: string
  runs = 0
  readonly #fails: Fails
  readonly #most: number

  constructor(schedule: Schedule, message: string, fails: Fails, most: number) {
    this.best = schedule
    this.message = message
    this.#fails = fails
    this.#most = most
  }

  get spent(): boolean {
    return this.runs >= this.#most
  }

  /** @returns whether this one fails as well: then it is the best so far. */
  async #keep(schedule: Schedule): Promise<boolean> {
    if (this.spent) return false
    this.runs++
    const message = await this.#fails(schedule)
    if (message === undefined) return false
    this.best = schedule
    this.message = message
    return true
  }

  async dropRounds(): Promise<void> {
    for (let i = this.best.rounds.length - 1; i >= 0; i--) {
      await this.#keep({ ...this.best, rounds: this.best.rounds.filter((_round, at) => at !== i) })
    }
  }

  /** Halves of the steps, then quarters, … then single ones. */
  async dropSteps(): Promise<void> {
    for (let size = Math.ceil(countSteps(this.best) / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let from = 0; from < countSteps(this.best); ) {
        if (!(await this.#keep(without(this.best, from, size)))) from += size
        if (this.spent) return
      }
    }
  }

  /** Rounds end soon after their last step; faults take half as long. */
  async shorten(): Promise<void> {
    for (const i of this.best.rounds.keys()) {
      const { steps, ms } = this.best.rounds[i] as Round
      const lastMs = Math.max(0, ...steps.map(({ atMs }) => atMs)) + 1_000
      if (lastMs < ms) await this.#keep(withRound(this.best, i, { steps, ms: lastMs }))
      for (const at of steps.keys()) await this.#hurry(i, at)
    }
  }

  async #hurry(i: number, at: number): Promise<void> {
    for (;;) {
      const round = this.best.rounds[i] as Round
      const step = round.steps[at] as Step
      if (!('forMs' in step) || step.forMs < 1_000) return
      const shorter = { ...step, forMs: Math.round(step.forMs / 2) }
      const steps = round.steps.map((each) => (each === step ? shorter : each))
      if (!(await this.#keep(withRound(this.best, i, { ...round, steps })))) return
    }
  }
}

/** @param most runs at most. */
export async function shrink(schedule: Schedule, message: string, fails: Fails, most = 150): Promise<Shrunk> {
  const shrinker = new Shrinker(schedule, message, fails, most)
  for (let before = Number.POSITIVE_INFINITY; countSteps(shrinker.best) < before && !shrinker.spent; ) {
    before = countSteps(shrinker.best)
    await shrinker.dropRounds()
    await shrinker.dropSteps()
  }
  await shrinker.shorten()
  return { schedule: shrinker.best, message: shrinker.message, runs: shrinker.runs }
}

/** Without `count` steps from the `from`th on, counted over all rounds. */
function without(schedule: Schedule, from: number, count: number): Schedule {
  let at = 0
  const rounds = schedule.rounds.map(({ steps, ms }) => ({
    ms,
    steps: steps.filter(() => {
      const keep = at < from || at >= from + count
      at++
      return keep
    }),
  }))
  return { ...schedule, rounds }
}

function withRound(schedule: Schedule, index: number, round: Round): Schedule {
  return { ...schedule, rounds: schedule.rounds.map((each, i) => (i === index ? round : each)) }
}
