// Replicated journals, first form: a group of one. Above: the tree's head and processes. Below: the log store
// port. Callers see only append, compact and the acknowledgement; replication comes behind this interface.
//
// Group commit: entries that arrive while a flush is under way go into the next one together.
import { OsError, toOsError } from '../../base/errors.ts'
import type { LogStore } from '../../ports/logstore.ts'
import type { Ack } from '../../syscalls/types.ts'

export interface Journal {
  readonly name: string
  /** Index of the last entry appended, flushed or not. */
  readonly lastIndex: number
  /** Entries since the last snapshot: when to compact. */
  readonly length: number
  /**
   * Resolves when the entries are on stable storage as far as the ack says.
   * @throws {OsError} ENOSPC, EIO; after a failure every later append fails too, so that no gap can arise.
   */
  append(entries: readonly Uint8Array[], level?: Ack['level']): Promise<Ack>
  /** Replaces everything appended before this call by `snapshot`. */
  compact(snapshot: Uint8Array): Promise<void>
}

export interface OpenedJournal {
  journal: Journal
  snapshot: Uint8Array | undefined
  entries: Uint8Array[]
}

export class Journals {
  readonly #store: LogStore
  readonly #open = new Set<string>()

  constructor(store: LogStore) {
    this.#store = store
  }

  async list(prefix: string): Promise<string[]> {
    return (await this.#store.list()).filter((name) => name.startsWith(prefix))
  }

  /** @throws {OsError} EBUSY when it is open already. */
  async open(name: string): Promise<OpenedJournal> {
    if (this.#open.has(name)) throw new OsError('EBUSY', `journal ${name} is open already`)
    this.#open.add(name)
    try {
      const { snapshotIndex, snapshot, entries } = await this.#store.load(name)
      const journal = new LocalJournal(this.#store, name, snapshotIndex, snapshotIndex + entries.length)
      return { journal, snapshot, entries }
    } catch (error) {
      this.#open.delete(name)
      throw error
    }
  }

  async remove(name: string): Promise<void> {
    this.#open.delete(name)
    await this.#store.remove(name)
  }
}

class LocalJournal implements Journal {
  readonly name: string
  readonly #store: LogStore
  #snapshotIndex: number
  #lastIndex: number
  #queued: Uint8Array[] = []
  #nextFlush: Promise<void> | undefined
  #tail: Promise<void> = Promise.resolve()
  #failed: OsError | undefined

  constructor(store: LogStore, name: string, snapshotIndex: number, lastIndex: number) {
    this.#store = store
    this.name = name
    this.#snapshotIndex = snapshotIndex
    this.#lastIndex = lastIndex
  }

  get lastIndex(): number {
    return this.#lastIndex
  }

  get length(): number {
    return this.#lastIndex - this.#snapshotIndex
  }

  async append(entries: readonly Uint8Array[]): Promise<Ack> {
    if (this.#failed) throw this.#failed
    this.#queued.push(...entries)
    this.#lastIndex += entries.length
    if (!this.#nextFlush) {
      const flush = this.#tail.then(() => this.#flush())
      this.#nextFlush = flush
      this.#tail = flush.catch(() => undefined) // each appender gets the error from its own promise
    }
    await this.#nextFlush
    return { level: 'local', devices: 1 }
  }

  compact(snapshot: Uint8Array): Promise<void> {
    const upTo = this.#lastIndex
    const done = this.#tail.then(async () => {
      await this.#store.compact(this.name, upTo, snapshot)
      this.#snapshotIndex = upTo
    })
    this.#tail = done.catch(() => undefined)
    return done
  }

  async #flush(): Promise<void> {
    const entries = this.#queued
    this.#queued = []
    this.#nextFlush = undefined
    if (this.#failed) throw this.#failed
    const firstIndex = this.#lastIndex - entries.length + 1
    try {
      await this.#store.append(this.name, firstIndex, entries)
    } catch (error) {
      this.#failed = toOsError(error)
      throw this.#failed
    }
  }
}
