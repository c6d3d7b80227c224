// How long the tasks of a process take: which of them are so short that several are leased together, and which running
// event is suspiciously late (near the end of a job, a slow or hidden tab holds everybody up). Pure. Above: attempts.ts.

import { PING_GRACE_MAX_MS, PING_GRACE_MS, PING_GRACE_PART } from '../limits.ts'

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

/** What is known of a task. */
interface Known {
  recent: Took[]
  /** Made of those when it is asked for: there are many questions between two completions. */
  verdict: { lateAfterMs: number; runsMs: number } | undefined
}

export class Pace {
  readonly #tasks = new Map<string, Known>()

  completed(task: string, took: Took): void {
    const known = this.#tasks.get(task) ?? { recent: [], verdict: undefined }
    known.recent.push(took)
    known.verdict = undefined
    if (known.recent.length > REMEMBERED) known.recent.shift()
    if (this.#tasks.has(task) || this.#tasks.size < MAX_TASKS) this.#tasks.set(task, known)
  }

  /** After how many ms an event of that task is late; undefined: too few have been seen. */
  lateAfterMs(task: string): number | undefined {
    return this.#verdict(task)?.lateAfterMs
  }

  /** How long an event of that task runs, mostly and on average; undefined: too few have been seen. */
  runsMs(task: string): number | undefined {
    return this.#verdict(task)?.runsMs
  }

  #verdict(task: string): Known['verdict'] {
    const known = this.#tasks.get(task)
    if (!known || known.recent.length < LEAST) return undefined
    known.verdict ??= verdictOn(known.recent)
    return known.verdict
  }
}

function verdictOn(recent: readonly Took[]) {
  const ranMs = recent.map((took) => took.ranMs)
  const average = ranMs.reduce((sum, ms) => sum + ms, 0) / ranMs.length
  return {
    lateAfterMs: Math.max(LATE_LEAST_MS, LATE_FACTOR * mostOf(recent.map((took) => took.inAllMs))),
    runsMs: Math.max(average, mostOf(ranMs)),
  }
}

/** How long the runtime of an event that may take `eventMs` has then to answer at all. */
export function graceMs(eventMs: number): number {
  return Math.min(PING_GRACE_MAX_MS, Math.max(PING_GRACE_MS, eventMs * PING_GRACE_PART))
}

/** What three of four are at most. */
function mostOf(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length * 0.75)] ?? 0
}
