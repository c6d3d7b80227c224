// A virtual clock: time passes only when `step` or `jump` is called. Timers fire in order of their due time, then of
// their creation. Implements ports/clock.ts for tests and the simulator.
import type { Clock, Timer } from '../../ports/clock.ts'

interface Due {
  atMs: number
  order: number
  /** Undefined once it has been cancelled. */
  callback: (() => void) | undefined
  reason: string
}

function before(a: Due, b: Due): boolean {
  return a.atMs === b.atMs ? a.order < b.order : a.atMs < b.atMs
}

export class VirtualClock implements Clock {
  #nowMs = 0
  #order = 0
  readonly #epochMs: number
  /** A binary heap: a thousand kernels have tens of thousands of timers. Cancelled ones stay until their time. */
  readonly #heap: Due[] = []

  constructor(epochMs = Date.UTC(2026, 0, 1)) {
    this.#epochMs = epochMs
  }

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#epochMs + Math.floor(this.#nowMs)
  }

  setTimer(callback: () => void, delayMs: number, reason: string): Timer {
    const due: Due = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, callback, reason }
    this.#push(due)
    return {
      cancel: () => {
        due.callback = undefined
      },
    }
  }

  /** When the next timer is due; undefined when there is none. */
  nextDueMs(): number | undefined {
    return this.#first()?.atMs
  }

  /** Moves to the next timer and fires it. @returns false when there is none before or at `untilMs`. */
  step(untilMs = Number.POSITIVE_INFINITY): boolean {
    const next = this.#first()
    if (!next?.callback || next.atMs > untilMs) return false
    this.#pop()
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.callback()
    return true
  }

  /** Moves on without firing what is due in between: a clock that jumps, as after a freeze. */
  jump(byMs: number): void {
    this.#nowMs += byMs
  }

  /** Timers that wait, with their reasons, the next one first: for traces. */
  pending(): { inMs: number; reason: string }[] {
    const waiting = this.#heap.filter(({ callback }) => callback).sort((a, b) => (before(a, b) ? -1 : 1))
    return waiting.map(({ atMs, reason }) => ({ inMs: atMs - this.#nowMs, reason }))
  }

  /** The next one that was not cancelled. */
  #first(): Due | undefined {
    while (this.#heap[0] && !this.#heap[0].callback) this.#pop()
    return this.#heap[0]
  }

  #push(due: Due): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(due)
    while (at > 0) {
      const above = (at - 1) >>> 1
      const parent = heap[above] as Due
      if (!before(due, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = due
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Due
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && before(heap[below + 1] as Due, heap[below] as Due)) below++
      const child = heap[below] as Due
      if (!before(child, last)) break
      heap[at] = child
      at = below
    }
    heap[at] = last
  }
}

/** A tab that can stand still, as one that the browser freezes: what is due meanwhile happens when it goes on. */
export class Gate {
  readonly #clock: Clock
  #frozen = false
  #held: (() => void)[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  pass(action: () => void): void {
    if (this.#frozen) this.#held.push(action)
    else action()
  }

  freeze(): void {
    this.#frozen = true
  }

  /** What was held happens now, one after the other, in the order in which it was due. */
  thaw(): void {
    this.#frozen = false
    for (const action of this.#held.splice(0)) this.#clock.setTimer(action, 0, 'thaw')
  }
}

/** How far a device's clocks are from the world's. */
export interface Skew {
  /** Its monotonic clock is ahead by this: it never goes back. */
  nowMs: number
  /** Its wall clock is ahead by this, or behind. */
  wallMs: number
}

/** The clock of one tab: time goes on while it stands still, its timers do not fire. */
export class GatedClock implements Clock {
  readonly #clock: Clock
  readonly #gate: Gate
  readonly #skew: Readonly<Skew>

  /** @param skew may be changed at any time: the device's clock is set, or jumps. */
  constructor(clock: Clock, gate: Gate, skew: Readonly<Skew> = { nowMs: 0, wallMs: 0 }) {
    this.#clock = clock
    this.#gate = gate
    this.#skew = skew
  }

  nowMs(): number {
    return this.#clock.nowMs() + this.#skew.nowMs
  }

  wallMs(): number {
    return this.#clock.wallMs() + this.#skew.wallMs
  }

  setTimer(callback: () => void, delayMs: number, reason: string): Timer {
    let cancelled = false
    const fire = () => this.#gate.pass(() => !cancelled && callback())
    const timer = this.#clock.setTimer(fire, delayMs, reason)
    return {
      cancel: () => {
        cancelled = true
        timer.cancel()
      },
    }
  }
}
