// The kernel's end of one caller's port: validates each message, dispatches calls, carries cancellation, replies.
// The same for the page's shell and for tasks; what a caller may do is decided by its dispatch function.

import * as v from 'valibot'
import { owned } from '../../base/bytes.ts'
import { OsError, toOsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import { MAX_CALLS_IN_FLIGHT } from '../../syscalls/limits.ts'
import {
  type CallerMessage,
  callerMessage,
  messagesOf,
  type ProgressMessage,
  type Replies,
  type ReplyMessage,
} from '../../syscalls/protocol.ts'
import { type CallName, parseCall, syscalls } from '../../syscalls/table.ts'
import type { OnProgress } from '../../syscalls/types.ts'
import { PROGRESS_MS } from '../limits.ts'

/** @param onProgress where the caller wants to know how far a long call is: may be called for every small step. */
export type Dispatch = (call: CallName, args: never, signal: AbortSignal, onProgress?: OnProgress) => Promise<unknown>

export class CallServer {
  readonly #post: (message: Replies, transfer?: readonly ArrayBuffer[]) => void
  readonly #dispatch: Dispatch
  readonly #clock: Pick<Clock, 'nowMs'> | undefined
  readonly #calls = new Map<number, AbortController>()
  /** Replies of this turn. */
  #ready: (ReplyMessage | ProgressMessage)[] = []

  /** @param clock for callers that may ask how far their calls are. */
  constructor(
    post: (message: Replies, transfer?: readonly ArrayBuffer[]) => void,
    dispatch: Dispatch,
    clock?: Pick<Clock, 'nowMs'>,
  ) {
    this.#post = post
    this.#dispatch = dispatch
    this.#clock = clock
  }

  /** @throws {OsError} EPROTO for a malformed message or a flood: the owner decides what becomes of the caller. */
  accept(raw: unknown): void {
    let problem: unknown
    for (const message of messagesOf(raw)) {
      try {
        this.#accept(message)
      } catch (error) {
        problem ??= error // the others of the same batch are calls that somebody waits for
      }
    }
    if (problem !== undefined) throw problem
  }

  #accept(raw: unknown): void {
    const parsed = v.safeParse(callerMessage, raw)
    if (!parsed.success) throw new OsError('EPROTO', `a malformed message: ${parsed.issues[0].message.slice(0, 100)}`)
    this.serve(parsed.output)
  }

  /** The same for a message that has been parsed. @throws {OsError} EPROTO. */
  serve(message: CallerMessage): void {
    if (message.t === 'cancel') {
      this.#calls.get(message.id)?.abort(new OsError('ECANCELED', 'cancelled by the caller'))
      return
    }
    if (this.#calls.has(message.id)) throw new OsError('EPROTO', `call ${message.id} is under way already`)
    if (this.#calls.size >= MAX_CALLS_IN_FLIGHT) {
      throw new OsError('EPROTO', `more than ${MAX_CALLS_IN_FLIGHT} calls at once: await them`)
    }
    void this.#run(message)
  }

  /** Cancels whatever is under way. */
  abort(reason: string): void {
    for (const controller of this.#calls.values()) controller.abort(new OsError('ECANCELED', reason))
  }

  async #run({ id, call, args, progress }: CallerMessage & { t: 'call' }): Promise<void> {
    const controller = new AbortController()
    this.#calls.set(id, controller)
    try {
      const parsed = parseCall(call, args)
      if ('problem' in parsed) throw new OsError(Object.hasOwn(syscalls, call) ? 'EINVAL' : 'ENOSYS', parsed.problem)
      const value = await this.#dispatch(parsed.call, parsed.args, controller.signal, progress && this.#progress(id))
      this.#reply(id, value)
    } catch (error) {
      const { code, message } = toOsError(error)
      this.#postSoon({ t: 'reply', id, ok: false, code, message })
    } finally {
      this.#calls.delete(id)
    }
  }

  /** Not more often than people look. */
  #progress(id: number): OnProgress | undefined {
    const clock = this.#clock
    if (!clock) return undefined
    let lastMs = Number.NEGATIVE_INFINITY
    return (progress) => {
      const nowMs = clock.nowMs()
      if (nowMs - lastMs < PROGRESS_MS || !this.#calls.has(id)) return
      lastMs = nowMs
      this.#postSoon({ t: 'progress', id, progress })
    }
  }

  /** Bytes that the kernel may still need (all but what is said to be the caller's own) are copied once and moved from there. */
  #reply(id: number, value: unknown): void {
    if (value && typeof value === 'object' && 'bytes' in value && value.bytes instanceof Uint8Array) {
      const { own = false, bytes: given, ...rest } = value as { bytes: Uint8Array; own?: boolean }
      const bytes = own ? owned(given) : given.slice()
      this.#post({ t: 'reply', id, ok: true, value: { ...rest, bytes } }, [bytes.buffer])
    } else this.#postSoon({ t: 'reply', id, ok: true, value })
  }

  /** With whatever else is ready in this turn. */
  #postSoon(message: ReplyMessage | ProgressMessage): void {
    if (this.#ready.push(message) > 1) return
    queueMicrotask(() => {
      const [only, ...others] = this.#ready.splice(0)
      if (only) this.#post(others.length > 0 ? [only, ...others] : only)
    })
  }
}
