// Timers that end together with whoever set them, and pauses that a signal ends. Above: every service of the kernel
// that waits. Below: the clock.
import { OsError, toOsError } from '../base/errors.ts'
import type { Clock, Timer } from '../ports/clock.ts'

export class Timers {
  readonly #clock: Clock
  readonly #timers = new Set<Timer>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @param label what it waits for, as the simulator's traces show it. */
  after(delayMs: number, label: string, callback: () => void): Timer {
    const due = () => {
      this.#timers.delete(timer)
      callback()
    }
    const timer = this.#clock.setTimer(due, delayMs, label)
    this.#timers.add(timer)
    return {
      cancel: () => {
        timer.cancel()
        this.#timers.delete(timer)
      },
    }
  }

  cancelAll(): void {
    for (const timer of this.#timers) timer.cancel()
    this.#timers.clear()
  }
}

/** Resolves after so long. @throws {OsError} ECANCELED as soon as the signal aborts. */
export function pause(clock: Clock, delayMs: number, label: string, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      timer.cancel()
      reject(toOsError(signal?.reason, 'ECANCELED'))
    }
    const due = () => {
      signal?.removeEventListener('abort', aborted)
      resolve()
    }
    const timer = clock.setTimer(due, delayMs, label)
    if (signal?.aborted) aborted()
    else signal?.addEventListener('abort', aborted, { once: true })
  })
}

/** The promise, for so long. @throws what `late` makes; {OsError} ECANCELED as soon as the signal aborts. */
export async function within<T>(
  promise: Promise<T>,
  ms: number,
  { clock, label, late, signal }: { clock: Clock; label: string; late: () => OsError; signal?: AbortSignal },
): Promise<T> {
  const settled = new AbortController()
  const ends = signal ? AbortSignal.any([signal, settled.signal]) : settled.signal
  const expired = pause(clock, ms, label, ends).then(() => Promise.reject(late()))
  try {
    return await Promise.race([promise, expired])
  } finally {
    settled.abort(new OsError('ECANCELED', 'it has settled'))
  }
}
