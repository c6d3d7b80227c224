// Byte streams between programs, files, the terminal and callers. A write resolves when the other side has room:
// that is the backpressure. Nothing here knows files or terminals.
import { type Bytes, concat, fromUtf8, utf8 } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'
import { FILE_BUFFER_BYTES, PIPE_BYTES } from './limits.ts'

export interface ByteReader {
  readonly isTerminal: boolean
  /** The next piece; empty at the end, and then always. */
  read(): Promise<Uint8Array>
  /** Nobody will read any more: a pipe's writer gets EPIPE. Idempotent. */
  close(): Promise<void>
}

export interface ByteWriter {
  readonly isTerminal: boolean
  /** @throws {OsError} EPIPE when the reader has gone; whatever the place of the bytes says, e.g. ENOSPC. */
  write(bytes: Uint8Array): Promise<void>
  /** No more bytes will come; a file is committed. Idempotent. */
  close(): Promise<void>
  /** Of a terminal: shows one line below all that is written, until somebody writes or the next one comes; undefined: none. */
  status?(line: string | undefined): Promise<void>
}

const NOTHING = new Uint8Array(0)

export const emptyReader: ByteReader = {
  isTerminal: false,
  read: () => Promise.resolve(NOTHING),
  close: () => Promise.resolve(),
}

export const nullWriter: ByteWriter = {
  isTerminal: false,
  write: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

export type Sink = (bytes: Uint8Array) => void | Promise<void>

/** A writer that hands everything to `sink` and whose end means nothing. */
export function sinkWriter(sink: Sink): ByteWriter {
  return { isTerminal: false, write: async (bytes) => sink(bytes), close: () => Promise.resolve() }
}

/** Collects up to `limit` bytes and counts the rest. */
export class Capture {
  readonly #limit: number
  readonly #parts: Uint8Array[] = []
  #size = 0
  dropped = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  add(bytes: Uint8Array): void {
    const kept = bytes.subarray(0, Math.max(0, this.#limit - this.#size))
    if (kept.byteLength > 0) this.#parts.push(kept.slice())
    this.#size += kept.byteLength
    this.dropped += bytes.byteLength - kept.byteLength
  }

  text(): string {
    return fromUtf8(concat(this.#parts))
  }
}

export type ReaderSource = string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** A reader over what a caller gives; `signal` ends a read that waits for a source that never answers. */
export function readerOf(source: ReaderSource, signal: AbortSignal): ByteReader {
  const pieces = typeof source === 'string' ? [utf8(source)] : source instanceof Uint8Array ? [source] : source
  const iterator = Symbol.asyncIterator in pieces ? pieces[Symbol.asyncIterator]() : pieces[Symbol.iterator]()
  let ended = false
  return {
    isTerminal: false,
    async read() {
      while (!ended) {
        const next = await abortable(Promise.resolve(iterator.next()), signal)
        if (next.done) ended = true
        else if (!(next.value instanceof Uint8Array))
          throw new OsError('EINVAL', 'expected pieces of bytes (Uint8Array)')
        else if (next.value.byteLength > 0) return next.value
      }
      return NOTHING
    },
    async close() {
      if (ended) return
      ended = true
      // Not awaited: a source that never answers `next` does not answer this either. It is the caller's own.
      Promise.resolve(iterator.return?.()).catch(() => undefined)
    },
  }
}

/** Settles with `promise`, or rejects with ECANCELED as soon as `signal` aborts. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new OsError('ECANCELED', 'cancelled'))
    if (signal.aborted) onAbort()
    else signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}

/** A bounded pipe. States: open → ended (writer closed) or broken (reader closed). */
export function createPipe(capacity = PIPE_BYTES): { reader: ByteReader; writer: ByteWriter } {
  const queue: Uint8Array[] = []
  let size = 0
  let ended = false
  let broken = false
  let wake: (() => void)[] = []
  const changed = () => {
    const waiting = wake
    wake = []
    for (const resume of waiting) resume()
  }
  const nextChange = () => new Promise<void>((resolve) => wake.push(resolve))
  const reader: ByteReader = {
    isTerminal: false,
    async read() {
      while (queue.length === 0 && !ended && !broken) await nextChange()
      const piece = queue.shift()
      if (!piece) return NOTHING
      size -= piece.byteLength
      changed()
      return piece
    },
    async close() {
      broken = true
      queue.length = 0
      size = 0
      changed()
    },
  }
  const writer: ByteWriter = {
    isTerminal: false,
    async write(bytes) {
      if (bytes.byteLength === 0) return
      while (size >= capacity && !broken) await nextChange()
      if (broken || ended) throw new OsError('EPIPE', 'the reader of the pipe has gone')
      queue.push(bytes.slice()) // the writer may reuse its buffer
      size += bytes.byteLength
      changed()
    },
    async close() {
      ended = true
      changed()
    },
  }
  return { reader, writer }
}

/** Joins small writes: a program that prints a line at a time costs one write per `FILE_BUFFER_BYTES`. */
export function bufferedWriter(target: ByteWriter, capacity = FILE_BUFFER_BYTES): ByteWriter {
  let parts: Uint8Array[] = []
  let size = 0
  const flush = async () => {
    const bytes: Bytes = concat(parts)
    parts = []
    size = 0
    if (bytes.byteLength > 0) await target.write(bytes)
  }
  return {
    isTerminal: target.isTerminal,
    async write(bytes) {
      parts.push(bytes.slice())
      size += bytes.byteLength
      if (size >= capacity) await flush()
    },
    async close() {
      await flush()
      await target.close()
    },
  }
}
