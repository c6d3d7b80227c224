// Kernel events for pages and shells: a bounded, numbered log that any number of listeners follow by long polls.
import { toOsError } from '../base/errors.ts'

/** Events kept for a listener that comes back late; older ones are lost to it. */
const KEPT = 512

export class EventLog<T> {
  #events: T[] = []
  /** Number of the newest event; the first is 1. */
  #last = 0
  readonly #waiting = new Set<() => void>()

  push(event: T): void {
    this.#last++
    this.#events.push(event)
    if (this.#events.length > KEPT) this.#events.shift()
    for (const wake of [...this.#waiting]) wake()
  }

  /** Events with a number above `since`, and the number to ask with next; waits while there are none. */
  async after(since: number, signal: AbortSignal): Promise<{ events: T[]; next: number }> {
    if (since > this.#last) since = this.#last // a listener from before a restart
    while (since === this.#last) {
      signal.throwIfAborted()
      await new Promise<void>((resolve, reject) => {
        const done = () => {
          this.#waiting.delete(done)
          signal.removeEventListener('abort', onAbort)
          resolve()
        }
        const onAbort = () => {
          this.#waiting.delete(done)
          reject(toOsError(signal.reason, 'ECANCELED'))
        }
        this.#waiting.add(done)
        signal.addEventListener('abort', onAbort, { once: true })
      })
    }
    const missed = Math.min(this.#events.length, this.#last - since)
    return { events: this.#events.slice(this.#events.length - missed), next: this.#last }
  }
}
