// Turns candidates (hints that a peer exists) into connections: few dials at a time, each failure backed off
// with jitter, the smaller id first so that two nodes do not dial each other at once.
import { errorLine, type OsError, toOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Network } from '../../ports/network.ts'
import type { Random } from '../../ports/random.ts'
import { DIAL_TIMEOUT_MS, MAX_CANDIDATES, MAX_DIALS, REDIAL_MAX_MS, REDIAL_MIN_MS } from '../limits.ts'
import { wantedNeighbours } from './neighbours.ts'

interface Candidate {
  failures: number
  notBeforeMs: number
  dialing: boolean
}

/** Dials that fail this often are forgotten until somebody mentions the peer again. */
const MAX_FAILURES = 6
/** The larger id waits this long for the smaller one's dial. */
const POLITENESS_MS = 2_500

export class Dialer {
  readonly #network: Network
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: LogSink
  readonly #isLinked: (peer: NodeId) => boolean
  readonly #candidates = new Map<NodeId, Candidate>()
  #dialing = 0
  #timer: Timer | undefined
  #closed = false

  constructor(options: {
    network: Network
    clock: Clock
    random: Random
    log: LogSink
    isLinked: (peer: NodeId) => boolean
  }) {
    this.#network = options.network
    this.#clock = options.clock
    this.#random = options.random
    this.#log = options.log
    this.#isLinked = options.isLinked
  }

  /** Somebody mentioned this peer. */
  suggest(peer: NodeId): void {
    if (peer === this.#network.self) return
    const known = this.#candidates.get(peer)
    if (known) {
      if (known.failures >= MAX_FAILURES) known.failures = MAX_FAILURES - 1
    } else {
      if (this.#candidates.size >= MAX_CANDIDATES) this.#forgetOne()
      const waitMs = this.#network.self < peer ? 0 : POLITENESS_MS
      this.#candidates.set(peer, {
        failures: 0,
        notBeforeMs: this.#clock.nowMs() + waitMs,
        dialing: false,
      })
    }
    this.#schedule()
  }

  /** A link that just broke: try at once, whoever we are. */
  retryNow(peer: NodeId): void {
    const dialing = this.#candidates.get(peer)?.dialing ?? false
    this.#candidates.set(peer, { failures: 0, notBeforeMs: this.#clock.nowMs(), dialing })
    this.#schedule()
  }

  /** One attempt for a service that needs this peer, neighbour or not. @throws {OsError} why it failed. */
  async dialNow(peer: NodeId): Promise<void> {
    const candidate = { failures: 0, notBeforeMs: this.#clock.nowMs(), dialing: false }
    this.#candidates.set(peer, candidate)
    const error = await this.#dial(peer, candidate)
    if (error) throw error
  }

  forget(peer: NodeId): void {
    this.#candidates.delete(peer)
  }

  /** The tab woke or came online: earlier failures say nothing about now. */
  wake(): void {
    for (const candidate of this.#candidates.values()) {
      candidate.failures = 0
      candidate.notBeforeMs = Math.min(candidate.notBeforeMs, this.#clock.nowMs() + 200)
    }
    this.#schedule()
  }

  known(): NodeId[] {
    return [...this.#candidates.keys()]
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #forgetOne(): void {
    for (const [peer, candidate] of this.#candidates) {
      if (candidate.dialing || this.#isLinked(peer)) continue
      this.#candidates.delete(peer)
      return
    }
  }

  /** Starts what may start now and sets one timer for the next: no polling. */
  #schedule(): void {
    this.#timer?.cancel()
    if (this.#closed) return
    const nowMs = this.#clock.nowMs()
    const wanted = wantedNeighbours(this.#network.self, this.known())
    let nextMs = Number.POSITIVE_INFINITY
    for (const [peer, candidate] of this.#candidates) {
      if (!wanted.has(peer) || candidate.dialing) continue
      if (candidate.failures >= MAX_FAILURES || this.#isLinked(peer)) continue
      if (candidate.notBeforeMs > nowMs) nextMs = Math.min(nextMs, candidate.notBeforeMs)
      else if (this.#dialing < MAX_DIALS) void this.#dial(peer, candidate)
      // else: a dial that ends calls #schedule again
    }
    if (nextMs < Number.POSITIVE_INFINITY) {
      this.#timer = this.#clock.setTimer(() => this.#schedule(), nextMs - nowMs, 'next dial')
    }
  }

  async #dial(peer: NodeId, candidate: Candidate): Promise<OsError | undefined> {
    candidate.dialing = true
    this.#dialing++
    const controller = new AbortController()
    const timer = this.#clock.setTimer(() => controller.abort(), DIAL_TIMEOUT_MS, 'dial')
    try {
      await this.#network.connect(peer, { signal: controller.signal })
      candidate.failures = 0
      // If the lanes do not come up, this is the earliest next attempt.
      candidate.notBeforeMs = this.#clock.nowMs() + REDIAL_MIN_MS * 5
      return undefined
    } catch (error) {
      candidate.failures++
      const backoffMs = Math.min(REDIAL_MAX_MS, REDIAL_MIN_MS * 2 ** (candidate.failures - 1))
      candidate.notBeforeMs = this.#clock.nowMs() + backoffMs * (0.5 + this.#random.float())
      this.#log.log('debug', 'membership', `cannot reach ${shortNode(peer)}: ${errorLine(error)}`, {
        failures: candidate.failures,
      })
      return toOsError(error, 'EHOSTUNREACH')
    } finally {
      timer.cancel()
      candidate.dialing = false
      this.#dialing--
      this.#schedule()
    }
  }
}
