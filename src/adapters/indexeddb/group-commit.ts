// Group commit: a transaction costs much more than a small write. So writes queue, and the next transaction takes all that
// have come while the one before was under way. Above: blockstore.ts, logstore.ts.
import { OsError } from '../../base/errors.ts'

/** Stores all of a group, or throws and stores nothing. @returns those of it that were refused, each for its reason. */
export type StoreGroup<W> = (group: readonly W[]) => Promise<ReadonlyMap<W, unknown>>

interface Waiting<W> {
  write: W
  resolve(): void
  reject(error: unknown): void
}

export class GroupCommit<W> {
  readonly #most: number
  readonly #store: StoreGroup<W>
  readonly #queue: Waiting<W>[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  /** @param most writes of one transaction. */
  constructor(most: number, store: StoreGroup<W>) {
    this.#most = most
    this.#store = store
  }

  /** In the order of the calls. @throws {OsError} EIO once it is closed; what `store` throws; why it was refused. */
  write(write: W): Promise<void> {
    if (this.#closed) return Promise.reject(new OsError('EIO', 'this tab’s storage is closed'))
    return new Promise((resolve, reject) => {
      this.#queue.push({ write, resolve, reject })
      this.#flushing ??= this.#flushAll()
    })
  }

  /** Resolves when nothing that was queued is on its way. */
  async settled(): Promise<void> {
    await this.#flushing
  }

  /** Nothing is taken any more. Resolves as `settled`. */
  close(): Promise<void> {
    this.#closed = true
    return this.settled()
  }

  async #flushAll(): Promise<void> {
    await Promise.resolve() // whatever else comes in this turn joins the first group
    while (this.#queue.length > 0) {
      const group = this.#queue.splice(0, this.#most)
      if (group.length > 1 && (await this.#together(group))) continue
      // One that does not fit, on a disk that is nearly full, fails alone.
      for (const one of group) await this.#commit([one]).catch(one.reject)
    }
    this.#flushing = undefined
  }

  /** @returns false when nothing of it is stored. */
  #together(group: readonly Waiting<W>[]): Promise<boolean> {
    return this.#commit(group).then(
      () => true,
      () => false, // each hears what is wrong with its own
    )
  }

  async #commit(group: readonly Waiting<W>[]): Promise<void> {
    const refused = await this.#store(group.map(({ write }) => write))
    for (const { write, resolve, reject } of group) {
      if (refused.has(write)) reject(refused.get(write))
      else resolve()
    }
  }
}
