// All calls between this kernel and one peer, over its two lanes. It matches answers to calls, carries
// cancellation and deadlines, and meters streams of items by credit. It does not know what methods do.
import * as v from 'valibot'
import { OsError, toOsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { StreamKind } from '../../ports/network.ts'
import {
  DEFAULT_CALL_TIMEOUT_MS,
  LANE_BACKLOG_BYTES,
  MAX_PEER_CALL_BYTES,
  MAX_PEER_CALLS,
  MAX_WINDOW_BYTES,
  MIN_WINDOW_BYTES,
  RTT_ANSWERS,
  WINDOW_BYTES_PER_MS,
} from '../limits.ts'
import { FRAME, type Frame, type Hello } from './frames.ts'
import type { Lane } from './lane.ts'
import { type MethodArgs, type MethodName, type MethodResult, methods } from './methods.ts'

export interface CallOptions {
  signal?: AbortSignal | undefined
  /** Overrides the method's default; 0 waits until cancelled. */
  timeoutMs?: number
  /** Takes each item; credit returns to the sender when it resolves. */
  onItem?: (item: unknown) => void | Promise<void>
  /** Of so many streams that the caller lets come over this link at a time, this is one (default 1). */
  abreast?: number
}

export interface ServeContext {
  peer: NodeId
  /** Aborts when the caller cancels, its deadline passes or the link goes. */
  signal: AbortSignal
  /** Sends one item; resolves when the caller has room for more. */
  item(value: unknown): Promise<void>
}

export type Serve = (method: MethodName, args: unknown, context: ServeContext) => Promise<unknown>

interface Outgoing {
  method: MethodName
  lane: Lane
  onItem: CallOptions['onItem']
  /** Until the first word of the answer. */
  askedMs: number | undefined
  /** Its result or error has come; it may wait for items that are not taken yet. */
  answered: boolean
  /** Items are taken one after the other, and the result waits for the last. */
  items: Promise<void>
  /** What the other side may send ahead: what it was given as credit, less what was taken. */
  windowBytes: number
  /** Bytes of items that came and were not taken yet: at most the window. */
  untakenBytes: number
  /** Taken, and not yet given back as credit. */
  owedBytes: number
  settle(error: OsError | undefined, value?: unknown): void
}

interface Incoming {
  controller: AbortController
  /** Of the frame that it came in. */
  bytes: number
  credit: number
  wake: (() => void) | undefined
  /** Items go out in the order in which they were given, also when several wait for credit. */
  tail: Promise<void>
}

export class Session {
  readonly peer: NodeId
  readonly hello: Hello
  readonly #lanes: Record<StreamKind, Lane>
  readonly #clock: Clock
  readonly #serve: Serve
  readonly #outgoing = new Map<number, Outgoing>()
  readonly #incoming = new Map<number, Incoming>()
  #incomingBytes = 0
  #nextId = 1
  /** From a call to the first word of its answer, at least. */
  #leastRttMs: number | undefined
  #answerCount = 0
  #closed: OsError | undefined

  constructor(options: {
    peer: NodeId
    hello: Hello
    control: Lane
    bulk: Lane
    clock: Clock
    serve: Serve
  }) {
    this.peer = options.peer
    this.hello = options.hello
    this.#lanes = { control: options.control, bulk: options.bulk }
    this.#clock = options.clock
    this.#serve = options.serve
  }

  /** @throws {OsError} the peer's error; ETIMEDOUT, ECANCELED, ECONNRESET, EPROTO for a malformed answer. */
  call<M extends MethodName>(method: M, args: MethodArgs<M>, options: CallOptions = {}): Promise<MethodResult<M>> {
    const { signal, onItem } = options
    const timeoutMs = options.timeoutMs ?? methods[method].timeoutMs
    if (this.#closed) return Promise.reject(this.#closed)
    if (signal?.aborted) return Promise.reject(new OsError('ECANCELED', `${method} was cancelled`))
    const id = this.#nextId++
    const lane = this.#lanes[methods[method].lane]
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined
      const settle = (error: OsError | undefined, value?: unknown) => {
        if (!this.#outgoing.delete(id)) return
        timer?.cancel()
        signal?.removeEventListener('abort', onAbort)
        if (error) reject(error)
        else resolve(value as MethodResult<M>)
      }
      const giveUp = (error: OsError) => {
        if (!this.#outgoing.has(id)) return
        settle(error)
        this.#trySend(lane, [FRAME.CANCEL, id])
      }
      const onAbort = () => giveUp(new OsError('ECANCELED', `${method} was cancelled`))
      // Who may wait for something else before it answers does not tell how far away it is.
      const quick = timeoutMs > 0 && timeoutMs <= DEFAULT_CALL_TIMEOUT_MS
      const askedMs = quick ? this.#clock.nowMs() : undefined
      const windowBytes = onItem ? this.#windowBytes(options.abreast ?? 1) : 0
      const items = Promise.resolve()
      const call = { method, lane, onItem, askedMs, windowBytes, untakenBytes: 0, owedBytes: 0, items, settle }
      this.#outgoing.set(id, { ...call, answered: false })
      if (timeoutMs > 0) {
        timer = this.#clock.setTimer(
          () => giveUp(new OsError('ETIMEDOUT', `${method} was not answered within ${timeoutMs} ms`)),
          timeoutMs,
          `call ${method}`,
        )
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      try {
        lane.send([FRAME.CALL, id, method, timeoutMs, windowBytes, args])
      } catch (error) {
        settle(toOsError(error))
      }
    })
  }

  uses(lane: Lane): boolean {
    return this.#lanes.control === lane || this.#lanes.bulk === lane
  }

  /** Bytes that wait on the lane of notes. */
  get queuedBytes(): number {
    return this.#lanes.control.bufferedBytes
  }

  note(name: string, body: unknown): void {
    this.#trySend(this.#lanes.control, [FRAME.NOTE, name, body])
  }

  sendControl(frame: Frame): void {
    this.#trySend(this.#lanes.control, frame)
  }

  /** On both lanes: whichever the peer sees end first, it has heard why. */
  goodbye(reason: string): void {
    for (const lane of Object.values(this.#lanes)) lane.goodbye(reason)
  }

  /**
   * @param bytes of the frame, encoded.
   * @throws {OsError} EPROTO when the frame makes no sense here: the lane is closed for it.
   */
  accept(lane: Lane, frame: Frame, bytes: number): void {
    switch (frame[0]) {
      case FRAME.CALL:
        return this.#startServing(lane, frame, bytes)
      case FRAME.CANCEL:
        return this.#incoming.get(frame[1])?.controller.abort(new OsError('ECANCELED', 'cancelled by the caller'))
      case FRAME.CREDIT: {
        const call = this.#incoming.get(frame[1])
        if (!call) return
        call.credit += frame[2]
        call.wake?.()
        return
      }
      case FRAME.RESULT:
        return this.#answered(frame[1], frame[2])
      case FRAME.ERROR: {
        const { 1: id, 2: code, 3: message } = frame
        const call = this.#answers(id)
        call?.items.then(() => call.settle(new OsError(code, message)))
        return
      }
      case FRAME.ITEM:
        return this.#item(frame[1], frame[2])
      default:
        throw new OsError('EPROTO', `frame ${frame[0]} does not belong here`)
    }
  }

  close(reason: string): void {
    if (this.#closed) return
    this.#closed = new OsError('ECONNRESET', `the link to this peer closed: ${reason}`)
    for (const call of [...this.#outgoing.values()]) call.settle(this.#closed)
    for (const call of this.#incoming.values()) call.controller.abort(this.#closed)
    this.#lanes.control.close(reason)
    this.#lanes.bulk.close(reason)
  }

  /** @returns undefined when it was cancelled meanwhile. @throws {OsError} EPROTO for more than one answer: each is kept. */
  #answers(id: number): Outgoing | undefined {
    const call = this.#outgoing.get(id)
    if (!call) return undefined
    if (call.answered) throw new OsError('EPROTO', `answered ${call.method} twice`)
    call.answered = true
    this.#heard(call)
    return call
  }

  #answered(id: number, value: unknown): void {
    const call = this.#answers(id)
    if (!call) return
    const parsed = v.safeParse(methods[call.method].result, value)
    call.items.then(() => {
      if (parsed.success) call.settle(undefined, parsed.output)
      else call.settle(new OsError('EPROTO', `a malformed answer to ${call.method}: ${parsed.issues[0].message}`))
    })
  }

  #item(id: number, value: unknown): void {
    const call = this.#outgoing.get(id)
    if (!call) return
    if (!call.onItem) throw new OsError('EPROTO', `${call.method} was answered with items that nobody asked for`)
    if (call.answered) return // of a handler that was ended in the middle
    this.#heard(call)
    const { onItem, lane } = call
    const size = itemSize(value)
    if (size === undefined) throw new OsError('EPROTO', `sent an item of ${call.method} that no method sends`)
    // A sender stops when its credit is used up, and may overshoot by the item that did it.
    if (call.untakenBytes >= call.windowBytes) {
      throw new OsError('EPROTO', `sent more than it was given credit for in answer to ${call.method}`)
    }
    call.untakenBytes += size
    call.items = call.items.then(async () => {
      if (!this.#outgoing.has(id)) return
      try {
        await onItem(value)
        call.untakenBytes -= size
        call.owedBytes += size
        // In steps of half a window: one message for some items, and the other half is under way meanwhile.
        if (call.owedBytes < call.windowBytes / 2) return
        this.#trySend(lane, [FRAME.CREDIT, id, call.owedBytes])
        call.owedBytes = 0
      } catch (error) {
        this.#trySend(lane, [FRAME.CANCEL, id])
        call.settle(toOsError(error))
      }
    })
  }

  /**
   * What a stream may send ahead: what comes and goes meanwhile, and no more. A browser's sender that is given more doubles
   * what it has under way with each round trip, until the other's socket cannot hold it; then it loses most of it at once, and
   * sends for a second what has arrived already.
   */
  #windowBytes(abreast: number): number {
    const known = this.#answerCount >= RTT_ANSWERS ? (this.#leastRttMs ?? 0) : 0
    const bytes = Math.max(MIN_WINDOW_BYTES, known * WINDOW_BYTES_PER_MS)
    return Math.floor(Math.min(MAX_WINDOW_BYTES, bytes) / abreast)
  }

  /** The quickest answer so far tells how far away the peer is: any other may have had to wait. */
  #heard(call: Outgoing): void {
    if (call.askedMs === undefined) return
    const tookMs = this.#clock.nowMs() - call.askedMs
    this.#leastRttMs = Math.min(this.#leastRttMs ?? tookMs, tookMs)
    call.askedMs = undefined
    this.#answerCount++
  }

  #startServing(lane: Lane, frame: Frame & [typeof FRAME.CALL, ...unknown[]], bytes: number): void {
    const [, id, method, timeoutMs, credit, args] = frame
    if (!Object.hasOwn(methods, method)) {
      return this.#trySend(lane, [FRAME.ERROR, id, 'ENOSYS', `there is no method '${method}' here`])
    }
    if (this.#incoming.has(id)) throw new OsError('EPROTO', `call ${id} is under way already`)
    if (this.#incoming.size >= MAX_PEER_CALLS) {
      return this.#trySend(lane, [FRAME.ERROR, id, 'EAGAIN', `more than ${MAX_PEER_CALLS} calls are under way`])
    }
    if (this.#incomingBytes + bytes > MAX_PEER_CALL_BYTES) {
      return this.#trySend(lane, [FRAME.ERROR, id, 'EAGAIN', `calls of ${MAX_PEER_CALL_BYTES} bytes are under way`])
    }
    const name = method as MethodName
    const parsed = v.safeParse(methods[name].args, args)
    if (!parsed.success) {
      return this.#trySend(lane, [FRAME.ERROR, id, 'EINVAL', `${method}: ${parsed.issues[0].message.slice(0, 200)}`])
    }
    const controller = new AbortController()
    const call: Incoming = { controller, bytes, credit, wake: undefined, tail: Promise.resolve() }
    this.#incoming.set(id, call)
    this.#incomingBytes += bytes
    const { signal } = call.controller
    const timer =
      timeoutMs > 0
        ? this.#clock.setTimer(
            () => call.controller.abort(new OsError('ETIMEDOUT', 'the caller no longer waits')),
            timeoutMs,
            `serve ${method}`,
          )
        : undefined
    const context: ServeContext = {
      peer: this.peer,
      signal,
      item: (value) => {
        const sent = call.tail.then(() => this.#sendItem(lane, id, call, value))
        call.tail = sent.catch(() => undefined) // whoever gave the item gets its error
        return sent
      },
    }
    this.#serve(name, parsed.output, context)
      .then(
        (value) => this.#reply(lane, [FRAME.RESULT, id, value ?? null], id),
        (error) => {
          const { code, message } = toOsError(error)
          this.#trySend(lane, [FRAME.ERROR, id, code, message.slice(0, 4096)])
        },
      )
      .finally(() => {
        timer?.cancel()
        this.#incoming.delete(id)
        this.#incomingBytes -= call.bytes
      })
  }

  #reply(lane: Lane, frame: Frame, id: number): void {
    try {
      lane.send(frame)
    } catch (error) {
      const { code, message } = toOsError(error)
      this.#trySend(lane, [FRAME.ERROR, id, code, message])
    }
  }

  async #sendItem(lane: Lane, id: number, call: Incoming, value: unknown): Promise<void> {
    const { signal } = call.controller
    const size = itemSize(value)
    if (size === undefined) throw new OsError('EINVAL', 'an item is bytes, a string, a number or a flat array of those')
    while (call.credit <= 0 && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          resolve()
        }
        call.wake = wake
        signal.addEventListener('abort', wake, { once: true })
      })
      call.wake = undefined
    }
    signal.throwIfAborted()
    call.credit -= size
    lane.send([FRAME.ITEM, id, value])
    if (lane.bufferedBytes > LANE_BACKLOG_BYTES) await lane.drained(LANE_BACKLOG_BYTES / 2)
  }

  /** For frames whose loss the other side notices anyway, by its deadline or by the link's end. */
  #trySend(lane: Lane, frame: Frame): void {
    try {
      lane.send(frame)
    } catch (error) {
      const { code, message } = toOsError(error)
      if (code === 'EINVAL' || code === 'EFBIG') throw error
      // A link that takes nothing for so long is as good as broken, and the other side would wait for ever.
      if (code === 'EAGAIN') lane.close(message)
    }
  }
}

/**
 * What an item costs in credit: the bytes it carries, at least 1. Both sides compute it alike.
 * @returns undefined for what is not flat: nesting would hide bytes from the credit.
 */
function itemSize(value: unknown): number | undefined {
  if (!Array.isArray(value)) return plainSize(value)
  let total = 1
  for (const part of value) {
    const size = plainSize(part)
    if (size === undefined) return undefined
    total += size
  }
  return total
}

function plainSize(value: unknown): number | undefined {
  if (value instanceof Uint8Array) return Math.max(1, value.byteLength)
  if (typeof value === 'string') return Math.max(1, value.length)
  return typeof value === 'object' && value !== null ? undefined : 1
}
