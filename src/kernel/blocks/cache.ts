// Blocks in memory, as a page cache has them: those that were stored here lately, which others are about to ask for, and those that
// several have asked for. Above: blocks.ts, serve.ts, enclosed.ts. Below: the block store port, the clock.
import { owned } from '../../base/bytes.ts'
import { Latest } from '../../base/latest.ts'
import type { BlockStore } from '../../ports/blockstore.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import * as limits from '../limits.ts'
import type { CidText } from './cid.ts'

/** What a block takes beside its bytes, as measured with 40,000 of a kilobyte. */
const ROW_BYTES = 1024
/** After so many reads from memory alone the disk is asked, so that whoever reads thousands lets others have their turn. */
const READS_IN_A_ROW = 64

export type BlockEntries = readonly (readonly [CidText, Uint8Array])[]

interface Cached {
  bytes: Uint8Array
  usedMs: number
}

const cost = ({ bytes }: { bytes: Uint8Array }) => bytes.byteLength + ROW_BYTES

export class BlockCache {
  readonly #store: BlockStore
  readonly #clock: Clock
  /** Stored here, and asked for by nobody since. Of both, the one used longest ago comes first. */
  readonly #fresh = new Latest<Cached>(limits.CACHED_BYTES, cost)
  /** Asked for since. */
  readonly #asked = new Latest<Cached>(limits.CACHED_BYTES, cost)
  /** Until it is empty. */
  #sweep: Timer | undefined
  #inARow = 0
  /** How often something was deleted: what was read before may be what had to go. */
  #deletions = 0
  #closed = false

  constructor(store: BlockStore, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /**
   * For it, those go that nobody has asked for, and others only where that is not enough.
   * @param bytes hash to it, must not change any more, and are in the store, or on their way there.
   */
  add(cid: CidText, bytes: Uint8Array): void {
    this.#set(this.#asked.has(cid) ? this.#asked : this.#fresh, cid, bytes)
  }

  /** Its bytes, neither to be changed nor to be moved away. */
  get(cid: CidText): Uint8Array | undefined {
    const bytes = this.peek(cid)
    if (bytes) {
      this.#fresh.delete(cid)
      this.#set(this.#asked, cid, bytes)
    }
    return bytes
  }

  /** The same, of what is not asked for again because of that. */
  peek(cid: CidText): Uint8Array | undefined {
    return (this.#asked.get(cid) ?? this.#fresh.get(cid))?.bytes
  }

  /** It is not in the store any more, or not as it should be. */
  delete(cid: CidText): void {
    this.#deletions++
    this.#fresh.delete(cid)
    this.#asked.delete(cid)
  }

  /**
   * Those that are here, from memory or else from the store; what comes from memory is `lent`, neither to be changed nor to be moved.
   * @throws {OsError} EIO.
   */
  async read(cids: readonly CidText[]): Promise<({ bytes: Uint8Array; lent: boolean } | undefined)[]> {
    const looks = ++this.#inARow < READS_IN_A_ROW
    const fromMemory = cids.map((cid) => (looks ? this.get(cid) : undefined))
    const others = cids.filter((_cid, i) => !fromMemory[i])
    if (others.length > 0) this.#inARow = 0
    const stored = others.length > 0 ? await this.#store.getMany(others) : []
    return fromMemory.map((bytes) => {
      if (bytes) return { bytes, lent: true }
      const read = stored.shift()
      return read && { bytes: read, lent: false }
    })
  }

  /**
   * Stores them. What is on its way to the disk is in memory anyway, and counts here from now on.
   * @param entries whose bytes hash to their names and must not change any more. @returns what was stored. @throws {OsError} ENOSPC, EIO.
   */
  async putMany(entries: BlockEntries): Promise<BlockEntries> {
    const own = entries.map(([cid, bytes]) => [cid, owned(bytes)] as const)
    for (const [cid, bytes] of own) this.add(cid, bytes)
    try {
      await this.#store.putMany(own)
    } catch (error) {
      for (const [cid] of own) this.delete(cid)
      throw error
    }
    return own
  }

  /**
   * @returns what adds what is read from now on, unless something was deleted meanwhile. No other that is asked for has to go: of a
   * file that is larger than memory, and read again and again, as much as fits stays here.
   */
  filling(): (cid: CidText, bytes: Uint8Array) => void {
    const before = this.#deletions
    return (cid, bytes) => {
      if (this.#deletions !== before || this.peek(cid)) return
      const most = limits.CACHED_BYTES - Math.min(this.#fresh.used, limits.CACHED_FRESH_BYTES)
      if (this.#asked.used + cost({ bytes }) > most) return
      this.#set(this.#asked, cid, bytes)
    }
  }

  close(): void {
    this.#closed = true
    this.#sweep?.cancel()
    this.#fresh.clear()
    this.#asked.clear()
  }

  #set(where: Latest<Cached>, cid: CidText, bytes: Uint8Array): void {
    if (this.#closed) return
    where.set(cid, { bytes: owned(bytes), usedMs: this.#clock.nowMs() })
    while (this.#fresh.used + this.#asked.used > limits.CACHED_BYTES) {
      const spare = this.#fresh.used > limits.CACHED_FRESH_BYTES || this.#asked.size === 0
      if (spare) this.#fresh.drop()
      else this.#asked.drop()
    }
    this.#sweep ??= this.#sweepLater()
  }

  /** What nobody uses is memory that others need. */
  #sweepLater(): Timer {
    const sweep = () => {
      const unusedMs = this.#clock.nowMs() - limits.CACHED_MS
      for (const blocks of [this.#fresh, this.#asked]) {
        for (const [cid, { usedMs }] of blocks.entries()) {
          if (usedMs > unusedMs) break
          blocks.delete(cid)
        }
      }
      this.#sweep = this.#fresh.size + this.#asked.size > 0 ? this.#sweepLater() : undefined
    }
    return this.#clock.setTimer(sweep, limits.CACHED_MS / 2, 'cached blocks')
  }
}
