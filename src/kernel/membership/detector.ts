// When is silence suspicious? A pure function of the rhythm in which a peer was heard. Adaptive as TCP's
// retransmission timer is (Jacobson and Karels 1988; RFC 6298): smoothed gap plus four deviations, bounded.
// It does not decide that anybody is gone; membership.ts does, and needs evidence beside silence.
import { HEARTBEAT_MS, MAX_SUSPECT_MS, MIN_SUSPECT_MS } from '../limits.ts'

export class SilenceDetector {
  #lastHeardMs: number
  #gapMs = HEARTBEAT_MS
  #deviationMs = HEARTBEAT_MS / 4

  constructor(nowMs: number) {
    this.#lastHeardMs = nowMs
  }

  get lastHeardMs(): number {
    return this.#lastHeardMs
  }

  heard(nowMs: number): void {
    const gapMs = nowMs - this.#lastHeardMs
    this.#lastHeardMs = nowMs
    // Bursts of calls say nothing about the rhythm of heartbeats.
    if (gapMs < HEARTBEAT_MS / 2) return
    this.#deviationMs += (Math.abs(gapMs - this.#gapMs) - this.#deviationMs) / 4
    this.#gapMs += (gapMs - this.#gapMs) / 8
  }

  /** Our own clock stood still for `stallMs`: that silence is not the peer's. */
  discount(stallMs: number, nowMs: number): void {
    this.#lastHeardMs = Math.min(nowMs, this.#lastHeardMs + stallMs)
  }

  suspectAfterMs(): number {
    return Math.min(MAX_SUSPECT_MS, Math.max(MIN_SUSPECT_MS, this.#gapMs + 4 * this.#deviationMs))
  }

  silentMs(nowMs: number): number {
    return nowMs - this.#lastHeardMs
  }

  suspicious(nowMs: number): boolean {
    return this.silentMs(nowMs) > this.suspectAfterMs()
  }
}
