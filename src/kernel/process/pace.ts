// How long the tasks of a process take: which of them are so short that several are leased together, and which running
// event is suspiciously late (near the end of a job, a slow or hidden tab holds everybody up). Pure. Above: attempts.ts.

/** Latest completions of a task that are remembered. */
const REMEMBERED = 32
/** Completions of a task before anything can be said about it. */
const LEAST = 3
/** Late: this many times as long as most of the others took, and at least this long. */
const LATE_FACTOR = 3
const LATE_LEAST_MS = 1_000
/** Names that a program uses are its own choice. */
const MAX_TASKS = 256

interface Took {
  /** From its lease to its completion. */
  inAllMs: number
  /** Of that, while it ran. */
  ranMs: number
}

export class Pace {
  readonly #recent = new Map<string, Took[]>()

  completed(task: string, took: Took): void {
    const recent = this.#recent.get(task) ?? []
    recent.push(took)
    if (recent.length > REMEMBERED) recent.shift()
    if (this.#recent.has(task) || this.#recent.size < MAX_TASKS) this.#recent.set(task, recent)
  }

  /** After how many ms an event of that task is late; undefined: too few have been seen. */
  lateAfterMs(task: string): number | undefined {
    const most = this.#most(task, 'inAllMs')
    return most === undefined ? undefined : Math.max(LATE_LEAST_MS, LATE_FACTOR * most)
  }

  /** How long an event of that task runs, mostly and on average; undefined: too few have been seen. */
  runsMs(task: string): number | undefined {
    const most = this.#most(task, 'ranMs')
    if (most === undefined) return undefined
    const recent = this.#recent.get(task) as Took[]
    return Math.max(most, recent.reduce((sum, { ranMs }) => sum + ranMs, 0) / recent.length)
  }

  /** What three of four take at most. */
  #most(task: string, what: keyof Took): number | undefined {
    const recent = this.#recent.get(task)
    if (!recent || recent.length < LEAST) return undefined
    const sorted = recent.map((took) => took[what]).sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length * 0.75)]
  }
}
