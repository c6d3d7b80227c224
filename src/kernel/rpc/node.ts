// All sessions of this kernel: opens the two lanes to each connected peer, pairs them, dispatches calls to the
// handlers that services registered. Above: every service. Below: session.ts, lane.ts, the network port.
//
// Who opens: of two connected nodes, the one with the smaller id opens both lanes; the other accepts.
import * as v from 'valibot'
import { assert } from '../../base/assert.ts'
import { errorLine, isOsError, OsError, toOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { ByteStream, Network, StreamKind } from '../../ports/network.ts'
import { HELLO_TIMEOUT_MS, RECONNECT_GRACE_MS } from '../limits.ts'
import { FRAME, type Frame, type Hello, NO_ANSWER, type Pulse } from './frames.ts'
import { Lane } from './lane.ts'
import { type MethodArgs, type MethodName, type MethodResult, type NoteBody, type NoteName, notes } from './methods.ts'
import { type CallOptions, type ServeContext, Session } from './session.ts'

type Handler<M extends MethodName> = (args: MethodArgs<M>, context: ServeContext) => Promise<MethodResult<M>>

/** What membership wants to know about links; set once. */
export interface LinkEvents {
  onUp(peer: NodeId, hello: Hello): void
  /** `said`: the peer's own words when it said goodbye. */
  onDown(peer: NodeId, reason: string, said: string | undefined): void
  /** Any valid frame. */
  onHeard(peer: NodeId): void
  onPing(peer: NodeId, pulse: Pulse): void
  onPong(peer: NodeId, n: number): void
  /** The peer broke the protocol. */
  onHostile(peer: NodeId, reason: string): void
}

/** Lanes of a peer that are not both open yet. */
interface Pairing {
  sinceMs: number
  control?: Lane
  bulk?: Lane
  hello?: Hello
  open: Set<StreamKind>
  /** Frames that came on one lane before the other had its hello: the peer saw both open first. */
  early: [Lane, Frame, encodedBytes: number][]
  earlyBytes: number
  /** Ends a pairing that never gets its second lane. */
  timer: Timer
}

/** More than a peer can rightly send before it has seen our second hello. */
const MAX_EARLY_FRAMES = 256
const MAX_EARLY_BYTES = 8 * 1024 * 1024
/** Lanes that a peer may close before they lead anywhere; it would have us open new ones for ever. */
const MAX_REFUSALS = 3
/** Until lanes are opened again on the same connection; then twice that. */
const REOPEN_MS = 150

interface RpcNodeOptions {
  network: Network
  clock: Clock
  log: LogSink
  hello: () => Hello
  /** A peer speaks another version of the protocol, and is dropped for it. */
  onOtherVersion?: (theirs: number) => void
}

export class RpcNode {
  readonly self: NodeId
  readonly #network: Network
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #hello: () => Hello
  readonly #otherVersion: (theirs: number) => void
  readonly #handlers = new Map<MethodName, (args: never, context: ServeContext) => Promise<unknown>>()
  readonly #noteHandlers = new Map<NoteName, (peer: NodeId, body: never) => void>()
  readonly #sessions = new Map<NodeId, Session>()
  /** When each session came up. */
  readonly #since = new Map<NodeId, number>()
  readonly #pairings = new Map<NodeId, Pairing>()
  /** Connected peers to whom lanes are to be opened, by them or by us: what ends the wait. */
  readonly #awaited = new Map<NodeId, Timer>()
  /** Attempts to open lanes that are under way. */
  readonly #opening = new Map<NodeId, AbortController>()
  readonly #goodbyes = new Map<NodeId, string>()
  /** Times in a row that a peer ended its lanes before, or soon after, they led to a session. */
  readonly #refusals = new Map<NodeId, number>()
  #links: LinkEvents | undefined
  #closed = false

  constructor(options: RpcNodeOptions) {
    this.#otherVersion = options.onOtherVersion ?? (() => undefined)
    this.#network = options.network
    this.self = options.network.self
    this.#clock = options.clock
    this.#log = options.log
    this.#hello = options.hello
    this.#network.onStream((peer, kind, stream) => this.#adopt(peer, kind, stream))
    this.#network.on((event) => {
      if (event.type === 'connected' && event.direct) this.#connected(event.peer)
      if (event.type !== 'disconnected') return
      this.#refusals.delete(event.peer)
      this.#arrived(event.peer)
      this.#drop(event.peer, event.reason)
    })
  }

  setLinkEvents(events: LinkEvents): void {
    assert(!this.#links, 'link events are set once')
    this.#links = events
  }

  handle<M extends MethodName>(method: M, handler: Handler<M>): void {
    assert(!this.#handlers.has(method), `${method} has a handler already`)
    this.#handlers.set(method, handler as never)
  }

  onNote<N extends NoteName>(name: N, handler: (peer: NodeId, body: NoteBody<N>) => void): void {
    assert(!this.#noteHandlers.has(name), `${name} has a handler already`)
    this.#noteHandlers.set(name, handler as never)
  }

  /** Calls a peer, or this kernel itself, with the same meaning. @throws {OsError} EHOSTUNREACH without a link. */
  call<M extends MethodName>(
    peer: NodeId,
    method: M,
    args: MethodArgs<M>,
    options: CallOptions = {},
  ): Promise<MethodResult<M>> {
    if (peer === this.self) return this.#callSelf(method, args, options)
    const session = this.#sessions.get(peer)
    if (!session) return Promise.reject(new OsError('EHOSTUNREACH', `there is no link to node ${shortNode(peer)}`))
    return session.call(method, args, options)
  }

  /** One-way, best effort; unknown peers are skipped. */
  note<N extends NoteName>(peer: NodeId, name: N, body: NoteBody<N>): void {
    this.#sessions.get(peer)?.note(name, body)
  }

  /** What notes and small calls to that peer have to wait for. */
  queuedBytes(peer: NodeId): number {
    return this.#sessions.get(peer)?.queuedBytes ?? 0
  }

  noteAll<N extends NoteName>(name: N, body: NoteBody<N>): void {
    for (const session of this.#sessions.values()) session.note(name, body)
  }

  /** @param n of the pong that is wanted; NO_ANSWER for none. */
  ping(peer: NodeId, n: number, pulse: Pulse): void {
    this.#sessions.get(peer)?.sendControl([FRAME.PING, n, pulse])
  }

  linked(peer: NodeId): boolean {
    return this.#sessions.has(peer)
  }

  linkedPeers(): NodeId[] {
    return [...this.#sessions.keys()]
  }

  /** Ends the link, e.g. because the peer was declared gone. */
  drop(peer: NodeId, reason: string): void {
    this.#drop(peer, reason)
    this.#network.disconnect(peer)
  }

  /** Says goodbye to everybody and closes. Idempotent. */
  close(reason: string): void {
    if (this.#closed) return
    for (const session of this.#sessions.values()) session.goodbye(reason)
    // Where we wait for the other's hello, it may have ours and count us as a member already.
    for (const { control, bulk } of this.#pairings.values()) {
      for (const lane of [control, bulk]) lane?.goodbye(reason)
    }
    this.#closed = true
    for (const controller of this.#opening.values()) controller.abort()
    for (const timer of this.#awaited.values()) timer.cancel()
    for (const peer of [...this.#sessions.keys(), ...this.#pairings.keys()]) this.#drop(peer, reason)
  }

  /** Of two nodes the one with the smaller id opens the lanes; the other does not wait for them for ever. */
  #connected(peer: NodeId): void {
    if (this.self < peer) {
      this.#arrived(peer)
      return void this.#open(peer)
    }
    if (this.#closed || this.#sessions.has(peer) || this.#pairings.has(peer) || this.#awaited.has(peer)) return
    const giveUp = () => {
      this.#awaited.delete(peer)
      this.#log.log('warn', 'rpc', `dropped ${shortNode(peer)}: it is connected and opens no lane`)
      this.#links?.onHostile(peer, 'opened no lane')
      this.#network.disconnect(peer)
    }
    this.#awaited.set(peer, this.#clock.setTimer(giveUp, 2 * HELLO_TIMEOUT_MS, 'await lanes'))
  }

  #arrived(peer: NodeId): void {
    this.#awaited.get(peer)?.cancel()
    this.#awaited.delete(peer)
  }

  async #open(peer: NodeId): Promise<void> {
    if (this.#closed) return
    // A new connection: a session, or whatever was being opened, belongs to one that is gone.
    this.#opening.get(peer)?.abort()
    this.#drop(peer, 'replaced by a new connection')
    const controller = new AbortController()
    const { signal } = controller
    this.#opening.set(peer, controller)
    const timer = this.#clock.setTimer(() => controller.abort(), HELLO_TIMEOUT_MS, 'open lanes')
    try {
      for (const kind of ['control', 'bulk'] as const) {
        const stream = await this.#network.open(peer, kind, { signal })
        if (signal.aborted) return stream.abort('replaced by a new connection')
        this.#adopt(peer, kind, stream)
      }
    } catch (error) {
      if (this.#opening.get(peer) !== controller) return
      const level = isOsError(error, 'EHOSTUNREACH') ? 'debug' : 'warn' // it is simply gone
      this.#log.log(level, 'rpc', `cannot open a lane to ${shortNode(peer)}: ${errorLine(error)}`)
      this.#drop(peer, 'lanes could not be opened')
      this.#network.disconnect(peer)
    } finally {
      timer.cancel()
      if (this.#opening.get(peer) === controller) this.#opening.delete(peer)
    }
  }

  #adopt(peer: NodeId, kind: StreamKind, stream: ByteStream): void {
    if (this.#closed) return stream.abort('closing')
    this.#arrived(peer)
    // A second lane of a kind means that the peer has begun anew (a reload we have not noticed yet).
    if (this.#sessions.has(peer) || this.#pairings.get(peer)?.[kind]) {
      const tooMany = this.#refused(peer)
      if (tooMany) this.#tooMany(peer, 'it began anew again and again')
      this.#drop(peer, 'replaced by a new link')
      if (tooMany) {
        stream.abort('too many links')
        return this.#network.disconnect(peer)
      }
    }
    const pairing = this.#pairings.get(peer) ?? this.#newPairing(peer)
    const lane: Lane = new Lane({
      peer,
      kind,
      stream,
      hello: this.#hello(),
      clock: this.#clock,
      events: {
        onOpen: (hello) => this.#laneOpen(peer, pairing, kind, hello),
        onOtherVersion: this.#otherVersion,
        onFrame: (frame, encodedBytes) => this.#frame(peer, lane, frame, encodedBytes),
        onClose: (reason, hostile) => this.#laneClosed(peer, lane, reason, hostile),
      },
    })
    pairing[kind] = lane
    lane.start()
  }

  /** Each lane watches for its own hello; this watches for a second lane. */
  #newPairing(peer: NodeId): Pairing {
    const giveUp = () => {
      const lane = pairing.control ?? pairing.bulk
      if (this.#pairings.get(peer) === pairing && lane) this.#laneClosed(peer, lane, 'opened one lane only', true)
    }
    const timer = this.#clock.setTimer(giveUp, 2 * HELLO_TIMEOUT_MS, 'pair lanes')
    const pairing: Pairing = { sinceMs: this.#clock.nowMs(), open: new Set(), early: [], earlyBytes: 0, timer }
    this.#pairings.set(peer, pairing)
    return pairing
  }

  #laneOpen(peer: NodeId, pairing: Pairing, kind: StreamKind, hello: Hello): void {
    pairing.open.add(kind)
    pairing.hello ??= hello
    const { control, bulk } = pairing
    if (!control || !bulk || pairing.open.size < 2 || this.#pairings.get(peer) !== pairing) return
    this.#pairings.delete(peer)
    pairing.timer.cancel()
    this.#goodbyes.delete(peer)
    this.#since.set(peer, this.#clock.nowMs())
    const serve = (method: MethodName, args: unknown, context: ServeContext) => this.#serve(method, args, context)
    this.#sessions.set(peer, new Session({ peer, hello: pairing.hello, control, bulk, clock: this.#clock, serve }))
    const { wallMs: _old, ...rest } = pairing.hello
    // This tab stood still meanwhile: nobody knows when that was said.
    this.#links?.onUp(peer, this.#clock.nowMs() - pairing.sinceMs > HELLO_TIMEOUT_MS ? rest : pairing.hello)
    for (const [lane, frame, bytes] of pairing.early) this.#frame(peer, lane, frame, bytes)
  }

  #frame(peer: NodeId, lane: Lane, frame: Frame, encodedBytes: number): void {
    const session = this.#sessions.get(peer)
    if (!session) {
      const pairing = this.#pairings.get(peer)
      if (!pairing) return
      pairing.earlyBytes += encodedBytes
      if (pairing.early.push([lane, frame, encodedBytes]) > MAX_EARLY_FRAMES || pairing.earlyBytes > MAX_EARLY_BYTES) {
        throw new OsError('EPROTO', 'too much before hello')
      }
      return
    }
    this.#links?.onHeard(peer)
    if (frame[0] === FRAME.PING) {
      if (frame[1] !== NO_ANSWER) session.sendControl([FRAME.PONG, frame[1]])
      this.#links?.onPing(peer, frame[2])
    } else if (frame[0] === FRAME.PONG) this.#links?.onPong(peer, frame[1])
    else if (frame[0] === FRAME.BYE) {
      this.#goodbyes.set(peer, frame[1])
      this.#drop(peer, 'said goodbye')
    } else if (frame[0] === FRAME.NOTE) this.#note(peer, frame[1], frame[2])
    else session.accept(lane, frame, encodedBytes)
  }

  #note(peer: NodeId, name: string, body: unknown): void {
    if (!Object.hasOwn(notes, name)) return // from a newer version
    const parsed = v.safeParse(notes[name as NoteName], body)
    if (!parsed.success) throw new OsError('EPROTO', `a malformed note ${name}`)
    this.#noteHandlers.get(name as NoteName)?.(peer, parsed.output as never)
  }

  async #serve(method: MethodName, args: unknown, context: ServeContext): Promise<unknown> {
    const handler = this.#handlers.get(method)
    if (!handler) throw new OsError('ENOSYS', `${method} is not offered here`)
    return handler(args as never, context)
  }

  async #callSelf<M extends MethodName>(
    method: M,
    args: MethodArgs<M>,
    options: CallOptions,
  ): Promise<MethodResult<M>> {
    const { onItem } = options
    const signal = options.signal ?? new AbortController().signal
    let tail: Promise<void> = Promise.resolve()
    const item = (value: unknown) => {
      const taken = tail.then(async () => {
        signal.throwIfAborted()
        await onItem?.(value)
      })
      tail = taken.catch(() => undefined) // whoever gave the item gets its error
      return taken
    }
    try {
      return (await this.#serve(method, args, { peer: this.self, signal, item })) as MethodResult<M>
    } catch (error) {
      throw toOsError(error)
    }
  }

  #laneClosed(peer: NodeId, lane: Lane, reason: string, hostile: boolean): void {
    const pairing = this.#pairings.get(peer)
    const current = this.#sessions.get(peer)?.uses(lane) || pairing?.control === lane || pairing?.bulk === lane
    if (!current) return // of a link that was dropped or replaced before
    if (hostile) {
      this.#log.log('warn', 'rpc', `dropped ${shortNode(peer)} on its ${lane.kind} lane: ${reason}`)
      this.#links?.onHostile(peer, reason)
    }
    const said = this.#goodbyes.has(peer)
    const tooMany = !hostile && !said && this.#refused(peer)
    if (tooMany) this.#tooMany(peer, reason) // before it counts as a link that broke, and is dialled again
    this.#drop(peer, reason)
    if (hostile || tooMany) this.#network.disconnect(peer)
    // The connection may still be there: without new lanes it would be of no use and in the way of a new one.
    else if (!said) this.#again(peer)
  }

  /**
   * Lanes that are opened at once would meet those before them at the other end, where these are not known to be closed
   * yet; two nodes that take each other's for a pair end them in turn, until each believes that the other does it for ever.
   */
  #again(peer: NodeId): void {
    if (this.#closed || peer < this.self) return this.#connected(peer)
    this.#arrived(peer)
    const open = () => {
      this.#awaited.delete(peer)
      void this.#open(peer)
    }
    const pauseMs = REOPEN_MS * 2 ** (this.#refusals.get(peer) ?? 0)
    this.#awaited.set(peer, this.#clock.setTimer(open, pauseMs, 'open lanes again'))
  }

  /** @returns whether it has ended its lanes too often: it would keep us busy for ever. */
  #refused(peer: NodeId): boolean {
    const sinceMs = this.#since.get(peer)
    const lasted = sinceMs !== undefined && this.#clock.nowMs() - sinceMs >= RECONNECT_GRACE_MS
    const count = lasted ? 0 : (this.#refusals.get(peer) ?? 0) + 1
    this.#refusals.set(peer, count)
    return count >= MAX_REFUSALS
  }

  #tooMany(peer: NodeId, reason: string): void {
    this.#refusals.delete(peer)
    this.#log.log('warn', 'rpc', `dropped ${shortNode(peer)}: it ends every lane (${reason})`)
    this.#links?.onHostile(peer, reason)
  }

  #drop(peer: NodeId, reason: string): void {
    const pairing = this.#pairings.get(peer)
    this.#pairings.delete(peer)
    pairing?.timer.cancel()
    pairing?.control?.close(reason)
    pairing?.bulk?.close(reason)
    const session = this.#sessions.get(peer)
    if (!session) return
    this.#sessions.delete(peer)
    this.#since.delete(peer)
    session.close(reason)
    const said = this.#goodbyes.get(peer)
    this.#goodbyes.delete(peer)
    this.#links?.onDown(peer, reason, said)
  }
}
