// Room on this node's disk for what makes room: deleting writes as well, so that on a full disk nothing could be deleted.
// No browser tells beforehand when there is no more room (Chromium says that 10 GiB are free, always), so the reserve is
// really taken: pieces that are given up when a write that may use it finds none. Above: kernel.ts, blocks.ts,
// storage-gauge.ts. Below: the log store.
import { isOsError } from '../../base/errors.ts'
import type { LogStore } from '../../ports/logstore.ts'
import { RESERVE_FROM_BYTES, RESERVE_PIECE_BYTES, RESERVE_PIECES } from '../limits.ts'

/** Is there when all pieces are: it need not be read how many there are. */
const WHOLE = 'reserve'
const pieceName = (i: number) => `${WHOLE}/${i}`

type Records = Pick<LogStore, 'getRecord' | 'putRecord' | 'removeRecord'>

export class Reserve {
  readonly #store: Records
  readonly #onShort: () => void
  #whole = false
  #short = false
  /** Pieces given since the start, and the one that is being given. */
  #given = 0
  #giving: Promise<boolean> | undefined
  #laying: Promise<void> | undefined

  /** @param onShort it has just begun to be short of room. */
  constructor(store: Records, onShort: () => void) {
    this.#store = store
    this.#onShort = onShort
  }

  /** Some of it was needed, or found no room: there is none for anything else. */
  get short(): boolean {
    return this.#short
  }

  /** Writes what makes room, if need be into the reserve. @throws {OsError} ENOSPC when that is used up; what `write` throws. */
  async use<T>(write: () => Promise<T>): Promise<T> {
    for (;;) {
      const before = this.#given
      try {
        return await write()
      } catch (error) {
        if (!isOsError(error, 'ENOSPC')) throw error
        // Where several found no room at a time one piece may be enough.
        if (this.#given === before && !(await this.#give())) throw error
      }
    }
  }

  /** The same store, of which journals and records with such names may use the reserve. */
  openTo(store: LogStore, mayUse: (name: string) => boolean): LogStore {
    const use = (name: string, write: () => Promise<void>) => (mayUse(name) ? this.use(write) : write())
    return {
      list: () => store.list(),
      load: (log) => store.load(log),
      append: (log, first, entries) => use(log, () => store.append(log, first, entries)),
      truncate: (log, from) => store.truncate(log, from),
      compact: (log, upTo, snapshot, later) => use(log, () => store.compact(log, upTo, snapshot, later)),
      remove: (log) => store.remove(log),
      getRecord: (name) => store.getRecord(name),
      putRecord: (name, bytes) => use(name, () => store.putRecord(name, bytes)),
      removeRecord: (name) => store.removeRecord(name),
      close: () => store.close(),
    }
  }

  /** Lays out what lacks of it, as far as there is room. @param usedBytes what the disk holds: little need not be deleted. @throws {OsError} EIO. */
  refill(usedBytes: number): Promise<void> {
    if (this.#whole || (!this.#short && usedBytes < RESERVE_FROM_BYTES)) return Promise.resolve()
    this.#laying ??= this.#lay().finally(() => {
      this.#laying = undefined
    })
    return this.#laying
  }

  async #lay(): Promise<void> {
    const before = this.#given
    if ((await this.#store.getRecord(WHOLE)) === undefined) {
      try {
        for (let i = 0; i < RESERVE_PIECES; i++) await this.#store.putRecord(pieceName(i), noise(RESERVE_PIECE_BYTES))
        await this.#store.putRecord(WHOLE, new Uint8Array())
      } catch (error) {
        if (!isOsError(error, 'ENOSPC')) throw error
        return this.#runShort()
      }
    }
    // Meanwhile a piece may have been needed.
    this.#whole = this.#given === before
    if (this.#whole) this.#short = false
  }

  #runShort(): void {
    if (!this.#short) this.#onShort()
    this.#short = true
  }

  #give(): Promise<boolean> {
    this.#giving ??= this.#giveOne().finally(() => {
      this.#giving = undefined
    })
    return this.#giving
  }

  /** @returns false when there is none. */
  async #giveOne(): Promise<boolean> {
    this.#whole = false
    this.#runShort()
    await this.#store.removeRecord(WHOLE)
    for (let i = 0; i < RESERVE_PIECES; i++) {
      if ((await this.#store.getRecord(pieceName(i))) === undefined) continue
      await this.#store.removeRecord(pieceName(i))
      this.#given++
      return true
    }
    return false
  }
}

/** Bytes that no disk stores in less room (Marsaglia's xorshift). */
function noise(bytes: number): Uint8Array {
  const words = new Uint32Array(bytes / 4)
  let word = 0x9e3779b9
  for (let i = 0; i < words.length; i++) {
    word ^= word << 13
    word ^= word >>> 17
    word ^= word << 5
    words[i] = word
  }
  return new Uint8Array(words.buffer)
}
