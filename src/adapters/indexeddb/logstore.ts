// Journals and small records in IndexedDB, with strict durability. Implements ports/logstore.ts for one slot.
//
// Writes queue (group-commit.ts); one strict transaction takes all that have come, and checks each against its log's tail.
import { promisifyRequest } from 'idb-keyval'
import { owned } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { LogStore, StoredLog } from '../../ports/logstore.ts'
import { SlotDatabase, STORES } from './database.ts'
import { GroupCommit } from './group-commit.ts'
import { MAX_GROUP_COMMIT } from './limits.ts'
import { addRow, type Bytes, dropFrom, dropUpTo, readEntries, readLast, rowsOf } from './log-rows.ts'

interface Tail {
  snapshotIndex: number
  last: number
}

interface Snapshot {
  index: number
  bytes: Bytes
}

interface Write {
  /** The log whose tail it needs; undefined for records. */
  log: string | undefined
  /** Checks against the tail and changes it. @throws {OsError} EINVAL */
  check(tail: Tail): void
  /** May await requests of its transaction. */
  store(stores: Stores): void | Promise<void>
}

interface Stores {
  entries: IDBObjectStore
  snapshots: IDBObjectStore
  records: IDBObjectStore
}

const ALL_STORES = [STORES.entries, STORES.snapshots, STORES.records]

/** @throws {OsError} EIO when the browser refuses the database. */
export async function openLogStore(slot: number): Promise<LogStore> {
  const database = new SlotDatabase(slot)
  await database.open()
  return new IndexedDbLogStore(database)
}

export class IndexedDbLogStore implements LogStore {
  readonly #database: SlotDatabase
  readonly #tails = new Map<string, Tail>()
  readonly #writes = new GroupCommit<Write>(MAX_GROUP_COMMIT, (group) => this.#store(group))

  /** Closing the store closes the database. */
  constructor(database: SlotDatabase) {
    this.#database = database
  }

  append(log: string, firstIndex: number, entries: readonly Uint8Array[]): Promise<void> {
    const copies = entries.map(copy)
    return this.#write(
      log,
      (tail) => {
        if (firstIndex !== tail.last + 1) {
          throw new OsError('EINVAL', `cannot append entry ${firstIndex} to log ${log}: its last is ${tail.last}`)
        }
        tail.last += copies.length
      },
      ({ entries: rows }) => addRow(rows, log, firstIndex, copies),
    )
  }

  truncate(log: string, fromIndex: number): Promise<void> {
    return this.#write(
      log,
      (tail) => {
        if (fromIndex <= tail.snapshotIndex) {
          const covered = `its snapshot covers ${tail.snapshotIndex}`
          throw new OsError('EINVAL', `cannot truncate log ${log} at ${fromIndex}: ${covered}`)
        }
        tail.last = Math.min(tail.last, fromIndex - 1)
      },
      ({ entries }) => dropFrom(entries, log, fromIndex),
    )
  }

  compact(log: string, upTo: number, snapshot: Uint8Array, later: 'keep' | 'drop' = 'keep'): Promise<void> {
    const value: Snapshot = { index: upTo, bytes: copy(snapshot) }
    return this.#write(
      log,
      (tail) => {
        if (upTo < tail.snapshotIndex || upTo < 1) {
          throw new OsError('EINVAL', `cannot compact log ${log} up to ${upTo}: it is at ${tail.snapshotIndex}`)
        }
        tail.snapshotIndex = upTo
        tail.last = later === 'drop' ? upTo : Math.max(tail.last, upTo)
      },
      async ({ entries, snapshots }) => {
        snapshots.put(value, log)
        if (later === 'drop') entries.delete(rowsOf(log, 0))
        else await dropUpTo(entries, log, upTo)
      },
    )
  }

  remove(log: string): Promise<void> {
    return this.#write(
      log,
      (tail) => {
        tail.last = 0
        tail.snapshotIndex = 0
      },
      ({ entries, snapshots }) => {
        entries.delete(rowsOf(log, 0))
        snapshots.delete(log)
      },
    )
  }

  putRecord(name: string, bytes: Uint8Array): Promise<void> {
    const value = copy(bytes)
    return this.#write(
      undefined,
      () => {},
      ({ records }) => {
        records.put(value, name)
      },
    )
  }

  removeRecord(name: string): Promise<void> {
    return this.#write(
      undefined,
      () => {},
      ({ records }) => {
        records.delete(name)
      },
    )
  }

  list(): Promise<string[]> {
    return this.#read(async ({ entries, snapshots }) => {
      const names = new Set((await promisifyRequest(snapshots.getAllKeys())) as string[])
      // One step per log: skip from its first entry behind its last.
      let cursor = await promisifyRequest(entries.openKeyCursor())
      while (cursor) {
        const [log] = cursor.key as [string, number]
        names.add(log)
        cursor = await promisifyRequest(entries.openKeyCursor(IDBKeyRange.lowerBound([log, []])))
      }
      return [...names]
    })
  }

  load(log: string): Promise<StoredLog> {
    return this.#read(async ({ entries, snapshots }) => {
      const snapshot = (await promisifyRequest(snapshots.get(log))) as Snapshot | undefined
      return {
        snapshotIndex: snapshot?.index ?? 0,
        snapshot: snapshot?.bytes,
        entries: await readEntries(entries, log),
      }
    })
  }

  getRecord(name: string): Promise<Bytes | undefined> {
    return this.#read(({ records }) => promisifyRequest(records.get(name)) as Promise<Bytes | undefined>)
  }

  async close(): Promise<void> {
    await this.#writes.settled()
    await this.#database.close()
  }

  /** Reads what was written before it was called. */
  async #read<T>(work: (stores: Stores) => Promise<T>): Promise<T> {
    await this.#writes.settled()
    return this.#database.transact({ stores: ALL_STORES, mode: 'readonly', durability: 'relaxed' }, (transaction) =>
      work(storesOf(transaction)),
    )
  }

  #write(log: string | undefined, check: Write['check'], store: Write['store']): Promise<void> {
    return this.#writes.write({ log, check, store })
  }

  /** @returns those that do not fit their log. */
  async #store(group: readonly Write[]): Promise<ReadonlyMap<Write, unknown>> {
    const refused = new Map<Write, unknown>()
    const changed = new Map<string, Tail>()
    const work = async (transaction: IDBTransaction) => {
      const stores = storesOf(transaction)
      refused.clear()
      changed.clear()
      for (const write of group) {
        try {
          if (write.log !== undefined) write.check(await this.#tail(write.log, stores, changed))
          await write.store(stores)
        } catch (error) {
          if (!(error instanceof OsError)) throw error
          refused.set(write, error)
        }
      }
    }
    try {
      await this.#database.transact({ stores: ALL_STORES, mode: 'readwrite', durability: 'strict' }, work)
    } catch (error) {
      for (const log of changed.keys()) this.#tails.delete(log)
      throw error
    }
    for (const [log, tail] of changed) this.#tails.set(log, tail)
    return refused
  }

  /** The tail as this transaction sees it: the known one, or read from the stores. */
  async #tail(log: string, stores: Stores, changed: Map<string, Tail>): Promise<Tail> {
    let tail = changed.get(log)
    if (!tail) {
      const known = this.#tails.get(log)
      tail = known ? { ...known } : await readTail(log, stores)
      changed.set(log, tail)
    }
    return tail
  }
}

async function readTail(log: string, { entries, snapshots }: Stores): Promise<Tail> {
  const snapshot = (await promisifyRequest(snapshots.get(log))) as Snapshot | undefined
  const snapshotIndex = snapshot?.index ?? 0
  return { snapshotIndex, last: Math.max(await readLast(entries, log), snapshotIndex) }
}

function storesOf(transaction: IDBTransaction): Stores {
  return {
    entries: transaction.objectStore(STORES.entries),
    snapshots: transaction.objectStore(STORES.snapshots),
    records: transaction.objectStore(STORES.records),
  }
}

/** Taken when the write is queued: the caller may change its bytes before the flush. */
function copy(bytes: Uint8Array): Bytes {
  return owned(bytes.slice())
}
