// A task's stdout or stderr: turns many small prints into few writes. Above: task.ts. Below: the `write` call.
// The first print goes out at once; what follows is gathered while a write is under way, so that output is
// prompt without a message per line and without a timer.
import { concat } from '../base/bytes.ts'
import type { SyscallClient } from './client.ts'

/** One write carries at most this much: a piece that the kernel forwards in one frame. */
const PIECE_BYTES = 64 * 1024
/** Writes under way at once; far below MAX_CALLS_IN_FLIGHT, enough to hide a round trip. */
const WRITES_IN_FLIGHT = 4
/** A writer that awaits is held back beyond this, so that a slow reader bounds a task's memory. */
const HIGH_WATER_BYTES = 256 * 1024

export class TaskOutput {
  readonly #client: SyscallClient
  readonly #ref: number
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #inFlight = 0
  #error: unknown
  #waiters: { below: number; resolve(): void; reject(error: unknown): void }[] = []

  constructor(client: SyscallClient, ref: number) {
    this.#client = client
    this.#ref = ref
  }

  /** Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength > 0 && this.#error === undefined) {
      this.#queue.push(bytes)
      this.#queuedBytes += bytes.byteLength
      this.#pump()
      const last = this.#queue.pop()
      if (last) this.#queue.push(last.slice()) // the caller may reuse its buffer
    }
    return this.#below(HIGH_WATER_BYTES)
  }

  /** Resolves when the kernel has everything. @throws {OsError} of the first write that failed. */
  flush(): Promise<void> {
    return this.#below(0)
  }

  #below(bytes: number): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#isBelow(bytes)) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ below: bytes, resolve, reject }))
  }

  #isBelow(bytes: number): boolean {
    return bytes === 0 ? this.#queuedBytes === 0 && this.#inFlight === 0 : this.#queuedBytes < bytes
  }

  #pump(): void {
    while (this.#queuedBytes > 0 && this.#mayWrite()) {
      this.#inFlight++
      this.#client.call('write', { ref: this.#ref, bytes: this.#take() }).then(
        () => this.#settled(),
        (error: unknown) => this.#failed(error),
      )
    }
  }

  #mayWrite(): boolean {
    if (this.#inFlight === 0) return true
    return this.#queuedBytes >= PIECE_BYTES && this.#inFlight < WRITES_IN_FLIGHT
  }

  #take(): Uint8Array {
    const parts: Uint8Array[] = []
    let room = PIECE_BYTES
    while (room > 0) {
      const next = this.#queue[0]
      if (!next) break
      if (next.byteLength <= room) this.#queue.shift()
      else this.#queue[0] = next.subarray(room)
      const part = next.subarray(0, room)
      parts.push(part)
      room -= part.byteLength
    }
    this.#queuedBytes -= PIECE_BYTES - room
    return concat(parts)
  }

  #settled(): void {
    this.#inFlight--
    if (this.#error === undefined) this.#pump()
    const ready = this.#waiters.filter((waiter) => this.#isBelow(waiter.below))
    this.#waiters = this.#waiters.filter((waiter) => !this.#isBelow(waiter.below))
    for (const waiter of ready) waiter.resolve()
  }

  #failed(error: unknown): void {
    this.#inFlight--
    this.#error ??= error
    this.#queue = []
    this.#queuedBytes = 0
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.#error)
  }
}
