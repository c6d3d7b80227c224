// Blocks in memory, as a page cache has them: those that were stored here lately, which others are about to ask for, and those that
// several have asked for. A mebibyte of memory costs a sender a sixth of one that comes from the disk. Above: blocks.ts, serve.ts,
// enclosed.ts. Below: the clock.
import { owned } from '../../base/bytes.ts'
import { Latest } from '../../base/latest.ts'
import type { Clock } from '../../ports/clock.ts'
import * as limits from '../limits.ts'
import { Timers } from '../timers.ts'
import type { CidText } from './cid.ts'

/** What a block takes beside its bytes. */
const ROW_BYTES = 256

export class BlockCache {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #blocks = new Latest<Uint8Array>(limits.CACHED_BYTES, (bytes) => bytes.byteLength + ROW_BYTES)
  #usedMs = 0
  #closed = false

  constructor(clock: Clock) {
    this.#clock = clock
    this.#timers = new Timers(clock)
  }

  /** @param bytes are those of the store, or on their way there, and must not change any more. */
  add(cid: CidText, bytes: Uint8Array): void {
    if (this.#closed) return
    if (this.#blocks.size === 0) this.#freeAfter(limits.CACHED_MS)
    this.#blocks.set(cid, owned(bytes))
    this.#usedMs = this.#clock.nowMs()
  }

  /** Its bytes, neither to be changed nor to be moved away. */
  get(cid: CidText): Uint8Array | undefined {
    const bytes = this.#blocks.get(cid)
    if (bytes === undefined) return undefined
    this.#blocks.set(cid, bytes)
    this.#usedMs = this.#clock.nowMs()
    return bytes
  }

  /** It is not in the store any more. */
  delete(cid: CidText): void {
    this.#blocks.delete(cid)
  }

  close(): void {
    this.#closed = true
    this.#timers.cancelAll()
    this.#blocks.clear()
  }

  /** What nobody uses is memory that others need. */
  #freeAfter(delayMs: number): void {
    this.#timers.after(delayMs, 'cached blocks', () => {
      const leftMs = this.#usedMs + limits.CACHED_MS - this.#clock.nowMs()
      if (leftMs > 0) this.#freeAfter(leftMs)
      else this.#blocks.clear()
    })
  }
}
