// How many events the tasks of a process may still emit: where its queue is full, `emit` waits until others have made
// room. Above: home.ts, which hands room out with leases and answers executors that ask for more.
import { orAborted } from '../../base/abort.ts'
import { toOsError } from '../../base/errors.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import { MAX_EMITS_PER_EVENT, QUEUE_EVENTS } from '../../syscalls/limits.ts'
import { EMIT_STEP, QUEUE_PATIENCE_MS } from '../limits.ts'

export class QueueRoom {
  readonly #clock: Clock
  /** Events that are not done. */
  readonly #pending: () => number
  /** Whether others than so many tasks have something to do. */
  readonly #othersBusy: (waiting: number) => boolean
  readonly #waiting = new Set<() => void>()
  #timer: Timer | undefined

  constructor(clock: Clock, state: { pending: () => number; othersBusy: (waiting: number) => boolean }) {
    this.#clock = clock
    this.#pending = state.pending
    this.#othersBusy = state.othersBusy
  }

  /** Events that one of `running` tasks may emit before it asks. */
  share(running: number): number {
    const room = Math.floor((QUEUE_EVENTS - this.#pending()) / Math.max(1, running))
    return Math.max(0, Math.min(MAX_EMITS_PER_EVENT, room))
  }

  /** Resolves with how many more events a task may emit. */
  async more(signal: AbortSignal): Promise<number> {
    if (this.share(1) < EMIT_STEP && this.#othersBusy(this.#waiting.size + 1)) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.add(resolve)
      this.#watch()
      await orAborted(promise, signal, () => toOsError(signal.reason, 'ECANCELED')).finally(() =>
        this.#waiting.delete(resolve),
      )
    }
    return EMIT_STEP
  }

  /** An event was completed. */
  changed(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.share(1) >= EMIT_STEP) this.#grant()
    else this.#watch()
  }

  close(): void {
    this.#timer?.cancel()
  }

  /** Whoever waits holds a slot that what is queued may need: when nothing moves at all, all go on a little. */
  #watch(): void {
    if (this.#waiting.size === 0 || this.#timer) return
    const due = () => {
      this.#timer = undefined
      this.#grant()
    }
    this.#timer = this.#clock.setTimer(due, QUEUE_PATIENCE_MS, 'full queue of a process')
  }

  #grant(): void {
    for (const grant of this.#waiting) grant()
    this.#waiting.clear()
  }
}
