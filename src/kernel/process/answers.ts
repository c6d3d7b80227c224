// The completions of events that were leased together, on their way home: as many as are ready travel together. Above:
// lease-run.ts. Below: rpc.
import type { Clock, Timer } from '../../ports/clock.ts'
import { COMPLETION_WAIT_MS, ITEM_BYTES } from '../limits.ts'
import type { ServeContext } from '../rpc/session.ts'

export class Answers {
  readonly #context: Pick<ServeContext, 'item'>
  readonly #clock: Clock
  /** Events and their completions by turns. */
  #ready: (number | Uint8Array)[] = []
  #bytes = 0
  #timer: Timer | undefined
  #sent: Promise<void> = Promise.resolve()

  constructor(context: Pick<ServeContext, 'item'>, clock: Clock) {
    this.#context = context
    this.#clock = clock
  }

  /** Sends a completion, soon. Resolves when there is room for more. @param index which event of the lease. */
  async add(index: number, completion: Uint8Array): Promise<void> {
    let rest = completion
    for (; rest.byteLength > ITEM_BYTES; rest = rest.subarray(ITEM_BYTES)) {
      await this.#context.item(['p', index, rest.subarray(0, ITEM_BYTES)])
    }
    if (this.#bytes + rest.byteLength > ITEM_BYTES) await this.flush()
    this.#ready.push(index, rest)
    this.#bytes += rest.byteLength
    this.#timer ??= this.#clock.setTimer(() => void this.flush(), COMPLETION_WAIT_MS, 'answers')
  }

  /** Sends what is ready. Resolves when all that was sent is on its way; rejects when some of it could not be sent. */
  flush(): Promise<void> {
    this.cancel()
    this.#sent = this.#sent.then(async () => {
      const ready = this.#ready
      if (ready.length === 0) return
      this.#ready = []
      this.#bytes = 0
      await this.#context.item(['c', ...ready])
    })
    this.#sent.catch(() => undefined) // whoever adds or flushes next is told
    return this.#sent
  }

  /** Nobody waits for them any more. */
  cancel(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }
}
