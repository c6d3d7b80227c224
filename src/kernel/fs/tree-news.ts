// Waits for news of who leads the tree, and sets the timers of whoever looks after it: all of them end together.
// Above: shared-tree.ts, tree-in-use.ts, tree-meeting.ts, tree-memory.ts. Below: the clock.
import { orAborted } from '../../base/abort.ts'
import { OsError, toOsError } from '../../base/errors.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import { Timers } from '../timers.ts'

export class TreeNews {
  readonly #waiting = new Set<() => void>()
  readonly #timers: Timers
  #closed = false

  constructor(clock: Clock) {
    this.#timers = new Timers(clock)
  }

  get closed(): boolean {
    return this.#closed
  }

  /** @returns ends it. */
  on(listener: () => void): () => void {
    this.#waiting.add(listener)
    return () => void this.#waiting.delete(listener)
  }

  /** There is news. */
  wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Resolves when something about who leads has changed, or the time is over. @throws {OsError} ECANCELED. */
  wait(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#closed) return Promise.reject(new OsError('ECANCELED', 'this tab is closing'))
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.timer(resolve, timeoutMs, 'tree news')
    this.#waiting.add(resolve)
    return orCanceled(promise, signal).finally(() => {
      timer.cancel()
      this.#waiting.delete(resolve)
    })
  }

  timer(callback: () => void, delayMs: number, label: string): Timer {
    return this.#timers.after(delayMs, label, callback)
  }

  close(): void {
    this.#closed = true
    this.#timers.cancelAll()
    this.wake()
  }
}

export function orCanceled<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal ? orAborted(promise, signal, () => toOsError(signal.reason, 'ECANCELED')) : promise
}
