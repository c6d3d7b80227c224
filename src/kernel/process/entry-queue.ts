// Entries of one process on their way into its journal. An append costs messages and a flush of a disk on each node that keeps
// the journal: what nobody waits for goes with what comes next, or a moment later by itself. Above: home.ts. Below: journal.ts.
import type { OsError } from '../../base/errors.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Journal } from '../journal/journal.ts'
import { ENTRY_WAIT_MS, MAX_WAITING_ENTRIES, MAX_WAITING_ENTRY_BYTES } from '../limits.ts'

interface Waiting {
  entry: Uint8Array
  resolve(): void
  reject(error: unknown): void
}

export class EntryQueue {
  readonly #journal: Pick<Journal, 'append'>
  readonly #clock: Clock
  #waiting: Waiting[] = []
  #bytes = 0
  #timer: Timer | undefined
  #closed: OsError | undefined

  constructor(journal: Pick<Journal, 'append'>, clock: Clock) {
    this.#journal = journal
    this.#clock = clock
  }

  /**
   * In the order of the calls. Resolves when a majority has it.
   * @param soon it may wait for others.
   * @throws {OsError} as an append does; what it was closed with.
   */
  add(entry: Uint8Array, { soon = false }: { soon?: boolean } = {}): Promise<void> {
    if (this.#closed) return Promise.reject(this.#closed)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ entry, resolve, reject })
    this.#bytes += entry.byteLength
    const full = this.#waiting.length >= MAX_WAITING_ENTRIES || this.#bytes >= MAX_WAITING_ENTRY_BYTES
    if (!soon || full) this.flush()
    else this.#timer ??= this.#clock.setTimer(() => this.flush(), ENTRY_WAIT_MS, 'entries of a process')
    return promise
  }

  /** What waits is not journalled. */
  close(reason: OsError): void {
    this.#closed ??= reason
    for (const { reject } of this.#taken()) reject(this.#closed)
  }

  /** Writes what waits. */
  flush(): void {
    const waiting = this.#taken()
    if (waiting.length === 0) return
    this.#journal.append(waiting.map(({ entry }) => entry)).then(
      () => {
        for (const { resolve } of waiting) resolve()
      },
      (error: unknown) => {
        for (const { reject } of waiting) reject(error)
      },
    )
  }

  #taken(): Waiting[] {
    this.#timer?.cancel()
    this.#timer = undefined
    const waiting = this.#waiting
    this.#waiting = []
    this.#bytes = 0
    return waiting
  }
}
