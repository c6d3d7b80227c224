// One link between two simulated nodes and the streams on it: reliable, ordered, broken as a whole. Above: hub.ts, which
// makes links. Below: conditions.ts, which says how long a chunk takes.
//
// A link is open; then closed (nothing more is sent; what was sent arrives, then both ends hear of it) or broken (what was
// under way is lost). While a direction is silent, what is sent there waits; a link that is silent for long breaks. What
// a slow line has not carried yet goes at the new speed when that changes.
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { ByteStream, NetworkEvent, StreamKind } from '../../ports/network.ts'
import type { Conditions } from './conditions.ts'

/** When Chromium's ICE gives a peer up that says nothing any more. */
const ICE_LOST_MS = 5_050
/** When a connection that hears nothing is closed: browsers differ, between 15 and 30 s. */
const ICE_FAILED_MS = 20_000
/** A closed link waits no longer than this for what was sent (adapters/libp2p/limits.ts: CLOSE_MS). */
const CLOSE_MS = 10_000
/** Keeps arrivals of one stream apart, so that rounding cannot reorder them. */
export const ORDER_MS = 0.001

/** What a link knows of the node at one of its ends. */
export interface LinkEnd {
  readonly self: NodeId
  /** Whatever reaches the node waits while its tab stands still. */
  pass(action: () => void): void
  deliver(event: NetworkEvent): void
  receive(peer: NodeId, kind: StreamKind, stream: ByteStream): void
}

/** What a link needs of what is between the nodes. */
export interface LinkHost {
  readonly clock: Clock
  readonly conditions: Conditions
  /** Where to cut a chunk; its length for not at all. */
  cutAt(length: number): number
  /** Something is sent over a link. */
  sent(bytes: number): void
  /** There is room for a new link. */
  closed(link: Link): void
  /** There is an open link between the two. */
  linked(a: NodeId, b: NodeId): boolean
}

/** A closed link that still carries what was sent. */
interface Closing {
  readonly timer: Timer
  readonly reason: string
  readonly soonestMs: number
  readonly latestMs: number
}

export class Link {
  readonly #host: LinkHost
  readonly ends: readonly [LinkEnd, LinkEnd]
  readonly #streams: (readonly [End, End])[] = []
  /** Nothing arrives any more. */
  over = false
  /** Nothing more is sent. */
  closed = false
  #closing: Closing | undefined
  /** The end that does not know yet that the link is over. */
  #untold: LinkEnd | undefined
  /** Counts the times that a direction fell silent, by who hears nothing. */
  readonly #silences = new Map<NodeId, number>()

  constructor(host: LinkHost, a: LinkEnd, b: LinkEnd) {
    this.#host = host
    this.ends = [a, b]
  }

  /** It is over, and one end has not heard that yet. */
  get fading(): boolean {
    return this.#untold !== undefined
  }

  #other(end: LinkEnd): LinkEnd {
    const [a, b] = this.ends
    return end === a ? b : a
  }

  open(from: NodeId, kind: StreamKind): ByteStream {
    const [a, b] = this.ends
    const [near, far] = a.self === from ? [a, b] : [b, a]
    const stream = new End(this.#host, this, near)
    const other = new End(this.#host, this, far)
    stream.peer = other
    other.peer = stream
    this.#streams.push([stream, other])
    stream.first(() => far.receive(from, kind, other))
    return stream
  }

  /** One end is dead; the network stack of the other stops hearing it after a while, as ICE consent does. */
  silence(): void {
    this.over = true
    for (const end of this.ends) {
      const lost = () => {
        // A tab that came back has a link of its own, which is heard.
        if (!this.#host.linked(end.self, this.#other(end).self)) this.#unheard(end)
      }
      this.#host.clock.setTimer(lost, ICE_LOST_MS, 'ice')
    }
  }

  #unheard(end: LinkEnd): void {
    end.deliver({ type: 'reachable', peer: this.#other(end).self, reachable: false })
  }

  /** From now on nothing of what the other end sends arrives at `id`. */
  fellSilent(id: NodeId): void {
    const end = this.#endOf(id)
    const count = (this.#silences.get(id) ?? 0) + 1
    this.#silences.set(id, count)
    const still = () => !this.over && !this.closed && this.#silences.get(id) === count
    this.#host.clock.setTimer(() => still() && this.#unheard(end), ICE_LOST_MS, 'ice')
    this.#host.clock.setTimer(() => still() && this.breaks('nothing was heard for too long'), ICE_FAILED_MS, 'ice')
  }

  /** What the other end has sent meanwhile arrives at `id` now. */
  heardAgain(id: NodeId): void {
    const end = this.#endOf(id)
    this.#silences.set(id, (this.#silences.get(id) ?? 0) + 1)
    if (this.over) return
    end.deliver({ type: 'reachable', peer: this.#other(end).self, reachable: true })
    for (const stream of this.#streams.flat()) if (stream.owner !== end) stream.release()
  }

  /** What the line has not carried yet goes on as the conditions are now. */
  speedChanged(): void {
    if (this.over) return
    for (const stream of this.#streams.flat()) stream.speedChanged()
    if (this.#closing) this.#endsLater(this.#closing)
  }

  #endOf(id: NodeId): LinkEnd {
    const [a, b] = this.ends
    return a.self === id ? a : b
  }

  /** What was sent arrives, then both ends hear that the link closed. */
  close(reason: string, by?: NodeId): void {
    if (this.over || this.closed) return
    this.closed = true
    const [a, b] = this.ends
    const { clock, conditions } = this.#host
    if (conditions.silent(a.self, b.self) || conditions.silent(b.self, a.self)) return this.#closeInSilence(reason, by)
    const nowMs = clock.nowMs()
    this.#endsLater({ reason, soonestMs: nowMs + conditions.latency(), latestMs: nowMs + CLOSE_MS })
  }

  #endsLater(closing: Omit<Closing, 'timer'>): void {
    const { reason, soonestMs, latestMs } = closing
    const { clock } = this.#host
    this.#closing?.timer.cancel()
    const lastMs = Math.max(soonestMs, ...this.#streams.flat().map((end) => end.lastArrivalMs))
    const inMs = Math.max(0, Math.min(latestMs, lastMs + ORDER_MS) - clock.nowMs())
    this.#closing = { ...closing, timer: clock.setTimer(() => this.#end(reason), inMs, 'link closes') }
  }

  /** Whoever closes it knows; the other hears nothing of it until its own transport gives up. */
  #closeInSilence(reason: string, by: NodeId | undefined): void {
    this.over = true
    this.#untold = this.ends.find((end) => by !== undefined && end.self !== by)
    this.#host.closed(this)
    for (const end of this.ends) if (end !== this.#untold) this.#tell(end, reason)
    this.#host.clock.setTimer(() => this.tellAll(), ICE_FAILED_MS, 'ice')
  }

  /** An end that has not heard yet that this link is over, hears it now. */
  tellAll(): void {
    const end = this.#untold
    this.#untold = undefined
    if (end) this.#tell(end, 'the other side closed it')
  }

  #tell(end: LinkEnd, reason: string): void {
    for (const stream of this.#streams.flat()) if (stream.owner === end) stream.linkClosed()
    end.deliver({ type: 'disconnected', peer: this.#other(end).self, reason })
  }

  /** The link is gone at once, with everything that was under way; both ends are told. */
  breaks(reason: string): void {
    if (this.over) return
    this.closed = true
    this.#end(reason)
  }

  #end(reason: string): void {
    if (this.over) return // crashed meanwhile
    this.over = true
    this.#host.closed(this)
    for (const end of this.ends) this.#tell(end, reason)
  }
}

/** What a line has not carried yet. */
interface Queued {
  readonly action: () => void
  readonly bytes: number
  /** When the line has carried it, and how long it is on the line. */
  readonly carriedMs: number
  readonly lineMs: number
  /** When what was sent before it arrives. */
  readonly beforeMs: number
  readonly timers: readonly Timer[]
}

/** One end of a stream. */
class End implements ByteStream {
  peer!: End
  readonly owner: LinkEnd
  readonly #host: LinkHost
  readonly #link: Link
  #onData: ((chunk: Uint8Array) => void) | undefined
  #onClose: ((error: Error | undefined) => void) | undefined
  #early: Uint8Array[] = []
  /** What was sent while its direction was silent, in order. */
  #held: (() => void)[] = []
  /** What waits for a slow line or is on it, in order. */
  #line: Queued[] = []
  lastArrivalMs = 0
  #closed = false
  /** The end that this side is told of when everything has arrived. */
  #ending: { timer: Timer; error: Error | undefined } | undefined
  #over = false
  /** What the wire has not taken yet. */
  bufferedBytes = 0
  #waiters: { below: number; resolve: () => void }[] = []

  constructor(host: LinkHost, link: Link, owner: LinkEnd) {
    this.#host = host
    this.#link = link
    this.owner = owner
  }

  /** What the other node hears first of this stream. */
  first(action: () => void): void {
    this.#later(action, 0)
  }

  send(...parts: readonly Uint8Array[]): void {
    const bytes = concat(parts)
    if (this.#closed) throw new OsError('EPIPE', 'the stream is closed')
    if (this.#link.closed) return
    this.#host.sent(bytes.byteLength)
    for (let at = 0; at < bytes.byteLength; ) {
      const length = this.#host.cutAt(bytes.byteLength - at)
      const chunk = bytes.slice(at, at + length)
      at += length
      this.#later(() => this.peer.#take(chunk), length)
    }
  }

  /** In order: nothing overtakes what was sent before on the same stream. */
  #later(action: () => void, bytes: number): void {
    const { clock, conditions } = this.#host
    const to = this.peer.owner
    if (this.#held.length > 0 || conditions.silent(this.owner.self, to.self)) {
      this.bufferedBytes += bytes
      this.#held.push(() => {
        this.#taken(bytes)
        this.#later(action, bytes)
      })
      return
    }
    const nowMs = clock.nowMs()
    const beforeMs = this.lastArrivalMs
    const { wayMs, lineMs } = conditions.delay(this.owner.self, to.self, bytes)
    this.lastArrivalMs = Math.max(beforeMs + ORDER_MS, nowMs + wayMs) + lineMs
    const arrival = clock.setTimer(() => !this.#link.over && to.pass(action), this.lastArrivalMs - nowMs, 'delivery')
    if (lineMs === 0 && this.#line.length === 0) return
    this.bufferedBytes += bytes
    const carriedMs = Math.max(this.#line.at(-1)?.carriedMs ?? nowMs, this.lastArrivalMs - wayMs)
    const carried = clock.setTimer(() => this.#carried(bytes), carriedMs - nowMs, 'line')
    this.#line.push({ action, bytes, carriedMs, lineMs, beforeMs, timers: [arrival, carried] })
  }

  #carried(bytes: number): void {
    this.#line.shift()
    this.#taken(bytes)
  }

  /** What is still queued goes on its way anew, at today's speed; what is on its way arrives as it would have. */
  speedChanged(): void {
    const queued = this.#line.splice(0)
    const [first] = queued
    if (!first) return
    const held = this.#held.splice(0) // sent after what is on the line
    const nowMs = this.#host.clock.nowMs()
    this.lastArrivalMs = first.beforeMs
    for (const { action, bytes, carriedMs, lineMs, timers } of queued) {
      for (const timer of timers) timer.cancel()
      const left = lineMs === 0 ? 1 : Math.min(1, (carriedMs - nowMs) / lineMs)
      this.bufferedBytes -= bytes
      this.#later(action, Math.ceil(bytes * left))
    }
    this.#held.push(...held)
    if (this.#ending) this.#endsLater(this.#ending.error)
    this.#settle()
  }

  #taken(bytes: number): void {
    this.bufferedBytes -= bytes
    this.#settle()
  }

  /** Those who wait for room go on: there is some, or there never will be. */
  #settle(): void {
    const due = this.#waiters.filter(({ below }) => this.#over || this.bufferedBytes <= below)
    this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter))
    for (const { resolve } of due) this.owner.pass(resolve)
  }

  /** What waited goes on its way. */
  release(): void {
    for (const send of this.#held.splice(0)) send()
  }

  drained(belowBytes: number): Promise<void> {
    if (this.#over || this.bufferedBytes <= belowBytes) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.push({ below: belowBytes, resolve }))
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    this.#onData = listener
    for (const chunk of this.#early.splice(0)) listener(chunk)
  }

  onClose(listener: (error: Error | undefined) => void): void {
    this.#onClose = listener
  }

  close(): void {
    this.#finish(undefined)
  }

  abort(reason: string): void {
    this.#finish(new OsError('ECONNRESET', `the stream was aborted: ${reason}`))
  }

  /** Both sides hear of it: the other when everything before has arrived, this one as soon. */
  #finish(error: Error | undefined): void {
    if (this.#closed) return
    this.#later(() => this.peer.ended(error), 0)
    this.#endsLater(error)
    this.#closed = true
  }

  #endsLater(error: Error | undefined): void {
    this.#ending?.timer.cancel()
    const inMs = Math.max(0, this.lastArrivalMs - this.#host.clock.nowMs())
    this.#ending = { timer: this.#host.clock.setTimer(() => this.ended(error), inMs, 'delivery'), error }
  }

  linkClosed(): void {
    this.ended(new OsError('ECONNRESET', 'the link closed'))
  }

  /** The owner hears of the end once, whichever comes first: its own close, the other's, or the link's. */
  ended(error: Error | undefined): void {
    this.#closed = true
    if (this.#over) return
    this.#over = true
    this.#ending?.timer.cancel()
    this.owner.pass(() => this.#onClose?.(error))
    this.#settle()
  }

  #take(chunk: Uint8Array): void {
    if (this.#closed) return
    if (this.#onData) this.#onData(chunk)
    else this.#early.push(chunk)
  }
}
