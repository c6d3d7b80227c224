// What the wires of the simulated network do now: its faults, as settings that can be changed at any time.
//
// Real links are reliable ordered streams (SCTP data channels, WebSockets). What a wire does to packets is therefore
// seen differently above, and simulated as it is seen:
// - latency, a slow link: each chunk takes longer; a slow link also carries few bytes per ms, one after the other.
// - loss: SCTP sends a lost packet again. The chunk comes late by a retransmission timeout, and what was sent after it
//   on the same stream waits for it (head-of-line blocking). Nothing is missing as long as the link stands. A small chunk
//   has nothing behind it that would tell of its loss sooner; of bulk data, one window in a burst waits that long once,
//   however it is cut into chunks.
// - duplication: SCTP drops duplicates, so no stream ever delivers bytes twice. What is done twice is done by senders
//   that repeat a request after a broken link. The raft scenario, which has no links, duplicates and loses messages.
// - reordering: never within a stream. The two streams of a link, different links, network events and the frames of the
//   witness overtake each other freely.
// - a partition, one- or two-way: nothing is refused and nobody is told. What is sent waits at its sender; after some
//   seconds the transport notices that it hears nothing; when it is over early enough, all that waited arrives.
// - a break: the link is gone at once and with it whatever was under way, in both directions. Notes (messages without an
//   answer) are lost by that, and calls fail.
import type { NodeId } from '../../base/ids.ts'
import type { SeededRandom } from './random.ts'

export interface Slowness {
  /** Times the usual latency. */
  factor: number
  /** What each stream carries. */
  bytesPerMs: number
}

/** A first retransmission timeout of SCTP and its doubling (RFC 9260, 6.3.1: at least 1 s; Chromium's is lower). */
const RETRANSMIT_MS: readonly [number, number] = [200, 1_000]

/** Below this a chunk is a message of its own; what one sender has under way at most. */
const SMALL_BYTES = 4 * 1024
const WINDOW_BYTES = 256 * 1024

/** Share of the losses that make a chunk of so many bytes late. */
function exposure(bytes: number): number {
  return bytes <= SMALL_BYTES ? 1 : Math.min(1, bytes / WINDOW_BYTES)
}

export class Conditions {
  readonly #random: SeededRandom
  readonly #latencyMs: readonly [number, number]
  readonly #silent = new Set<string>()
  readonly #slow = new Map<NodeId, Slowness>()
  /** Share of chunks that are lost on the wire and come late. */
  lossRate = 0

  constructor(random: SeededRandom, latencyMs: readonly [number, number]) {
    this.#random = random
    this.#latencyMs = latencyMs
  }

  /** One-way latency in ms of something small that goes no particular way. */
  latency(): number {
    const [least, most] = this.#latencyMs
    return least + this.#random.float() * (most - least)
  }

  /** How long a chunk is under way, in ms; `lineMs` of it, it keeps those behind it waiting. */
  delay(from: NodeId, to: NodeId, bytes: number): { wayMs: number; lineMs: number } {
    let wayMs = this.latency()
    if (this.lossRate > 0 && this.#random.float() < this.lossRate * exposure(bytes)) {
      const [least, most] = RETRANSMIT_MS
      wayMs += least + this.#random.float() * (most - least)
    }
    const slow = this.#slow.get(from) ?? this.#slow.get(to)
    if (!slow) return { wayMs, lineMs: 0 }
    return { wayMs: wayMs * slow.factor, lineMs: bytes / slow.bytesPerMs }
  }

  /** @param slowness undefined: its links are as fast as any again. */
  setSlow(node: NodeId, slowness: Slowness | undefined): void {
    if (slowness) this.#slow.set(node, slowness)
    else this.#slow.delete(node)
  }

  /** Nothing that `from` sends arrives at `to`. */
  silent(from: NodeId, to: NodeId): boolean {
    return this.#silent.has(`${from}>${to}`)
  }

  setSilent(from: NodeId, to: NodeId, silent: boolean): void {
    if (silent) this.#silent.add(`${from}>${to}`)
    else this.#silent.delete(`${from}>${to}`)
  }
}
