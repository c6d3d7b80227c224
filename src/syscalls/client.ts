// The caller's side of the ABI: numbers calls, matches replies, carries cancellation. Used by the page, by the
// shell and inside task workers. It does not know who is on the other side.
import { OsError, toOsError } from '../base/errors.ts'
import { MAX_WAITING_CALLS } from './limits.ts'
import type { MessageLink, ReplyMessage } from './protocol.ts'
import type { CallArgs, CallName, CallResults, InfoResults, InfoTopic } from './table.ts'

export interface CallOptions {
  signal?: AbortSignal | undefined
}

interface Pending {
  resolve(value: unknown): void
  reject(error: OsError): void
  stopListening(): void
}

export class SyscallClient {
  readonly #link: MessageLink
  readonly #pending = new Map<number, Pending>()
  readonly #window: number
  /** Calls that wait for the window, by id. */
  readonly #waiting = new Map<number, () => void>()
  #nextId = 1
  #closed: OsError | undefined

  /**
   * @param options.listen false when the owner of the link routes replies here through `accept` (a task's runtime).
   * @param options.window calls under way at most; further ones wait here for their turn.
   */
  constructor(link: MessageLink, options: { listen?: boolean; window?: number } = {}) {
    this.#link = link
    this.#window = options.window ?? Number.POSITIVE_INFINITY
    if (options.listen ?? true) link.onMessage((message) => this.accept(message as ReplyMessage))
  }

  /** @throws {OsError} with the kernel's code; ECANCELED when `signal` aborts (the kernel is told). */
  call<K extends CallName>(call: K, args: CallArgs<K>, options: CallOptions = {}): Promise<CallResults[K]> {
    const { signal } = options
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
          this.#link.post({ t: 'cancel', id })
          this.#sendNext()
        }
        reject(new OsError('ECANCELED', `${call} was cancelled`))
      }
      const send = () => {
        this.#pending.set(id, {
          resolve: resolve as (value: unknown) => void,
          reject,
          stopListening: () => signal?.removeEventListener('abort', onAbort),
        })
        try {
          this.#link.post({ t: 'call', id, call, args })
        } catch (error) {
          this.#pending.delete(id)
          signal?.removeEventListener('abort', onAbort)
          reject(toOsError(error, 'EINVAL')) // arguments that cannot be cloned
        }
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      if (this.#pending.size < this.#window) send()
      else this.#waiting.set(id, send)
    })
  }

  info<T extends Exclude<InfoTopic, 'record'>>(
    topic: T,
    ...rest: T extends 'path' ? [path: string, options?: CallOptions] : [options?: CallOptions]
  ): Promise<InfoResults[T]> {
    const [path, options] = topic === 'path' ? rest : [undefined, rest[0]]
    const args = (topic === 'path' ? { topic, path } : { topic }) as CallArgs<'info'>
    return this.call('info', args, options as CallOptions) as Promise<InfoResults[T]>
  }

  accept(message: ReplyMessage): void {
    if (message.t !== 'reply') return
    const pending = this.#pending.get(message.id)
    if (!pending) return // cancelled meanwhile
    this.#pending.delete(message.id)
    pending.stopListening()
    this.#sendNext()
    if (message.ok) pending.resolve(message.value)
    else pending.reject(new OsError(message.code, message.message))
  }

  #sendNext(): void {
    const [next] = this.#waiting
    if (!next || this.#pending.size >= this.#window) return
    this.#waiting.delete(next[0])
    next[1]()
  }

  /** Fails every call under way and every later one. Idempotent. */
  close(reason: string): void {
    this.#closed ??= new OsError('ECONNRESET', reason)
    for (const [id, send] of this.#waiting) {
      this.#waiting.delete(id)
      send() // becomes pending, and fails with the others
    }
    for (const [id, pending] of this.#pending) {
      this.#pending.delete(id)
      pending.stopListening()
      pending.reject(this.#closed)
    }
    this.#link.close()
  }
}
