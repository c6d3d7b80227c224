// The events that a running event emits: numbered, counted, and held back while the queue of its process is full.
// Above: executor.ts. Below: nothing.
import { OsError } from '../../base/errors.ts'
import { MAX_EMITS_PER_EVENT } from '../../syscalls/limits.ts'
import { MAX_EMIT_BYTES } from '../limits.ts'
import type { LeasedEvent } from '../rpc/bodies.ts'
import type { Emitted } from './completion.ts'
import { encodeData } from './data.ts'

export class Emitting {
  readonly emits: Emitted[] = []
  readonly #number: number
  readonly #moreRoom: (signal: AbortSignal) => Promise<number>
  readonly #signal: AbortSignal
  #bytes = 0
  #room: number
  /** A question for more room under way. */
  #asking: Promise<void> | undefined

  constructor({ number, room }: LeasedEvent, moreRoom: (signal: AbortSignal) => Promise<number>, signal: AbortSignal) {
    this.#number = number
    this.#room = room
    this.#moreRoom = moreRoom
    this.#signal = signal
  }

  /** @returns the new event's id. @throws {OsError} EAGAIN too many, EFBIG too much, EINVAL. */
  async emit(task: string, data: unknown, after: string[] | null, key?: string): Promise<string> {
    if (after && key !== undefined)
      throw new OsError('EINVAL', 'an event either gathers results or is a step of a fold')
    const encoded = encodeData(data)
    // As many may be asked for at once: the first that finds room takes it.
    while (this.#room <= 0) {
      this.#asking ??= this.#ask()
      await this.#asking
    }
    if (this.emits.length >= MAX_EMITS_PER_EVENT) {
      throw new OsError('EAGAIN', `an event may emit at most ${MAX_EMITS_PER_EVENT} events`)
    }
    this.#bytes +=
      encoded.byteLength + (after ?? []).reduce((sum, id) => sum + id.length + 2, task.length + (key?.length ?? 0) + 16)
    if (this.#bytes > MAX_EMIT_BYTES) {
      throw new OsError('EFBIG', `an event may emit at most ${MAX_EMIT_BYTES} bytes: put data into files`)
    }
    this.#room--
    this.emits.push({ task, data: encoded, after, ...(key === undefined ? {} : { key }) })
    return `${this.#number}.${this.emits.length - 1}`
  }

  async #ask(): Promise<void> {
    try {
      this.#room += await this.#moreRoom(this.#signal)
    } finally {
      this.#asking = undefined
    }
  }
}
