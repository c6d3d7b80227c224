// Which blocks somebody has stored here lately, or made sure of, and may be about to name in a journal: they are not freed.
// Above: blocks.ts. Below: nothing.
import type { Clock } from '../../ports/clock.ts'
import { MAX_TOUCHED, TOUCHED_MS } from '../limits.ts'
import type { CidText } from './cid.ts'

/** What somebody has stored that nobody else had: which touch that was (`only`). */
export type OwnBlocks = Map<CidText, number>

export class Touched {
  readonly #clock: Clock
  /** When, by a number that grows; the one touched longest ago first. */
  readonly #last = new Map<CidText, { ms: number; tick: number }>()
  #tick = 0
  /** Pieces of work under way that may name what was touched since they began: when that was. */
  readonly #pins = new Set<{ since: number }>()
  /** When more were touched than can be remembered: for as long as those count, everything does. */
  #overflowMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** @returns which touch that was, for `only`. */
  add(cids: readonly CidText[]): number {
    const ms = this.#clock.nowMs()
    this.#tick++
    for (const cid of cids) {
      this.#last.delete(cid)
      this.#last.set(cid, { ms, tick: this.#tick })
    }
    this.#forget(ms)
    return this.#tick
  }

  has(cid: CidText): boolean {
    return this.#overflowing || this.#last.has(cid)
  }

  /** Nobody else has touched it, as far as that is known. */
  only(cid: CidText, touch: number): boolean {
    return !this.#overflowing && this.#last.get(cid)?.tick === touch
  }

  /** What one has touched alone is taken back: whoever stores it again is the only one again. */
  takeBack(cids: readonly CidText[]): void {
    for (const cid of cids) this.#last.delete(cid)
  }

  pin(): () => void {
    const pin = { since: this.#tick }
    this.#pins.add(pin)
    return () => {
      if (this.#pins.delete(pin) && this.#pins.size === 0) this.#forget(this.#clock.nowMs())
    }
  }

  /** Now, or when the work that has been under way longest began. */
  mark(): number {
    this.#forget(this.#clock.nowMs())
    return Math.min(this.#tick++, ...[...this.#pins].map(({ since }) => since))
  }

  /** Since that mark; or so short before it that whoever did may still be at work. */
  since(cid: CidText, mark: number): boolean {
    if (this.#overflowing) return true
    const last = this.#last.get(cid)
    return last !== undefined && (last.tick > mark || last.ms > this.#clock.nowMs() - TOUCHED_MS)
  }

  /** Not since that mark, but so short before it that it is kept for now. */
  lately(cid: CidText, mark: number): boolean {
    if (this.#overflowing) return true
    const last = this.#last.get(cid)
    return last !== undefined && last.tick <= mark && this.since(cid, mark)
  }

  get #overflowing(): boolean {
    return this.#clock.nowMs() - this.#overflowMs < TOUCHED_MS
  }

  #forget(nowMs: number): void {
    const pinned = this.#pins.size > 0
    if (this.#last.size > MAX_TOUCHED || (pinned && this.#overflowing)) {
      this.#overflowMs = nowMs
      this.#last.clear()
    }
    if (pinned) return
    for (const [cid, { ms }] of this.#last) {
      if (ms > nowMs - TOUCHED_MS) break
      this.#last.delete(cid)
    }
  }
}
