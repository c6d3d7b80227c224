// The runs of a process's events that are under way on nodes, as its home sees them: who works for it, which of them
// really run, and which are late. Above: home.ts. Below: pace.ts.
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { ProcessRow } from '../../syscalls/types.ts'
import { MAX_WORKING } from '../limits.ts'
import type { EventState } from './events.ts'
import type { Printing } from './output.ts'
import { Pace } from './pace.ts'
import type { Placement } from './schedule.ts'

/** Pause before late events are looked at again: perhaps no tab was free. */
const LATE_AGAIN_MS = 1_000
/** A timer may come so much early. */
const TIMER_STEP_MS = 1

/** One run of an event on one node. */
export interface Attempt extends Printing {
  readonly of: EventState
  readonly node: NodeId
  readonly sinceMs: number
  readonly abort: AbortController
  /** As far as can be told. One that waits there for a slot has nothing to do with what befalls the node. */
  state: 'waiting' | 'running' | 'answered'
}

export class Attempts {
  readonly #clock: Clock
  readonly #pace = new Pace()
  readonly #all = new Set<Attempt>()
  #lateTimer: Timer | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get size(): number {
    return this.#all.size
  }

  begin(event: EventState, token: number, { node, slots }: Placement): Attempt {
    const busy = [...this.#all].filter((attempt) => attempt.node === node && attempt.state === 'running').length
    const attempt: Attempt = {
      of: event,
      event: event.id,
      token,
      node,
      sent: { 1: 0, 2: 0 },
      sinceMs: this.#clock.nowMs(),
      abort: new AbortController(),
      state: busy < slots ? 'running' : 'waiting',
    }
    this.#all.add(attempt)
    return attempt
  }

  /** Its node is done with it: whoever has waited longest there runs now. */
  answered(attempt: Attempt): void {
    if (attempt.state !== 'running') return
    attempt.state = 'answered'
    const next = [...this.#all].find(({ node, state }) => node === attempt.node && state === 'waiting')
    if (next) next.state = 'running'
  }

  end(attempt: Attempt): void {
    this.answered(attempt)
    this.#all.delete(attempt)
  }

  /** The event is completed: other runs of it are not needed. */
  completed(attempt: Attempt): void {
    const { event, of, sinceMs } = attempt
    this.#pace.completed(of.task, this.#clock.nowMs() - sinceMs)
    for (const other of this.#all) {
      if (other.event === event && other !== attempt)
        other.abort.abort(new OsError('ECANCELED', 'another tab was faster'))
    }
  }

  abortAll(reason: OsError): void {
    this.#lateTimer?.cancel()
    for (const { abort } of this.#all) abort.abort(reason)
  }

  nodes(): Set<NodeId> {
    return new Set([...this.#all].map(({ node }) => node))
  }

  /** For people. */
  rows(): ProcessRow['working'] {
    return [...this.#all].slice(0, MAX_WORKING).map(({ event, of, node }) => ({ event, task: of.task, node }))
  }

  /**
   * Looks for late ones when the first may be, and has `help` give them company if it can. Safe to call at any time; one
   * timer at most.
   */
  watchLate(help: (attempt: Attempt) => void, leastMs = 0): void {
    if (this.#lateTimer) return
    const dueMs = Math.min(...[...this.#all].flatMap((attempt) => this.#lateMsOf(attempt) ?? []))
    if (dueMs === Number.POSITIVE_INFINITY) return
    const due = () => {
      this.#lateTimer = undefined
      const byMs = this.#clock.nowMs() + TIMER_STEP_MS
      const late = [...this.#all].filter((attempt) => (this.#lateMsOf(attempt) ?? Number.POSITIVE_INFINITY) <= byMs)
      for (const attempt of late) help(attempt)
      this.watchLate(help, late.length > 0 ? LATE_AGAIN_MS : 0)
    }
    const inMs = Math.max(leastMs, dueMs - this.#clock.nowMs())
    this.#lateTimer = this.#clock.setTimer(due, inMs, 'late event')
  }

  /** When it is late; undefined: it has company, has lost its lease, or nobody can tell. */
  #lateMsOf({ of: event, token, sinceMs }: Attempt): number | undefined {
    const [only, ...others] = event.leases
    if (only?.token !== token || others.length > 0) return undefined
    const afterMs = this.#pace.lateAfterMs(event.task)
    return afterMs === undefined ? undefined : sinceMs + afterMs
  }
}
