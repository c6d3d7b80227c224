// The kernel's end of one caller's port: validates each message, dispatches calls, carries cancellation, replies.
// The same for the page's shell and for tasks; what a caller may do is decided by its dispatch function.

import * as v from 'valibot'
import { owned } from '../../base/bytes.ts'
import { OsError, toOsError } from '../../base/errors.ts'
import { MAX_CALLS_IN_FLIGHT } from '../../syscalls/limits.ts'
import {
  type CallerMessage,
  callerMessage,
  messagesOf,
  type Replies,
  type ReplyMessage,
} from '../../syscalls/protocol.ts'
import { type CallName, parseCall, syscalls } from '../../syscalls/table.ts'

export type Dispatch = (call: CallName, args: never, signal: AbortSignal) => Promise<unknown>

export class CallServer {
  readonly #post: (message: Replies, transfer?: readonly ArrayBuffer[]) => void
  readonly #dispatch: Dispatch
  readonly #calls = new Map<number, AbortController>()
  /** Replies of this turn. */
  #ready: ReplyMessage[] = []

  constructor(post: (message: Replies, transfer?: readonly ArrayBuffer[]) => void, dispatch: Dispatch) {
    this.#post = post
    this.#dispatch = dispatch
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
    void this.#run(message.id, message.call, message.args)
  }

  /** Cancels whatever is under way. */
  abort(reason: string): void {
    for (const controller of this.#calls.values()) controller.abort(new OsError('ECANCELED', reason))
  }

  async #run(id: number, call: string, args: unknown): Promise<void> {
    const controller = new AbortController()
    this.#calls.set(id, controller)
    try {
      const parsed = parseCall(call, args)
      if ('problem' in parsed) throw new OsError(Object.hasOwn(syscalls, call) ? 'EINVAL' : 'ENOSYS', parsed.problem)
      const value = await this.#dispatch(parsed.call, parsed.args, controller.signal)
      this.#reply(id, value)
    } catch (error) {
      const { code, message } = toOsError(error)
      this.#postSoon({ t: 'reply', id, ok: false, code, message })
    } finally {
      this.#calls.delete(id)
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
  #postSoon(reply: ReplyMessage): void {
    this.#ready.push(reply)
    if (this.#ready.length > 1) return
    queueMicrotask(() => {
      const [only, ...others] = this.#ready
      this.#ready = []
      this.#post(others.length > 0 ? [only as ReplyMessage, ...others] : (only as ReplyMessage))
    })
  }
}
