// One call by which a home has events run on a node: what comes back, sorted by event. Above: home.ts. Below: rpc.
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { MAX_COMPLETION_BYTES } from '../limits.ts'
import type { Lease } from '../rpc/methods.ts'
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
  async run(rpc: Pick<RpcNode, 'call'>, node: Attempt['node'], lease: Lease): Promise<void> {
    for (const { abort } of this.#attempts) {
      abort.signal.addEventListener('abort', () => this.#stopWhenUseless(), { once: true })
    }
    this.#stopWhenUseless()
    const { signal } = this.#abort
    await rpc.call(node, 'process.execute', lease, { signal, onItem: (item) => this.#take(parseExecutionItem(item)) })
    if (this.#open.size > 0) throw new OsError('EPROTO', `an executor left out ${this.#open.size} of its events`)
  }

  /** Nobody wants any of those that are open. */
  #stopWhenUseless(): void {
    const signals = [...this.#open.keys()].map(({ abort }) => abort.signal)
    if (signals.length > 0 && signals.every(({ aborted }) => aborted)) this.#abort.abort(signals[0]?.reason)
  }

  /** @throws {OsError} EPROTO. */
  async #take(item: ExecutionItem): Promise<void> {
    if (item[0] === 'o') return this.#takers.printed(this.#at(item[1]), item[2], item[3])
    if (item[0] === 'p') return this.#keep(this.#at(item[1]), item[2])
    for (let i = 1; i < item.length; i += 2) {
      const attempt = this.#at(item[i] as number)
      this.#keep(attempt, item[i + 1] as Uint8Array)
      const pieces = this.#open.get(attempt) as Uint8Array[]
      this.#open.delete(attempt)
      this.#takers.completed(attempt, concat(pieces))
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
    const pieces = this.#open.get(attempt) as Uint8Array[]
    const bytes = pieces.reduce((sum, { byteLength }) => sum + byteLength, piece.byteLength)
    if (bytes > MAX_COMPLETION_BYTES) throw new OsError('EPROTO', 'a completion is too large')
    pieces.push(piece)
  }
}
