// When is silence suspicious? A peer that promised heartbeats is judged by the rhythm in which it was heard: adaptive
// as TCP's retransmission timer is (Jacobson and Karels 1988; RFC 6298), smoothed gap plus four deviations, bounded.
// Any other peer is silent only when it was asked and does not answer.
// It does not decide that anybody is gone; membership.ts does, and needs evidence beside silence.
import { ANSWER_MS, HEARTBEAT_MS, MAX_SUSPECT_MS, MIN_SUSPECT_MS, OWN_STALL_MS } from '../limits.ts'

export class SilenceDetector {
  #lastHeardMs: number
  #gapMs = HEARTBEAT_MS
  #deviationMs = HEARTBEAT_MS / 4
  #promised = false
  /** When the first question was asked that is still without an answer. */
  #askedMs: number | undefined

  constructor(nowMs: number) {
    this.#lastHeardMs = nowMs
  }

  /** The peer sends us a heartbeat every HEARTBEAT_MS; others are heard when they have something to say. */
  get promised(): boolean {
    return this.#promised
  }

  promise(promised: boolean): void {
    this.#promised = promised
  }

  heard(nowMs: number): void {
    const gapMs = nowMs - this.#lastHeardMs
    this.#lastHeardMs = nowMs
    this.#askedMs = undefined
    // Bursts of calls say nothing about the rhythm of heartbeats.
    if (!this.#promised || gapMs < HEARTBEAT_MS / 2) return
    this.#deviationMs += (Math.abs(gapMs - this.#gapMs) - this.#deviationMs) / 4
    this.#gapMs += (gapMs - this.#gapMs) / 8
  }

  /** It was asked something, and has said nothing since. */
  get owesAnswer(): boolean {
    return this.#askedMs !== undefined
  }

  /** A message was sent that any live peer answers at once. */
  asked(nowMs: number): void {
    this.#askedMs ??= nowMs
  }

  /** Our own clock stood still for `stallMs`: that silence is not the peer's. */
  discount(stallMs: number, nowMs: number): void {
    this.#lastHeardMs = Math.min(nowMs, this.#lastHeardMs + stallMs)
    if (this.#askedMs !== undefined) this.#askedMs = Math.min(nowMs, this.#askedMs + stallMs)
  }

  suspectAfterMs(): number {
    return Math.min(MAX_SUSPECT_MS, Math.max(MIN_SUSPECT_MS, this.#gapMs + 4 * this.#deviationMs))
  }

  silentMs(nowMs: number): number {
    return nowMs - this.#lastHeardMs
  }

  /** Broke its rhythm, or owes an answer for as long: it is at least busy. */
  suspicious(nowMs: number): boolean {
    if (this.#promised && this.silentMs(nowMs) > this.suspectAfterMs()) return true
    return this.#askedMs !== undefined && nowMs - this.#askedMs > MIN_SUSPECT_MS
  }

  /** How long until a heartbeat is late that it promised; negative: since when one is; infinite: it promised none. */
  lateInMs(nowMs: number): number {
    return this.#promised ? HEARTBEAT_MS + OWN_STALL_MS - this.silentMs(nowMs) : Number.POSITIVE_INFINITY
  }

  /** How long until it is suspicious, by its rhythm; 0: it is. */
  suspiciousInMs(nowMs: number): number {
    if (this.suspicious(nowMs)) return 0
    return this.#promised ? this.suspectAfterMs() - this.silentMs(nowMs) + 1 : Number.POSITIVE_INFINITY
  }

  /** How long until its silence counts against it, for somebody who has other evidence; 0: it does. */
  countsInMs(nowMs: number): number {
    const answer = this.#askedMs === undefined ? Number.POSITIVE_INFINITY : this.#askedMs + ANSWER_MS - nowMs + 1
    return Math.max(0, Math.min(this.suspiciousInMs(nowMs), answer))
  }
}
