// Blocks in the other slots of this browser, to be read: all tabs of one browser share an origin's IndexedDB. Implements
// DeviceStore of ports/blockstore.ts, in a dedicated worker. It makes no database and keeps none from being deleted.
import { getMany, promisifyRequest } from 'idb-keyval'
import { OsError } from '../../base/errors.ts'
import type { DeviceStore } from '../../ports/blockstore.ts'
import { databaseName, STORES } from './database.ts'
import { SLOT_OPEN_MS, SLOT_UNUSED_MS, SLOTS_KNOWN_MS } from './limits.ts'

type Block = Uint8Array<ArrayBuffer>

/** A connection to another slot, once it is open. */
interface Connection {
  /** Resolves soon: undefined when it is not open then. */
  opening: Promise<IDBDatabase | undefined>
  db: IDBDatabase | undefined
}

export class IndexedDbDeviceStore implements DeviceStore {
  readonly #own: number
  readonly #stored: () => Promise<readonly number[]>
  readonly #connections = new Map<number, Connection>()
  /** Slots that have a database, the one that was of use last first. */
  #slots: number[] = []
  #listing: Promise<void> | undefined
  #listedMs = Number.NEGATIVE_INFINITY
  /** A connection that nobody uses only keeps others waiting who delete or upgrade a database while this tab stands still. */
  #unused: ReturnType<typeof setTimeout> | undefined
  #closed = false

  /**
   * @param own slot of this tab.
   * @param stored slots of this browser that have a database.
   */
  constructor(own: number, stored: () => Promise<readonly number[]>) {
    this.#own = own
    this.#stored = stored
  }

  async getMany(keys: readonly string[]): Promise<(Block | undefined)[]> {
    if (this.#closed) throw new OsError('EIO', 'this tab’s storage is closed')
    clearTimeout(this.#unused)
    this.#unused = undefined
    this.#closeLater()
    const found = keys.map((): Block | undefined => undefined)
    await this.#list()
    const slots = [...this.#slots]
    const databases = await Promise.all(slots.map((slot) => this.#database(slot)))
    for (const [at, slot] of slots.entries()) {
      const missing = [...found.keys()].filter((i) => !found[i])
      if (missing.length === 0) break
      const wanted = missing.map((i) => keys[i] as string)
      const db = databases[at]
      const blocks = db ? await this.#read(slot, db, wanted) : []
      for (const [k, i] of missing.entries()) found[i] = blocks[k]
      if (blocks.some((block) => block)) this.#slots = [slot, ...this.#slots.filter((each) => each !== slot)]
    }
    return found
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#unused)
    this.#closeAll()
  }

  #closeLater(): void {
    this.#unused ??= setTimeout(() => this.#closeAll(), SLOT_UNUSED_MS)
  }

  #closeAll(): void {
    this.#unused = undefined
    for (const [slot, { db }] of this.#connections) {
      if (!db) continue // once it is open, it is used, or closed like the others
      this.#connections.delete(slot)
      db.close()
    }
  }

  /** New tabs make new slots; they are looked for now and then. */
  async #list(): Promise<void> {
    if (performance.now() - this.#listedMs < SLOTS_KNOWN_MS) return
    this.#listing ??= this.#lookForSlots().finally(() => {
      this.#listing = undefined
    })
    await this.#listing
  }

  async #lookForSlots(): Promise<void> {
    const slots = (await this.#stored()).filter((slot) => slot !== this.#own)
    this.#slots = [...new Set([...this.#slots.filter((slot) => slots.includes(slot)), ...slots])]
    this.#listedMs = performance.now()
  }

  /** A slot that cannot be read has nothing. */
  async #read(slot: number, db: IDBDatabase, keys: string[]): Promise<(Block | undefined)[]> {
    try {
      return await getMany<Block>(keys, async (mode, work) => {
        const transaction = db.transaction(STORES.blocks, mode)
        const result = work(transaction.objectStore(STORES.blocks))
        transaction.commit() // its tab must not wait for this one to hear of the end
        return result
      })
    } catch {
      // Its tab may have deleted it; it is opened again when it is looked for the next time.
      this.#forget(slot, db)
      return []
    }
  }

  /** Undefined while it does not open: somebody may be deleting it, and must not hold up what other slots have. */
  async #database(slot: number): Promise<IDBDatabase | undefined> {
    const known = this.#connections.get(slot)
    if (known) return known.db ?? known.opening
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, SLOT_OPEN_MS))
    const opening = Promise.race([this.#connect(slot), late])
    this.#connections.set(slot, { opening, db: undefined })
    return opening
  }

  async #connect(slot: number): Promise<IDBDatabase | undefined> {
    const request = indexedDB.open(databaseName(slot))
    // It is gone meanwhile: to make it anew is for a tab that has the slot.
    request.onupgradeneeded = () => request.transaction?.abort()
    try {
      const db = await promisifyRequest(request)
      const connection = this.#connections.get(slot)
      if (this.#closed || !connection) {
        db.close()
        return undefined
      }
      connection.db = db
      this.#closeLater()
      db.onversionchange = () => this.#forget(slot, db)
      db.onclose = () => this.#forget(slot, db)
      return db
    } catch {
      this.#connections.delete(slot)
      return undefined
    }
  }

  #forget(slot: number, db: IDBDatabase): void {
    if (this.#connections.get(slot)?.db === db) this.#connections.delete(slot)
    db.close()
  }
}
