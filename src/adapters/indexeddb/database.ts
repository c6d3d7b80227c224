// One slot's database: opening, strict and relaxed transactions, and what happens when the browser takes it away.
// Above: blockstore.ts, logstore.ts. It does not know what the stores hold.
//
// open ⇄ lost (the browser closed the connection; the next call opens it again) → gone (it comes back without our
// mark: the browser deleted the data, so every call fails) ; any → closed (by us).
import { promisifyRequest } from 'idb-keyval'
import { OsError } from '../../base/errors.ts'
import { isConnectionLost, storageError } from './errors.ts'

export const STORES = { blocks: 'blocks', entries: 'log-entries', snapshots: 'log-snapshots', records: 'records' }
const MARK_STORE = 'mark'
const MARK = 'incarnation'
const VERSION = 1

export function databaseName(slot: number): string {
  return `brittlestar-slot-${slot}`
}

export interface TransactionOptions {
  stores: readonly string[]
  mode: IDBTransactionMode
  /** `strict`: on stable storage when the transaction completes. */
  durability: IDBTransactionDurability
}

export class SlotDatabase {
  readonly #name: string
  readonly #factory: IDBFactory
  #db: Promise<IDBDatabase> | undefined
  #mark: string | undefined
  #ended: OsError | undefined
  readonly #gone = Promise.withResolvers<OsError>()
  /** Resolves when the browser has deleted what was stored, with what every call throws from then on. */
  readonly gone: Promise<OsError> = this.#gone.promise

  /** @param factory another than the origin's own, e.g. a storage bucket's. */
  constructor(slot: number, factory: IDBFactory = indexedDB) {
    this.#name = databaseName(slot)
    this.#factory = factory
  }

  /** @throws {OsError} EIO when the browser refuses to open it. */
  async open(): Promise<void> {
    await this.#connection()
  }

  /**
   * Runs `work` in one transaction and resolves with its value once the transaction has completed. When the
   * connection turns out to be lost before anything was stored, it is opened again and the work tried once more.
   * `work` must only await requests of the transaction.
   */
  async transact<T>(options: TransactionOptions, work: (transaction: IDBTransaction) => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      const db = await this.#connection()
      try {
        return await inTransaction(db, options, work)
      } catch (error) {
        if (!isConnectionLost(error) || this.#ended || attempt > 0) throw storageError(error)
        await this.#lost(db)
      }
    }
  }

  async close(): Promise<void> {
    this.#ended ??= new OsError('EIO', 'this tab’s storage is closed')
    const db = this.#db
    this.#db = undefined
    await db?.then(
      (opened) => opened.close(),
      () => {}, // it never opened, and whoever asked for it was told
    )
  }

  #connection(): Promise<IDBDatabase> {
    if (this.#ended) return Promise.reject(this.#ended)
    this.#db ??= this.#connect().catch((error: unknown) => {
      this.#db = undefined
      throw storageError(error)
    })
    return this.#db
  }

  async #connect(): Promise<IDBDatabase> {
    const request = this.#factory.open(this.#name, VERSION)
    request.onupgradeneeded = () => {
      for (const store of [...Object.values(STORES), MARK_STORE]) request.result.createObjectStore(store)
    }
    const db = await promisifyRequest(request)
    db.onclose = () => void this.#takenAway(db)
    db.onversionchange = () => {
      db.close() // somebody deletes or upgrades it: holding on would block them for ever
      void this.#takenAway(db)
    }
    await this.#checkMark(db)
    return db
  }

  /** A database that lost its mark was deleted and made anew: its journals would contradict what we acknowledged. */
  async #checkMark(db: IDBDatabase): Promise<void> {
    const mark = await inTransaction(
      db,
      { stores: [MARK_STORE], mode: 'readwrite', durability: 'strict' },
      async (transaction) => {
        const store = transaction.objectStore(MARK_STORE)
        const found: unknown = await promisifyRequest(store.get(MARK))
        if (typeof found === 'string') return found
        const fresh = crypto.randomUUID()
        store.put(fresh, MARK)
        return fresh
      },
    )
    if (this.#mark !== undefined && this.#mark !== mark) {
      this.#ended = new OsError('EIO', 'the browser deleted this tab’s storage; reload the tab to start anew')
      db.close()
      this.#gone.resolve(this.#ended)
      throw this.#ended
    }
    this.#mark = mark
  }

  /** What is gone is to be known also while nobody reads or writes. */
  async #takenAway(db: IDBDatabase): Promise<void> {
    await this.#lost(db)
    await this.#connection().catch(() => undefined) // what is wrong is told whoever asks next
  }

  /** Once it resolves, another connection is made for whoever needs one. */
  async #lost(db: IDBDatabase): Promise<void> {
    const current = this.#db
    const opened = await current?.catch(() => undefined) // reported to whoever opened it
    if (opened === db && this.#db === current) this.#db = undefined
  }
}

/** Aborts when `work` throws, so that a transaction is never half done. */
async function inTransaction<T>(
  db: IDBDatabase,
  { stores, mode, durability }: TransactionOptions,
  work: (transaction: IDBTransaction) => Promise<T>,
): Promise<T> {
  const transaction = db.transaction([...stores], mode, { durability })
  // Not through the `on…` properties, which idb-keyval sets for itself.
  const completed = new Promise<void>((resolve, reject) => {
    transaction.addEventListener('complete', () => resolve())
    transaction.addEventListener('abort', () => reject(transaction.error))
  })
  completed.catch(() => {}) // awaited below, unless `work` fails first
  try {
    const value = await work(transaction)
    await completed
    return value
  } catch (error) {
    try {
      transaction.abort()
    } catch {
      // already aborted by the browser: its error says why
    }
    throw transaction.error ?? error
  }
}
