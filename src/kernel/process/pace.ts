// How long the tasks of a process take, and which running event is suspiciously late: near the end of a job, a slow
// or hidden tab holds everybody up. Pure. Above: home.ts.

/** Latest completions of a task that are remembered. */
const REMEMBERED = 32
/** Completions of a task before anything can be said about it. */
const LEAST = 3
/** Late: this many times as long as most of the others took, and at least this long. */
const LATE_FACTOR = 3
const LATE_LEAST_MS = 1_000
/** Names that a program uses are its own choice. */
const MAX_TASKS = 256

export class Pace {
  readonly #recent = new Map<string, number[]>()

  /** @param ms from its lease to its completion. */
  completed(task: string, ms: number): void {
    const recent = this.#recent.get(task) ?? []
    recent.push(ms)
    if (recent.length > REMEMBERED) recent.shift()
    if (this.#recent.has(task) || this.#recent.size < MAX_TASKS) this.#recent.set(task, recent)
  }

  /** After how many ms an event of that task is late; undefined: too few have been seen. */
  lateAfterMs(task: string): number | undefined {
    const recent = this.#recent.get(task)
    if (!recent || recent.length < LEAST) return undefined
    const sorted = [...recent].sort((a, b) => a - b)
    const most = sorted[Math.floor(sorted.length * 0.75)] ?? 0
    return Math.max(LATE_LEAST_MS, LATE_FACTOR * most)
  }
}
