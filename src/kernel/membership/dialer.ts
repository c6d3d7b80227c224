// Turns candidates (hints that a peer exists) into connections: few dials at a time, each failure backed off
// with jitter, the smaller id first so that two nodes do not dial each other at once.
import { errorLine, type OsError, toOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Network } from '../../ports/network.ts'
import type { Random } from '../../ports/random.ts'
import {
  DIAL_TIMEOUT_MS,
  HELLO_TIMEOUT_MS,
  MAX_CANDIDATES,
  MAX_DIALS,
  RECONNECT_GRACE_MS,
  REDIAL_MAX_MS,
  REDIAL_MIN_MS,
  REDIAL_URGENT_MS,
} from '../limits.ts'
import { wantedNeighbours } from './neighbours.ts'

interface Candidate {
  failures: number
  notBeforeMs: number
  /** Its link broke a moment ago: until then each next attempt comes soon. */
  urgentUntilMs: number
  /** Connected by the last dial, and not linked since. */
  connected: boolean
  /** The attempt under way. */
  dial: Promise<OsError | undefined> | undefined
}

/** A peer to which dials fail this often does not stand in the way of others that could be neighbours. */
const MANY_FAILURES = 6
/** After so many, a quarter of an hour, it is not dialled any more until somebody mentions it: a way that is broken for minutes comes back. */
const MAX_FAILURES = 20
/** Between two looks at all candidates that suggestions caused. */
const SCHEDULE_GAP_MS = 50
/** The larger id waits this long for the smaller one's dial. */
const POLITENESS_MS = 2_500

export class Dialer {
  readonly #network: Network
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: LogSink
  readonly #isLinked: (peer: NodeId) => boolean
  readonly #candidates = new Map<NodeId, Candidate>()
  /** Peers that `dialNow` is asked for and nobody suggested. */
  readonly #visits = new Map<NodeId, Candidate>()
  #dialing = 0
  #soon = false
  #scheduledMs = Number.NEGATIVE_INFINITY
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
        urgentUntilMs: 0,
        connected: false,
        dial: undefined,
      })
    }
    this.#scheduleSoon()
  }

  /** A link that just broke: try at once, whoever we are. */
  retryNow(peer: NodeId): void {
    const candidate = this.#candidates.get(peer) ?? this.#visits.get(peer) ?? newCandidate()
    candidate.failures = 0
    candidate.connected = false
    candidate.notBeforeMs = this.#clock.nowMs()
    candidate.urgentUntilMs = candidate.notBeforeMs + RECONNECT_GRACE_MS
    this.#candidates.set(peer, candidate)
    this.#schedule()
  }

  /**
   * One attempt for a service that needs this peer, neighbour or not; joins one that is under way.
   * @throws {OsError} why it failed.
   */
  async dialNow(peer: NodeId): Promise<void> {
    const candidate = this.#candidates.get(peer) ?? this.#visits.get(peer) ?? newCandidate()
    if (!this.#candidates.has(peer)) this.#visits.set(peer, candidate)
    const error = await (candidate.dial ?? this.#dial(peer, candidate))
    this.#visits.delete(peer)
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
      if (candidate.dial || this.#isLinked(peer)) continue
      this.#candidates.delete(peer)
      return
    }
  }

  /** Many suggestions, one schedule: it looks at all candidates, and peers can suggest as much as they like. */
  #scheduleSoon(): void {
    if (this.#soon) return
    this.#soon = true
    const waitMs = this.#scheduledMs + SCHEDULE_GAP_MS - this.#clock.nowMs()
    if (waitMs <= 0) queueMicrotask(() => this.#schedule())
    else this.#clock.setTimer(() => this.#schedule(), waitMs, 'look at candidates')
  }

  /** Starts what may start now and sets one timer for the next: no polling. */
  #schedule(): void {
    this.#timer?.cancel()
    this.#soon = false
    if (this.#closed) return
    const nowMs = this.#clock.nowMs()
    this.#scheduledMs = nowMs
    const known = this.known()
    const alive = known.filter((peer) => (this.#candidates.get(peer)?.failures ?? 0) < MANY_FAILURES)
    const wanted = wantedNeighbours(this.#network.self, alive)
    if (alive.length < known.length) for (const peer of wantedNeighbours(this.#network.self, known)) wanted.add(peer)
    let nextMs = Number.POSITIVE_INFINITY
    for (const [peer, candidate] of this.#candidates) {
      if (!wanted.has(peer) || candidate.dial) continue
      if (candidate.failures >= MAX_FAILURES || this.#isLinked(peer)) continue
      if (candidate.notBeforeMs > nowMs) nextMs = Math.min(nextMs, candidate.notBeforeMs)
      else if (this.#dialing < MAX_DIALS) void this.#dial(peer, candidate)
      // else: a dial that ends calls #schedule again
    }
    if (nextMs < Number.POSITIVE_INFINITY) {
      this.#timer = this.#clock.setTimer(() => this.#schedule(), nextMs - nowMs, 'next dial')
    }
  }

  #dial(peer: NodeId, candidate: Candidate): Promise<OsError | undefined> {
    candidate.dial = this.#attempt(peer, candidate)
    return candidate.dial
  }

  async #attempt(peer: NodeId, candidate: Candidate): Promise<OsError | undefined> {
    this.#dialing++
    const controller = new AbortController()
    const timer = this.#clock.setTimer(() => controller.abort(), DIAL_TIMEOUT_MS, 'dial')
    try {
      // A connection on which no link came up, in all the time that it may take, is replaced by a new one.
      if (candidate.connected) this.#network.disconnect(peer)
      candidate.connected = false
      await this.#network.connect(peer, { signal: controller.signal })
      candidate.failures = 0
      candidate.connected = true
      candidate.notBeforeMs = this.#clock.nowMs() + HELLO_TIMEOUT_MS
      return undefined
    } catch (error) {
      const nowMs = this.#clock.nowMs()
      const urgent = nowMs < candidate.urgentUntilMs
      if (!urgent) candidate.failures++
      const backoffMs = urgent ? REDIAL_URGENT_MS : REDIAL_MIN_MS * 2 ** (candidate.failures - 1)
      candidate.notBeforeMs = nowMs + Math.min(REDIAL_MAX_MS, backoffMs) * (0.5 + this.#random.float())
      this.#log.log('debug', 'membership', `cannot reach ${shortNode(peer)}: ${errorLine(error)}`, {
        failures: candidate.failures,
      })
      return toOsError(error, 'EHOSTUNREACH')
    } finally {
      timer.cancel()
      candidate.dial = undefined
      this.#dialing--
      this.#schedule()
    }
  }
}

function newCandidate(): Candidate {
  return { failures: 0, notBeforeMs: 0, urgentUntilMs: 0, connected: false, dial: undefined }
}
