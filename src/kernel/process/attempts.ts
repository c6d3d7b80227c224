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

/** An event of a node that stands still is late after so long: that one was silent for longer already. */
const STILL_LATE_MS = 1_000
/** An event with which so many nodes stand still is perhaps why: it is left alone, or all would in turn. */
const MAX_STILL = 3
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
  /** All that were leased with it: they run one after the other, on one slot. */
  readonly together: readonly Attempt[]
  /** As far as can be told. One that waits there for a slot has nothing to do with what befalls the node. */
  state: 'waiting' | 'running' | 'answered'
}

export class Attempts {
  readonly #clock: Clock
  readonly #still: () => ReadonlySet<NodeId>
  readonly #patienceMs: (node: NodeId) => number | undefined
  /** Nodes that stood still when that was looked at last. */
  #stuckOn: ReadonlySet<NodeId> = new Set()
  readonly #pace = new Pace()
  readonly #all = new Set<Attempt>()
  #lateTimer: Timer | undefined
  /** Late ones were found, and no room for company. */
  #lateWait = false

  /**
   * @param still the nodes that are frozen or silent: nobody can tell when they go on.
   * @param patienceMs after how long an event on that node is late of which nobody knows how long it takes; undefined: never.
   */
  constructor(
    clock: Clock,
    still: () => ReadonlySet<NodeId>,
    patienceMs: (node: NodeId) => number | undefined = () => undefined,
  ) {
    this.#clock = clock
    this.#still = still
    this.#patienceMs = patienceMs
  }

  get size(): number {
    return this.#all.size
  }

  /** Some run, or wait for their turn. */
  get working(): boolean {
    for (const { state } of this.#all) if (state !== 'answered') return true
    return false
  }

  /** Runs of events that are leased together. */
  begin(events: readonly EventState[], { node, slots }: Placement): Attempt[] {
    const running = [...this.#all].filter((attempt) => attempt.node === node && attempt.state === 'running')
    const busy = new Set(running.map(({ together }) => together)).size
    const sinceMs = this.#clock.nowMs()
    const together: Attempt[] = []
    for (const event of events) {
      const attempt: Attempt = {
        of: event,
        event: event.id,
        token: event.token,
        node,
        sent: { 1: 0, 2: 0 },
        sinceMs,
        abort: new AbortController(),
        together,
        state: busy < slots ? 'running' : 'waiting',
      }
      together.push(attempt)
      this.#all.add(attempt)
    }
    return together
  }

  /** Its node is done with it: when that was the last of its lease, those that have waited longest there run now. */
  answered(attempt: Attempt): void {
    const ran = attempt.state === 'running'
    attempt.state = 'answered'
    if (!ran || attempt.together.some(({ state }) => state === 'running')) return
    const next = [...this.#all].find(({ node, state }) => node === attempt.node && state === 'waiting')
    for (const each of next?.together ?? []) if (each.state === 'waiting') each.state = 'running'
  }

  end(attempt: Attempt): void {
    this.answered(attempt)
    this.#all.delete(attempt)
    // Perhaps there is room now: whoever watches looks at once.
    if (this.#lateWait) this.lookAgain()
  }

  /** What was found late, or will be, may be otherwise now: whoever watches does so anew. */
  lookAgain(): void {
    this.#lateWait = false
    this.#lateTimer?.cancel()
    this.#lateTimer = undefined
  }

  /** A node stands still now, or goes on. */
  nodesChanged(): void {
    this.#stuckOn = this.#still()
    this.lookAgain()
  }

  /** One that is late because its node stands still. */
  stuck(): Attempt | undefined {
    const still = this.#stuckOn
    if (still.size === 0) return undefined
    const byMs = this.#clock.nowMs() + TIMER_STEP_MS
    return [...this.#all].find((each) => {
      return still.has(each.node) && (this.#lateMsOf(each, still) ?? Number.POSITIVE_INFINITY) <= byMs
    })
  }

  /** How long an event of that task runs, mostly; undefined: nobody can tell. */
  runsMs(task: string): number | undefined {
    return this.#pace.runsMs(task)
  }

  /** Its node has done it. */
  ran({ of: { task }, sinceMs }: Attempt, ranMs: number): void {
    const known = this.#pace.runsMs(task) !== undefined
    this.#pace.completed(task, { inAllMs: this.#clock.nowMs() - sinceMs, ranMs })
    // Others of that task may be late much sooner than was thought.
    if (!known && this.#pace.runsMs(task) !== undefined) this.lookAgain()
  }

  /** The event is completed: other runs of it are not needed. */
  completed(attempt: Attempt): void {
    const { event } = attempt
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
   * Looks for late ones when the first may be, and has `help` give them company if it can: those that run, and together
   * those that wait behind one of them. Safe to call at any time; one timer at most.
   */
  watchLate(help: (late: readonly Attempt[]) => void, leastMs = 0): void {
    if (this.#lateTimer) return
    const still = this.#still()
    let dueMs = Number.POSITIVE_INFINITY
    for (const attempt of this.#all) dueMs = Math.min(dueMs, this.#lateMsOf(attempt, still) ?? dueMs)
    if (dueMs === Number.POSITIVE_INFINITY) return
    const due = () => {
      this.#lateTimer = undefined
      for (const late of this.#late()) help(late)
      this.#lateWait = this.#late().length > 0
      this.watchLate(help, this.#lateWait ? LATE_AGAIN_MS : 0)
    }
    const inMs = Math.max(leastMs, dueMs - this.#clock.nowMs())
    this.#lateTimer = this.#clock.setTimer(due, inMs, 'late event')
  }

  /** By lease: the one that runs, and those behind it. */
  #late(): Attempt[][] {
    const byMs = this.#clock.nowMs() + TIMER_STEP_MS
    const still = this.#still()
    const leases = new Map<Attempt['together'], Attempt[]>()
    for (const attempt of this.#all) {
      if ((this.#lateMsOf(attempt, still) ?? Number.POSITIVE_INFINITY) > byMs) continue
      leases.set(attempt.together, [...(leases.get(attempt.together) ?? []), attempt])
    }
    return [...leases.values()].flatMap((late) => {
      const running = late.filter((attempt) => this.runsNow(attempt))
      const behind = late.filter((attempt) => !running.includes(attempt))
      return [running, behind].filter((each) => each.length > 0)
    })
  }

  /** Whether it is the one of its lease that is handled, as far as can be told. */
  runsNow(attempt: Attempt): boolean {
    return attempt.together.find((each) => this.#all.has(each) && each.state !== 'answered') === attempt
  }

  /** When it is late; undefined: it has company that moves, has lost its lease, or nobody can tell. */
  #lateMsOf({ of: event, token, node, sinceMs, state }: Attempt, still: ReadonlySet<NodeId>): number | undefined {
    // Unless its node stands still with the files that it wrote.
    if (state === 'answered' && !still.has(node)) return undefined
    if (!event.leases.some((lease) => lease.token === token)) return undefined
    if (event.leases.some((lease) => lease.token !== token && !still.has(lease.node))) return undefined
    if (still.has(node)) {
      const last = event.leases.at(-1)?.token === token && event.leases.length < MAX_STILL
      return last ? sinceMs + STILL_LATE_MS : undefined
    }
    const afterMs = this.#pace.lateAfterMs(event.task) ?? this.#patienceMs(node)
    return afterMs === undefined ? undefined : sinceMs + afterMs
  }
}
