// Makes what fails smaller as long as it still fails: the shortest trace found. Delta debugging (Zeller and Hildebrandt
// 2002) over the rounds and steps of a schedule, then shorter times; or over the numbered steps of a scenario that has no
// schedule. Within a bounded number of runs.
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

  async dropSteps(): Promise<void> {
    const all = this.best
    const numbers = Array.from({ length: countSteps(all) }, (_, i) => i)
    await dropFrom(numbers, (some) => this.#keep(withSteps(all, new Set(some))), this)
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

/** Of a scenario without a schedule: the numbers of the steps that are needed, and what it fails with then. */
export interface ShrunkSteps {
  steps: number[]
  message: string
  runs: number
}

/** @param fails runs the scenario with those steps alone. @param most runs at most. */
export async function shrinkSteps(
  count: number,
  first: string,
  fails: (steps: readonly number[]) => Promise<string | undefined>,
  most = 150,
): Promise<ShrunkSteps> {
  let [runs, message] = [0, first]
  const bounds = {
    get spent() {
      return runs >= most
    },
  }
  const stillFails = async (steps: readonly number[]) => {
    runs++
    const found = await fails(steps)
    message = found ?? message
    return found !== undefined
  }
  const all = Array.from({ length: count }, (_, i) => i)
  return { steps: await dropFrom(all, stillFails, bounds), message, runs }
}

/** Tries without halves of the items, then without quarters, … then without single ones. */
async function dropFrom(
  items: readonly number[],
  fails: (some: readonly number[]) => Promise<boolean>,
  bounds: { readonly spent: boolean },
): Promise<number[]> {
  let best = [...items]
  for (let size = Math.ceil(best.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < best.length; ) {
      if (bounds.spent) return best
      const some = best.filter((_item, i) => i < from || i >= from + size)
      if (await fails(some)) best = some
      else from += size
    }
  }
  return best
}

/** Its steps with those numbers, counted over all rounds. */
function withSteps(schedule: Schedule, numbers: ReadonlySet<number>): Schedule {
  let at = 0
  const rounds = schedule.rounds.map(({ steps, ms }) => ({ ms, steps: steps.filter(() => numbers.has(at++)) }))
  return { ...schedule, rounds }
}

function withRound(schedule: Schedule, index: number, round: Round): Schedule {
  return { ...schedule, rounds: schedule.rounds.map((each, i) => (i === index ? round : each)) }
}
