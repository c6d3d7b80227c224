// Journals whose disk did not store what it was given, full mostly, are opened again after a while, as after a reload: what
// the disk holds is what this member knows. Above: groups.ts. Below: the clock.
import type { Clock, Timer } from '../../ports/clock.ts'
import { GROUP_REOPEN_MAX_MS, GROUP_REOPEN_MIN_MS } from '../limits.ts'

interface Failure {
  /** How long the next pause is. */
  pauseMs: number
  /** While it waits. */
  timer: Timer | undefined
  /** When it was opened last. */
  openedMs: number
}

export class Reopening {
  readonly #clock: Clock
  readonly #open: (name: string) => void
  readonly #failures = new Map<string, Failure>()

  /** @param open told when it is time to try. */
  constructor(clock: Clock, open: (name: string) => void) {
    this.#clock = clock
    this.#open = open
  }

  /** Idempotent while it waits. One that fails again soon after it was opened waits twice as long. */
  soon(name: string): void {
    const last = this.#failures.get(name)
    if (last?.timer) return
    const again = last && this.#clock.nowMs() - last.openedMs < GROUP_REOPEN_MAX_MS
    const failure: Failure = again ? last : { pauseMs: GROUP_REOPEN_MIN_MS, timer: undefined, openedMs: 0 }
    const due = () => {
      failure.timer = undefined
      failure.openedMs = this.#clock.nowMs()
      this.#open(name)
    }
    failure.timer = this.#clock.setTimer(due, failure.pauseMs, 'open a journal again')
    failure.pauseMs = Math.min(GROUP_REOPEN_MAX_MS, 2 * failure.pauseMs)
    this.#failures.set(name, failure)
  }

  /** It is not kept here any more. */
  forget(name: string): void {
    this.#failures.get(name)?.timer?.cancel()
    this.#failures.delete(name)
  }

  close(): void {
    for (const name of [...this.#failures.keys()]) this.forget(name)
  }
}
