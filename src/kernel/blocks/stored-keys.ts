// Which blocks are on the disk. To ask for one takes as long as to read a dozen of all keys, so whoever has asked for many reads
// all keys, once, and asks the disk no more. Above: blocks.ts. Below: the block store port.
import type { BlockStore } from '../../ports/blockstore.ts'
import type { CidText } from './cid.ts'

/** Keys that are read in the time that one takes that is asked for alone. */
const KEYS_PER_LOOK = 12

export interface StoredKeysOptions {
  store: Pick<BlockStore, 'hasMany' | 'keys'>
  /** Keys that are remembered at most: of a larger store each is asked for. */
  most: number
  /** Blocks that are asked for one by one, before all keys are read the first time. */
  looks: number
}

export class StoredKeys {
  readonly #options: StoredKeysOptions
  /** All that there are, when they have been read. */
  #keys: Set<CidText> | undefined
  /** Stored while they are read. */
  #added: CidText[] | undefined
  /** Counts what makes keys wrong that are being read. */
  #epoch = 0
  #looked = 0
  #due: number

  constructor(options: StoredKeysOptions) {
    this.#options = options
    this.#due = options.looks
  }

  /** Which of them are in the store, in their order. @throws {OsError} EIO. */
  async look(cids: readonly CidText[]): Promise<boolean[]> {
    this.#looked += cids.length
    if (!this.#keys && !this.#added && this.#looked >= this.#due) await this.#read()
    const keys = this.#keys
    return keys ? cids.map((cid) => keys.has(cid)) : this.#options.store.hasMany(cids)
  }

  async #read(): Promise<void> {
    const { store, most } = this.#options
    const epoch = this.#epoch
    const added: CidText[] = []
    this.#added = added
    try {
      const keys = new Set(await store.keys())
      for (const cid of added) keys.add(cid)
      this.#due = keys.size > most ? Number.POSITIVE_INFINITY : Math.max(this.#due, keys.size / KEYS_PER_LOOK)
      if (epoch === this.#epoch && keys.size <= most) this.#keys = keys
    } finally {
      this.#added = undefined
      this.#looked = 0
    }
  }

  /** They are in the store now. */
  add(cids: readonly CidText[]): void {
    this.#added?.push(...cids)
    for (const cid of cids) this.#keys?.add(cid)
    if (this.#keys && this.#keys.size > this.#options.most) this.forget()
  }

  /** They were not found on the disk: it has lost them, or they came while it was asked. */
  missed(cids: readonly CidText[]): void {
    if (this.#added || cids.some((cid) => this.#keys?.has(cid))) this.forget()
  }

  /** Any of them may be gone. */
  forget(): void {
    this.#keys = undefined
    this.#epoch++
    this.#looked = 0
  }
}
