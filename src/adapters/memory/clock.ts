// A virtual clock: time passes only when `advance` is called. Timers fire in order of their due time, then of
// their creation. Implements ports/clock.ts for tests and the simulator.
import type { Clock, Timer } from '../../ports/clock.ts'

interface Due {
  atMs: number
  order: number
  callback: () => void
  reason: string
}

export class VirtualClock implements Clock {
  #nowMs = 0
  #order = 0
  readonly #epochMs: number
  #due: Due[] = []

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
    let low = 0
    let high = this.#due.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#due[middle] as Due).atMs <= due.atMs) low = middle + 1
      else high = middle
    }
    this.#due.splice(low, 0, due)
    return {
      cancel: () => {
        const at = this.#due.indexOf(due)
        if (at >= 0) this.#due.splice(at, 1)
      },
    }
  }

  /** When the next timer is due; undefined when there is none. */
  nextDueMs(): number | undefined {
    return this.#due[0]?.atMs
  }

  /** Moves to the next timer and fires it. @returns false when there is none before or at `untilMs`. */
  step(untilMs = Number.POSITIVE_INFINITY): boolean {
    const next = this.#due[0]
    if (!next || next.atMs > untilMs) return false
    this.#due.shift()
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.callback()
    return true
  }

  /** Moves on without firing what is due in between: a clock that jumps, as after a freeze. */
  jump(byMs: number): void {
    this.#nowMs += byMs
  }

  /** Timers that wait, with their reasons: for traces. */
  pending(): { inMs: number; reason: string }[] {
    return this.#due.map(({ atMs, reason }) => ({ inMs: atMs - this.#nowMs, reason }))
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

/** The clock of one tab: time goes on while it stands still, its timers do not fire. */
export class GatedClock implements Clock {
  readonly #clock: Clock
  readonly #gate: Gate

  constructor(clock: Clock, gate: Gate) {
    this.#clock = clock
    this.#gate = gate
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  wallMs(): number {
    return this.#clock.wallMs()
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
