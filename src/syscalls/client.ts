// The caller's side of the ABI: numbers calls, matches replies, carries cancellation. Used by the page, by the
// shell and inside task workers. It does not know who is on the other side.
import { OsError, toOsError } from '../base/errors.ts'
import { CALL_WINDOW, MAX_WAITING_CALLS } from './limits.ts'
import type { CallerMessage, MessageLink, Replies } from './protocol.ts'
import type { CallArgs, CallName, CallResults, InfoResults, InfoTopic } from './table.ts'
import type { OnProgress } from './types.ts'

/** A copy that holds no more memory than what it shows of it. @throws {Error} for what cannot be cloned. */
function detached<T>(value: T): T {
  if (value instanceof Uint8Array) return new Uint8Array(value) as T // a Buffer's own slice is a view
  if (Array.isArray(value)) return value.map(detached) as T
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) {
    return structuredClone(value)
  }
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, detached(each)])) as T
}

/** Bytes that are moved: `detached` made them, so that nobody else has them. A clone would be copied on both sides. */
function moved(message: CallerMessage): ArrayBuffer[] {
  const buffer = message.t === 'call' ? largeBytes(message.args)?.buffer : undefined
  return buffer instanceof ArrayBuffer ? [buffer] : []
}

function largeBytes(args: unknown): Uint8Array | undefined {
  const bytes = (args as { bytes?: unknown } | undefined)?.bytes
  return bytes instanceof Uint8Array && bytes.byteLength >= MOVE_BYTES ? bytes : undefined
}

/** Fewer are cloned sooner than a buffer of their own is made and moved. */
const MOVE_BYTES = 16_384

/** So many calls under way are sent at once, each by itself; what comes on top of them travels together. */
const PROMPT_CALLS = 8

export interface CallOptions {
  signal?: AbortSignal | undefined
  /** Told from time to time how far the call is, if it is one that takes long. */
  onProgress?: OnProgress | undefined
}

/** A call that waits for the window: what it begins with when its turn has come, and whose it is. */
interface Waiting {
  begin: () => CallerMessage
  of: object | undefined
}

interface Pending {
  resolve(value: unknown): void
  reject(error: OsError): void
  stopListening(): void
  onProgress: OnProgress | undefined
}

export class SyscallClient {
  readonly #link: MessageLink
  readonly #pending = new Map<number, Pending>()
  readonly #window: number
  /** By id, in the order in which they were made. */
  readonly #waiting = new Map<number, Waiting>()
  /** To be sent at the end of this turn. */
  #outgoing: CallerMessage[] = []
  #nextId = 1
  #closed: OsError | undefined

  /**
   * @param options.listen false when the owner of the link routes replies here through `accept` (a task's runtime).
   * @param options.window calls under way at most; further ones wait here for their turn.
   */
  constructor(link: MessageLink, options: { listen?: boolean; window?: number } = {}) {
    this.#link = link
    this.#window = options.window ?? Number.POSITIVE_INFINITY
    if (options.listen ?? true) link.onMessage((message) => this.accept(message as Replies))
  }

  /** @throws {OsError} with the kernel's code; ECANCELED when `signal` aborts (the kernel is told). */
  call<K extends CallName>(
    call: K,
    args: CallArgs<K>,
    options: CallOptions & { of?: object } = {},
  ): Promise<CallResults[K]> {
    const { signal, of, onProgress } = options
    if (this.#closed) return Promise.reject(this.#closed)
    if (signal?.aborted) return Promise.reject(new OsError('ECANCELED', `${call} was cancelled before it began`))
    if (this.#waiting.size >= MAX_WAITING_CALLS) {
      return Promise.reject(new OsError('EAGAIN', `more than ${MAX_WAITING_CALLS} calls are waiting: await them`))
    }
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        if (!this.#waiting.delete(id)) {
          if (!this.#pending.delete(id)) return
          this.#send({ t: 'cancel', id })
          this.#sendNext()
        }
        reject(new OsError('ECANCELED', `${call} was cancelled`))
      }
      const begin = (own: CallArgs<K>): CallerMessage => {
        this.#pending.set(id, {
          resolve: resolve as (value: unknown) => void,
          reject,
          stopListening: () => signal?.removeEventListener('abort', onAbort),
          onProgress,
        })
        return { t: 'call', id, call, args: own, ...(onProgress ? { progress: true } : {}) }
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      try {
        if (this.#pending.size < Math.min(PROMPT_CALLS, this.#window)) {
          return this.#send(begin(largeBytes(args) ? detached(args) : args))
        }
        // What the caller does with its arguments after the call is not seen by it, whenever it is sent.
        const own = detached(args)
        if (this.#pending.size < this.#window) this.#sendSoon(begin(own))
        else this.#waiting.set(id, { begin: () => begin(own), of })
      } catch (error) {
        this.#pending.delete(id)
        signal?.removeEventListener('abort', onAbort)
        reject(unsendable(call, error))
      }
    })
  }

  /** Those of that owner which still wait for their turn are never made, and never answered. */
  forget(of: object): void {
    for (const [id, waiting] of this.#waiting) if (waiting.of === of) this.#waiting.delete(id)
  }

  info<T extends Exclude<InfoTopic, 'record'>>(
    topic: T,
    ...rest: T extends 'path' ? [path: string, options?: CallOptions] : [options?: CallOptions]
  ): Promise<InfoResults[T]> {
    const [path, options] = topic === 'path' ? rest : [undefined, rest[0]]
    const args = (topic === 'path' ? { topic, path } : { topic }) as CallArgs<'info'>
    return this.call('info', args, options as CallOptions) as Promise<InfoResults[T]>
  }

  accept(message: Replies): void {
    for (const reply of Array.isArray(message) ? message : [message]) {
      const pending = this.#pending.get(reply.id)
      if (!pending) continue // cancelled meanwhile
      if (reply.t === 'progress') queueMicrotask(() => pending.onProgress?.(reply.progress)) // its exceptions are its own
      if (reply.t !== 'reply') continue
      this.#pending.delete(reply.id)
      pending.stopListening()
      if (reply.ok) pending.resolve(reply.value)
      else pending.reject(new OsError(reply.code, reply.message))
    }
    this.#sendNext()
  }

  /** At once, behind what is to be sent already. */
  #send(message: CallerMessage): void {
    this.#flush()
    this.#post(message)
  }

  /** With whatever else is called in this turn: to wake the other side costs more than what it is told. */
  #sendSoon(message: CallerMessage): void {
    this.#outgoing.push(message)
    if (this.#outgoing.length === 1) queueMicrotask(() => this.#flush())
    else if (this.#outgoing.length >= CALL_WINDOW) this.#flush()
  }

  #flush(): void {
    const [only, ...others] = this.#outgoing.splice(0)
    if (only && !this.#closed) this.#post(others.length > 0 ? [only, ...others] : only)
  }

  /** Calls that cannot be sent fail; whoever made others hears nothing of it. */
  #post(messages: CallerMessage | CallerMessage[]): void {
    const all = [messages].flat()
    try {
      this.#link.post(messages, all.flatMap(moved))
    } catch (error) {
      for (const message of all) {
        const pending = this.#pending.get(message.id)
        this.#pending.delete(message.id)
        pending?.stopListening()
        if (message.t === 'call') pending?.reject(unsendable(message.call, error))
      }
    }
  }

  /** All that there is room for, in one message. */
  #sendNext(): void {
    const next: CallerMessage[] = []
    for (const [id, { begin }] of this.#waiting) {
      if (this.#pending.size >= this.#window) break
      this.#waiting.delete(id)
      next.push(begin())
    }
    this.#flush()
    if (next.length > 0) this.#post(next)
  }

  /** Fails every call under way and every later one. Idempotent. */
  close(reason: string): void {
    this.#closed ??= new OsError('ECONNRESET', reason)
    for (const [id, { begin }] of this.#waiting) {
      this.#waiting.delete(id)
      begin() // becomes pending, and fails with the others
    }
    for (const [id, pending] of this.#pending) {
      this.#pending.delete(id)
      pending.stopListening()
      pending.reject(this.#closed)
    }
    this.#link.close()
  }
}

/** Of what cannot be copied browsers say only how they copy. */
function unsendable(call: string, error: unknown): OsError {
  const told = toOsError(error, 'EINVAL')
  if (!(error instanceof Error && error.name === 'DataCloneError')) return told
  const what = 'cannot be copied to the kernel: a function, a URL and a Proxy, for example, cannot'
  return new OsError('EINVAL', `${call}: an argument ${what}`, { cause: error })
}
