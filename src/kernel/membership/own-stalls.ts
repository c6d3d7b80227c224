// When did this node stand still? Its own heartbeats tell: what others did not say meanwhile is not held against them.
// Above: membership.ts, suspicion.ts.
import { OWN_STALL_MS } from '../limits.ts'

export class OwnStalls {
  #dueMs = 0
  /** When a late beat ended the last one. */
  #wokeMs = Number.NEGATIVE_INFINITY

  /** When our next beat is due. */
  expect(dueMs: number): void {
    this.#dueMs = dueMs
  }

  /** It comes. @returns how long we stood still, in ms; 0: not at all. */
  beat(nowMs: number): number {
    if (!this.standsStill(nowMs)) return 0
    this.#wokeMs = nowMs
    return nowMs - this.#dueMs
  }

  /** Our beat is overdue: what was sent to us meanwhile is yet to be heard. */
  standsStill(nowMs: number): boolean {
    return nowMs - this.#dueMs > OWN_STALL_MS
  }

  /** The same, or that was so a moment ago. */
  within(ms: number, nowMs: number): boolean {
    return this.standsStill(nowMs) || nowMs - this.#wokeMs < ms
  }
}
