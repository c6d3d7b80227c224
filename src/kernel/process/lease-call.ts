// One call by which a home has events run on a node: what comes back, sorted by event. Above: home.ts. Below: rpc.
import { concat } from '../../base/bytes.ts'
import { OsError, toOsError } from '../../base/errors.ts'
import { ITEM_BYTES, MAX_COMPLETION_BYTES } from '../limits.ts'
import type { Lease } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { Attempt } from './attempts.ts'
import { type ExecutionItem, parseExecutionItem } from './completion.ts'

export interface Takers {
  /** Output counts as taken when it resolves. */
  printed(attempt: Attempt, stream: 1 | 2, bytes: Uint8Array): Promise<void>
  /** An encoded completion; whatever is wrong with it is the taker's business. */
  completed(attempt: Attempt, bytes: Uint8Array): void
}

export class LeaseCall {
  readonly #attempts: readonly Attempt[]
  readonly #takers: Takers
  /** Not answered for yet, with the pieces that came of their completions. */
  readonly #open: Map<Attempt, Uint8Array[]>
  /** Of those pieces. */
  #bytes = 0
  readonly #abort = new AbortController()

  /** @param attempts on the same node, as they stand in the lease. */
  constructor(attempts: readonly Attempt[], takers: Takers) {
    this.#attempts = attempts
    this.#takers = takers
    this.#open = new Map(attempts.map((attempt) => [attempt, []]))
  }

  get open(): Iterable<Attempt> {
    return this.#open.keys()
  }

  /** @throws {OsError} what befell those that are still open. */
  async run(rpc: Pick<RpcNode, 'call'>, node: Attempt['node'], lease: Lease, stop: AbortSignal): Promise<void> {
    for (const { abort } of this.#attempts) {
      abort.signal.addEventListener('abort', () => this.#stopWhenUseless(), { once: true })
    }
    this.#stopWhenUseless()
    const signal = AbortSignal.any([this.#abort.signal, stop])
    try {
      await rpc.call(node, 'process.execute', lease, { signal, onItem: (item) => this.#take(parseExecutionItem(item)) })
    } catch (error) {
      if (this.#abort.signal.aborted) throw toOsError(this.#abort.signal.reason)
      throw error
    }
    if (this.#open.size > 0) throw new OsError('EPROTO', `an executor left out ${this.#open.size} of its events`)
  }

  /** Nobody wants the one that runs: those behind it have waited for nothing, and run elsewhere. */
  #stopWhenUseless(): void {
    const [running] = this.#open.keys()
    if (!running?.abort.signal.aborted) return
    this.#abort.abort(new OsError('ECONNRESET', 'it waited behind an event that another tab completed'))
  }

  /** @throws {OsError} EPROTO. */
  async #take(item: ExecutionItem): Promise<void> {
    if (item[0] === 'o') {
      const attempt = this.#attempts[item[1]]
      // What an event prints after its end is nobody's.
      if (attempt && !this.#open.has(attempt)) return
      return this.#takers.printed(this.#at(item[1]), item[2], item[3])
    }
    if (item[0] === 'p') {
      if (item[2].byteLength !== ITEM_BYTES)
        throw new OsError('EPROTO', 'a completion came in pieces that are too small')
      return this.#keep(this.#at(item[1]), item[2])
    }
    for (let i = 1; i < item.length; i += 2) {
      const attempt = this.#at(item[i] as number)
      this.#keep(attempt, item[i + 1] as Uint8Array)
      const completion = concat(this.#open.get(attempt) as Uint8Array[])
      this.#open.delete(attempt)
      this.#bytes -= completion.byteLength
      this.#takers.completed(attempt, completion)
    }
    this.#stopWhenUseless()
  }

  #at(index: number): Attempt {
    const attempt = this.#attempts[index]
    if (!attempt || !this.#open.has(attempt)) {
      throw new OsError('EPROTO', `an executor answered for event ${index} of its lease, which is not open`)
    }
    return attempt
  }

  #keep(attempt: Attempt, piece: Uint8Array): void {
    this.#bytes += piece.byteLength
    if (this.#bytes > MAX_COMPLETION_BYTES) throw new OsError('EPROTO', 'a completion is too large')
    this.#open.get(attempt)?.push(piece)
  }
}
