// Kernel events for any number of listeners over one long poll (`wait {for:'events'}`). The poll runs only while
// somebody listens. States: idle → polling → idle; closed by the client's end.
import { Emitter } from '../base/emitter.ts'
import { isOsError } from '../base/errors.ts'
import type { SyscallClient } from '../syscalls/client.ts'
import type { KernelEvent } from '../syscalls/types.ts'

export class EventFeed {
  readonly #client: SyscallClient
  readonly #emitter: Emitter<KernelEvent>
  readonly #onError: (error: unknown) => void
  #since = 0
  #poll: AbortController | undefined

  /** @param onError a listener's own exception, or why events stopped other than by the connection's end. */
  constructor(client: SyscallClient, onError: (error: unknown) => void) {
    this.#client = client
    this.#onError = onError
    this.#emitter = new Emitter(onError)
  }

  /** @returns a function that stops listening; the last one to leave ends the poll. */
  on(listener: (event: KernelEvent) => void): () => void {
    const off = this.#emitter.on(listener)
    if (!this.#poll) {
      this.#poll = new AbortController()
      void this.#run(this.#poll)
    }
    return () => {
      off()
      if (this.#emitter.size > 0) return
      this.#poll?.abort()
      this.#poll = undefined
    }
  }

  async #run(poll: AbortController): Promise<void> {
    try {
      while (!poll.signal.aborted) {
        const args = { for: 'events', since: this.#since } as const
        const { events = [], next } = await this.#client.call('wait', args, { signal: poll.signal })
        this.#since = next ?? this.#since + events.length
        for (const event of events) this.#emitter.emit(event)
      }
    } catch (error) {
      if (this.#poll === poll) this.#poll = undefined
      if (!isOsError(error, 'ECANCELED') && !isOsError(error, 'ECONNRESET')) this.#onError(error)
    }
  }
}
