// Group commit of blocks: a transaction costs as much as some dozen small blocks, so small writes queue, and the next
// transaction takes all that have come while the one before was under way. A large write goes by itself, at once.
// Above: blockstore.ts. The journals' group commit, which checks each write as well, is in logstore.ts.
import { OsError } from '../../base/errors.ts'
import { MAX_SMALL_WRITES, SMALL_WRITE_BYTES } from './limits.ts'

export type Entry = [key: string, block: Uint8Array<ArrayBuffer>]

interface Write {
  entries: Entry[]
  resolve(): void
  reject(error: unknown): void
}

export class SmallWrites {
  readonly #store: (entries: Entry[]) => Promise<void>
  #queue: Write[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  /** @param store stores all or none. */
  constructor(store: (entries: Entry[]) => Promise<void>) {
    this.#store = store
  }

  /** Atomic for each call, whatever it is stored with. @throws {OsError} EIO once it is closed; what `store` throws. */
  put(entries: Entry[]): Promise<void> {
    if (this.#closed) return Promise.reject(new OsError('EIO', 'this tab’s storage is closed'))
    const size = entries.reduce((sum, [, { byteLength }]) => sum + byteLength, 0)
    if (size > SMALL_WRITE_BYTES) return this.#store(entries)
    return new Promise((resolve, reject) => {
      this.#queue.push({ entries, resolve, reject })
      this.#flushing ??= this.#flushAll()
    })
  }

  /** Nothing is taken any more. Resolves when nothing that was queued is on its way. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#flushing
  }

  async #flushAll(): Promise<void> {
    await Promise.resolve() // whatever else comes in this turn joins the first group
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, MAX_SMALL_WRITES)
      if (group.length > 1 && (await this.#together(group))) continue
      // Where the disk is nearly full, only those fail that do not fit.
      for (const { entries, resolve, reject } of group) await this.#store(entries).then(resolve, reject)
    }
    this.#flushing = undefined
  }

  /** @returns false when nothing of it is stored. */
  async #together(group: readonly Write[]): Promise<boolean> {
    try {
      await this.#store(group.flatMap(({ entries }) => entries))
    } catch {
      return false // each hears what is wrong with its own
    }
    for (const { resolve } of group) resolve()
    return true
  }
}
