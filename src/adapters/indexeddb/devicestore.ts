// Blocks in the other slots of this browser, to be read: all tabs of one browser share an origin's IndexedDB. Implements
// DeviceStore of ports/blockstore.ts, in a dedicated worker. It makes no database and keeps none from being deleted.
import { getMany, promisifyRequest } from 'idb-keyval'
import { OsError } from '../../base/errors.ts'
import type { DeviceStore } from '../../ports/blockstore.ts'
import { databaseName, STORES } from './database.ts'
import { SLOTS_KNOWN_MS } from './limits.ts'

type Block = Uint8Array<ArrayBuffer>

export class IndexedDbDeviceStore implements DeviceStore {
  readonly #own: number
  readonly #stored: () => Promise<readonly number[]>
  /** Connections to other slots. */
  readonly #open = new Map<number, Promise<IDBDatabase | undefined>>()
  /** Slots that have a database, the one that was of use last first. */
  #slots: number[] = []
  #listedMs = Number.NEGATIVE_INFINITY
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
    const found = keys.map((): Block | undefined => undefined)
    await this.#list()
    for (const slot of [...this.#slots]) {
      const missing = [...found.keys()].filter((i) => !found[i])
      if (missing.length === 0) break
      const blocks = await this.#read(
        slot,
        missing.map((i) => keys[i] as string),
      )
      for (const [at, i] of missing.entries()) found[i] = blocks[at]
      if (blocks.some((block) => block)) this.#slots = [slot, ...this.#slots.filter((each) => each !== slot)]
    }
    return found
  }

  async close(): Promise<void> {
    this.#closed = true
    const open = [...this.#open.values()]
    this.#open.clear()
    for (const db of await Promise.all(open)) db?.close()
  }

  /** New tabs make new slots; they are looked for now and then. */
  async #list(): Promise<void> {
    const nowMs = performance.now()
    if (nowMs - this.#listedMs < SLOTS_KNOWN_MS) return
    this.#listedMs = nowMs
    const slots = (await this.#stored()).filter((slot) => slot !== this.#own)
    this.#slots = [...new Set([...this.#slots.filter((slot) => slots.includes(slot)), ...slots])]
  }

  /** A slot that cannot be read has nothing. */
  async #read(slot: number, keys: string[]): Promise<(Block | undefined)[]> {
    const db = await this.#database(slot)
    if (!db) return []
    try {
      return await getMany<Block>(keys, async (mode, work) =>
        work(db.transaction(STORES.blocks, mode).objectStore(STORES.blocks)),
      )
    } catch {
      // Its tab may have deleted it; it is opened again when it is looked for the next time.
      this.#forget(slot, db)
      return []
    }
  }

  #database(slot: number): Promise<IDBDatabase | undefined> {
    const open = this.#open.get(slot) ?? this.#connect(slot)
    this.#open.set(slot, open)
    return open
  }

  async #connect(slot: number): Promise<IDBDatabase | undefined> {
    const request = indexedDB.open(databaseName(slot))
    // It is gone meanwhile: to make it anew is for a tab that has the slot.
    request.onupgradeneeded = () => request.transaction?.abort()
    try {
      const db = await promisifyRequest(request)
      db.onversionchange = () => this.#forget(slot, db)
      db.onclose = () => this.#forget(slot, db)
      if (this.#closed) db.close()
      return db
    } catch {
      this.#open.delete(slot)
      return undefined
    }
  }

  #forget(slot: number, db: IDBDatabase): void {
    this.#open.delete(slot)
    db.close()
  }
}
