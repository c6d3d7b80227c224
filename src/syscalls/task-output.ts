// A task's stdout or stderr: turns many small prints into few writes. Above: task.ts. Below: the `write` call.
// The first print goes out at once; what follows is gathered while a write is under way, so that output is
// prompt without a message per line and without a timer.
import { owned } from '../base/bytes.ts'
import type { SyscallClient } from './client.ts'

/** One write carries at most this much: a piece that the kernel forwards in one frame. */
const PIECE_BYTES = 64 * 1024
/** Writes under way at once; far below MAX_CALLS_IN_FLIGHT, enough to hide a round trip. */
const WRITES_IN_FLIGHT = 4
/** A writer that awaits is held back beyond this, so that a slow reader bounds a task's memory. */
const HIGH_WATER_BYTES = 256 * 1024

/** All who wait for the same level share one promise. */
interface Waiter {
  bytes: number
  promise: Promise<void>
  resolve(): void
  reject(error: unknown): void
}

export class TaskOutput {
  readonly #client: SyscallClient
  readonly #ref: number
  /** What waits: full pieces, then a piece that is being filled. */
  readonly #pieces: Uint8Array[] = []
  #tail: Uint8Array | undefined
  #tailBytes = 0
  #inFlight = 0
  #failure: { error: unknown } | undefined
  readonly #waiters: Waiter[] = []

  constructor(client: SyscallClient, ref: number) {
    this.#client = client
    this.#ref = ref
  }

  /** Resolves when there is room for more. */
  write(bytes: Uint8Array): Promise<void> {
    if (this.#inFlight === 0 && bytes.byteLength <= PIECE_BYTES) this.#send(owned(bytes))
    else this.#keep(bytes)
    return this.#below(HIGH_WATER_BYTES)
  }

  /** Resolves when the kernel has everything. @throws {OsError} of the first write that failed. */
  flush(): Promise<void> {
    return this.#below(0)
  }

  #queuedBytes(): number {
    return this.#pieces.length * PIECE_BYTES + this.#tailBytes
  }

  /** Copies: the caller may reuse its buffer. */
  #keep(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength && !this.#failure; ) {
      this.#tail ??= new Uint8Array(PIECE_BYTES)
      const part = bytes.subarray(at, at + PIECE_BYTES - this.#tailBytes)
      this.#tail.set(part, this.#tailBytes)
      this.#tailBytes += part.byteLength
      at += part.byteLength
      if (this.#tailBytes < PIECE_BYTES) return
      this.#pieces.push(this.#tail)
      this.#tail = undefined
      this.#tailBytes = 0
      this.#pump()
    }
  }

  /** Full pieces go out side by side; a rest waits until nothing is under way, since more may join it. */
  #pump(): void {
    while (this.#pieces.length > 0 && this.#inFlight < WRITES_IN_FLIGHT) {
      const piece = this.#pieces.shift()
      if (piece) this.#send(piece)
    }
    if (this.#inFlight > 0 || this.#tailBytes === 0) return
    const rest = this.#tail?.slice(0, this.#tailBytes)
    this.#tailBytes = 0
    if (rest) this.#send(rest)
  }

  #send(bytes: Uint8Array): void {
    if (bytes.byteLength === 0 || this.#failure) return
    this.#inFlight++
    this.#client.call('write', { ref: this.#ref, bytes }).then(
      () => this.#settled(undefined),
      (error: unknown) => this.#settled({ error }),
    )
  }

  #settled(failure: { error: unknown } | undefined): void {
    this.#inFlight--
    this.#failure ??= failure
    if (this.#failure) {
      this.#pieces.length = 0
      this.#tailBytes = 0
    } else this.#pump()
    for (const waiter of this.#waiters.splice(0)) {
      if (this.#failure) waiter.reject(this.#failure.error)
      else if (this.#isBelow(waiter.bytes)) waiter.resolve()
      else this.#waiters.push(waiter)
    }
  }

  #isBelow(bytes: number): boolean {
    return bytes === 0 ? this.#queuedBytes() === 0 && this.#inFlight === 0 : this.#queuedBytes() < bytes
  }

  #below(bytes: number): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure.error)
    if (this.#isBelow(bytes)) return Promise.resolve()
    const known = this.#waiters.find((waiter) => waiter.bytes === bytes)
    if (known) return known.promise
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiters.push({ bytes, promise, resolve, reject })
    return promise
  }
}
