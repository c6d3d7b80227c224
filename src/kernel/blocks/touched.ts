// Which blocks somebody has stored here lately, or made sure of, and may be about to name in a journal: they are not freed.
// Above: blocks.ts. Below: nothing.
import type { Clock } from '../../ports/clock.ts'
import { MAX_TOUCHED, TOUCHED_MS } from '../limits.ts'
import type { CidText } from './cid.ts'

export class Touched {
  readonly #clock: Clock
  /** When, by a number that grows; the one touched longest ago first. */
  readonly #last = new Map<CidText, { ms: number; tick: number }>()
  #tick = 0
  /** Pieces of work under way that may name what was touched since they began. */
  #pins = 0
  /** More were touched than can be remembered: then everything counts as touched until nobody is at work. */
  #overflow = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(cids: readonly CidText[]): void {
    const ms = this.#clock.nowMs()
    this.#tick++
    for (const cid of cids) {
      this.#last.delete(cid)
      this.#last.set(cid, { ms, tick: this.#tick })
    }
    this.#forget(ms)
  }

  pin(): () => void {
    this.#pins++
    let held = true
    return () => {
      if (held) this.#pins--
      held = false
    }
  }

  mark(): number {
    this.#forget(this.#clock.nowMs())
    return ++this.#tick
  }

  /** Since that mark; or, where it is remembered, so short before it that whoever did may still be at work. */
  since(cid: CidText, mark: number): boolean {
    const last = this.#last.get(cid)
    if (this.#overflow || !last) return this.#overflow
    return last.tick > mark || this.#pins > 1 || last.ms > this.#clock.nowMs() - TOUCHED_MS
  }

  #forget(nowMs: number): void {
    if (this.#pins > 0) {
      if (this.#last.size > MAX_TOUCHED) this.#overflow = true
      if (this.#overflow) this.#last.clear()
      return
    }
    this.#overflow = false
    for (const [cid, { ms }] of this.#last) {
      if (ms > nowMs - TOUCHED_MS) break
      this.#last.delete(cid)
    }
  }
}
