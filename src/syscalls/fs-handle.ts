// An open file, as node:fs/promises has it: what is read and written without a position goes on where the one before it
// has ended. Above: fs.ts. Below: client.ts. The kernel keeps no position: every call tells it where.
import { type Bytes, concat } from '../base/bytes.ts'
import { isOsError, OsError } from '../base/errors.ts'
import { notThis } from './arguments.ts'
import type { CallOptions, SyscallClient } from './client.ts'
import { bytesOf, type Content, type Encoding, textOf } from './encodings.ts'
import { Stats } from './fs-entries.ts'
import { MAX_IO_BYTES } from './limits.ts'
import type { CallResults } from './table.ts'
import type { Ack, FileInfo, OpenMode } from './types.ts'

/** Reads and writes are cut into pieces of this size: one block, so that a read touches one block. */
const IO_BYTES = Math.min(1024 * 1024, MAX_IO_BYTES)

/** Pieces that are given before the first of them is written: the other side is not kept waiting for the next. */
const WRITE_AHEAD = 2

/** What node makes for whoever reads without a buffer. */
const READ_BYTES = 16_384

/** What a new file may be, unless told: as the kernel's. */
const FILE_MODE = 0o644

type Pieces = AsyncIterable<Content> | Iterable<Content>
export type FileContent = Content | Pieces

/** What is to be given as text is decoded. */
export type ReadOptions = CallOptions & { encoding?: Encoding | null | undefined }

/** Where in the buffer, and where in the file: at the handle's position, which then moves, unless told. */
interface Part {
  offset?: number | null | undefined
  length?: number | null | undefined
  position?: number | null | undefined
}
export type ReadInto<T> = CallOptions & Part & { buffer?: T | undefined }
export type WriteFrom = CallOptions & Part & { encoding?: Encoding | null | undefined }

export interface BytesRead<T> {
  bytesRead: number
  buffer: T
}
export interface BytesWritten<T> {
  bytesWritten: number
  buffer: T
}

export interface OpenedAs {
  path: string
  mode: OpenMode
  permissions?: number | undefined
}

export class FileHandle {
  readonly #client: SyscallClient
  readonly #as: OpenedAs
  readonly #kind: FileInfo['kind']
  readonly ref: number
  #size: number
  /** Where the next read or write without a position begins. */
  #position = 0
  #closed = false

  constructor(client: SyscallClient, opened: CallResults['open'], as: OpenedAs) {
    this.#client = client
    this.#as = as
    this.#kind = opened.kind
    this.ref = opened.ref
    this.#size = opened.size
  }

  /** When it was opened, and after what was written since. */
  get size(): number {
    return this.#size
  }

  /** Up to `length` bytes at `offset`, which need no buffer; empty at the end of the file. The position stays. */
  read(offset: number, length: number, options?: CallOptions): Promise<Uint8Array>
  /** As in node: fills the buffer, or `length` bytes from its `offset` on; less at the end of the file. */
  read<T extends ArrayBufferView>(
    buffer: T,
    offset?: number | null,
    length?: number | null,
    position?: number | null,
  ): Promise<BytesRead<T>>
  read<T extends ArrayBufferView>(buffer: T, options?: CallOptions & Part): Promise<BytesRead<T>>
  read<T extends ArrayBufferView = Bytes>(options?: ReadInto<T>): Promise<BytesRead<T>>
  async read(
    first: number | ArrayBufferView | ReadInto<ArrayBufferView> = {},
    second?: number | null | (CallOptions & Part),
    third?: number | null | CallOptions,
    position?: number | null,
  ): Promise<Uint8Array | BytesRead<ArrayBufferView>> {
    if (typeof first === 'number') return this.#read(first, second as number, third as CallOptions | undefined)
    const given: ReadInto<ArrayBufferView> = ArrayBuffer.isView(first)
      ? { ...partOf<CallOptions & Part>(second, third as number | null | undefined, position), buffer: first }
      : first
    const { buffer = new Uint8Array(READ_BYTES) } = given
    const target = within(bytesOf(buffer, undefined), given)
    const start = given.position ?? this.#position
    let filled = 0
    while (filled < target.byteLength) {
      const asked = Math.min(target.byteLength - filled, MAX_IO_BYTES)
      const bytes = await this.#read(start + filled, asked, given)
      target.set(bytes, filled)
      filled += bytes.byteLength
      if (bytes.byteLength < asked) break // it is the end, or all that a stream has by now
    }
    this.#moved(given, start + filled)
    return { bytesRead: filled, buffer }
  }

  /** @param until up to where (not including) it will be read from there. */
  async #read(offset: number, length: number, options?: CallOptions, until?: number): Promise<Uint8Array> {
    const args = { ref: this.ref, offset, length: Math.min(length, MAX_IO_BYTES), until }
    return (await this.#client.call('read', args, options)).bytes
  }

  /** The content in pieces of at most 1 MiB, from `start` up to (not including) `end`; the next is on its way already. */
  async *pieces(options: CallOptions & { start?: number; end?: number } = {}): AsyncGenerator<Uint8Array> {
    let at = options.start ?? 0
    const end = options.end ?? Number.MAX_SAFE_INTEGER
    let ahead: Promise<Uint8Array> | undefined
    const next = () => this.#read(at, Math.min(IO_BYTES, end - at), options, end)
    while (at < end) {
      const piece = await (ahead ?? next())
      if (piece.byteLength === 0) return
      at += piece.byteLength
      // Of a stream, nobody knows whether there is more.
      ahead = at < Math.min(end, this.#size) ? next() : undefined
      ahead?.catch(() => undefined) // thrown when its turn comes, unless the reader has enough
      yield piece
    }
  }

  /** From the position to the end. @throws {OsError} EINVAL for an encoding that is not known. */
  readFile(options: Encoding | (ReadOptions & { encoding: Encoding })): Promise<string>
  readFile(options?: ReadOptions & { encoding?: null | undefined }): Promise<Bytes>
  readFile(options?: Encoding | ReadOptions | null): Promise<string | Bytes>
  async readFile(given?: Encoding | ReadOptions | null): Promise<string | Bytes> {
    const { encoding, signal } = optionsOf<ReadOptions>(given)
    const parts: Uint8Array[] = []
    for await (const part of this.pieces({ signal, start: this.#position })) {
      this.#position += part.byteLength
      parts.push(part)
    }
    const bytes = concat(parts)
    return encoding ? textOf(bytes, encoding) : bytes
  }

  /**
   * Writes at the position, which moves; in modes that append, behind what is there.
   * @param options `position`: where in the file instead; `offset` and `length`: which of the bytes.
   * @throws {OsError} EINVAL for what is neither text nor bytes.
   */
  write<T extends Content>(content: T, options?: WriteFrom): Promise<BytesWritten<T>>
  write(text: string, position?: number | null, encoding?: Encoding | null): Promise<BytesWritten<string>>
  write<T extends Exclude<Content, string>>(
    bytes: T,
    offset?: number | null,
    length?: number | null,
    position?: number | null,
  ): Promise<BytesWritten<T>>
  async write(
    content: Content,
    second?: WriteFrom | number | null,
    third?: number | Encoding | null,
    fourth?: number | null,
  ): Promise<BytesWritten<Content>> {
    const given: WriteFrom =
      typeof content === 'string' && (typeof second !== 'object' || second === null)
        ? { position: second, encoding: third as Encoding | null | undefined }
        : partOf<WriteFrom>(second, third as number | null | undefined, fourth)
    const bytes = within(bytesOf(content, given.encoding), given)
    const appends = this.#as.mode.startsWith('a')
    const start = given.position ?? this.#position
    // Before the answer: the next may be written without awaiting it. (What is open for reading refuses it.)
    if (this.#as.mode !== 'r') this.#moved(given, start + bytes.byteLength)
    for (let at = 0; at < bytes.byteLength || at === 0; at += IO_BYTES) {
      const offset = appends ? {} : { offset: start + at }
      const args = { ref: this.ref, bytes: bytes.subarray(at, at + IO_BYTES), ...offset }
      this.#size = (await this.#client.call('write', args, given)).size
    }
    if (appends) this.#moved(given, this.#size)
    return { bytesWritten: bytes.byteLength, buffer: content }
  }

  /** Writes all of it, as `write` does without a position: nothing is cut off behind it. */
  async writeFile(content: FileContent, given?: Encoding | WriteFrom | null): Promise<void> {
    const options = optionsOf<WriteFrom>(given)
    if (isPieces(content)) await writePieces(this, content, options)
    else await this.write(content, options)
  }

  /** The same: where it is appended to, is a matter of the mode. */
  appendFile(content: FileContent, options?: Encoding | WriteFrom | null): Promise<void> {
    return this.writeFile(content, options)
  }

  /** Of the file at its path, but for the size; of one that is new, and not committed yet, the time is 0. */
  async stat(options?: CallOptions): Promise<Stats> {
    const { path, mode, permissions = FILE_MODE } = this.#as
    const isNew: FileInfo = { path, kind: this.#kind, size: 0, mtimeMs: 0, mode: permissions }
    const there = await this.#client.info('path', path, options).catch((error: unknown) => {
      if (mode.startsWith('r') || !isOsError(error, 'ENOENT')) throw error
      return isNew
    })
    return new Stats({ ...isNew, mode: there.mode, mtimeMs: there.mtimeMs, size: this.#size })
  }

  #moved({ position }: Part, to: number): void {
    if (position === undefined || position === null) this.#position = to
  }

  /** Cuts the file, or fills it up with zeros. The position stays. */
  async truncate(size = 0, options?: CallOptions): Promise<void> {
    if (!Number.isSafeInteger(size)) throw new OsError('EINVAL', `a size is a whole number of bytes${notThis(size)}`)
    this.#size = (await this.#client.call('write', { ref: this.ref, size }, options)).size
  }

  /** Commits what was written so far, and goes on. @param options `ack`: how safe it has to be. */
  sync(options: CallOptions & { ack?: Ack['level'] } = {}): Promise<CallResults['close']> {
    const { ack } = options
    return this.#client.call('close', { ref: this.ref, keep: true, ...(ack ? { ack } : {}) }, options)
  }

  /**
   * Commits what was written. Idempotent.
   * @param options `ack`: how safe it has to be.
   * @throws {OsError} ENOQUORUM when it cannot be, or has not become, as safe as that.
   */
  async close(options?: CallOptions & { discard?: boolean; ack?: Ack['level'] }): Promise<CallResults['close']> {
    if (this.#closed) return {}
    this.#closed = true
    const { discard = false, ack } = options ?? {}
    return this.#client.call('close', { ref: this.ref, discard, ...(ack ? { ack } : {}) }, options)
  }
}

/** An encoding may stand for options that name it. */
export function optionsOf<T>(given: string | T | null | undefined): T {
  return (typeof given === 'string' ? { encoding: given } : (given ?? {})) as T
}

function partOf<T extends Part>(
  given: T | number | null | undefined,
  length: number | null | undefined,
  position: number | null | undefined,
): T | Part {
  return typeof given === 'object' && given ? given : { offset: given, length, position }
}

/** @throws {OsError} EINVAL where the buffer is not as long. */
function within(bytes: Uint8Array, { offset, length }: Part): Uint8Array {
  const start = offset ?? 0
  const count = length ?? bytes.byteLength - start
  if (start >= 0 && count >= 0 && start + count <= bytes.byteLength) return bytes.subarray(start, start + count)
  const problem = `offset ${start} and length ${count} are not within a buffer of ${bytes.byteLength} bytes`
  throw new OsError('EINVAL', problem)
}

function isPieces(content: FileContent): content is Pieces {
  if (typeof content !== 'object' || content === null || ArrayBuffer.isView(content)) return false
  return Symbol.iterator in content || Symbol.asyncIterator in content
}

/** The next piece is made while one is being written. */
async function writePieces(handle: FileHandle, content: Pieces, options: WriteFrom): Promise<void> {
  const under: Promise<unknown>[] = []
  for await (const piece of content) {
    if (under.length === WRITE_AHEAD) await under.shift()
    const writing = handle.write(piece, options)
    writing.catch(() => undefined) // thrown when its turn comes
    under.push(writing)
    // Longer ones are posted part by part, and whoever made them may reuse their memory.
    if (typeof piece !== 'string' && piece.byteLength > IO_BYTES) await writing
  }
  for (const writing of under) await writing
}
