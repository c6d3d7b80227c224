// Files for people who know node:fs/promises: the same names and errors, over the syscalls. Used by the page
// (`os.fs`), by the shell and inside tasks.
import { type Bytes, concat, fromUtf8, utf8 } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'
import type { CallOptions, SyscallClient } from './client.ts'
import { MAX_IO_BYTES } from './limits.ts'
import type { CallArgs, CallResults } from './table.ts'
import type { Ack, DirectoryEntry, FileInfo, OpenMode } from './types.ts'

/** Reads and writes are cut into pieces of this size: one block, so that a read touches one block. */
const IO_BYTES = Math.min(1024 * 1024, MAX_IO_BYTES)

/** Pieces that are given before the first of them is written: the other side is not kept waiting for the next. */
const WRITE_AHEAD = 2

export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>

/** The bits of a mode that tell the kind, as in POSIX. */
const KIND_BITS = { file: 0o100000, directory: 0o040000, symlink: 0o120000, stream: 0o010000 } as const

/** As node's; what the tree does not know is 0, and all times are that of the last change. */
export class Stats {
  readonly info: FileInfo
  dev = 0
  ino = 0
  nlink = 1
  uid = 0
  gid = 0
  size: number
  /** Kind and permissions. */
  mode: number
  mtimeMs: number
  ctimeMs: number
  atimeMs: number
  birthtimeMs: number

  constructor(info: FileInfo) {
    const { kind, mode, size, mtimeMs } = info
    this.info = info
    this.size = size
    this.mode = KIND_BITS[kind] | mode
    this.mtimeMs = this.ctimeMs = this.atimeMs = this.birthtimeMs = mtimeMs
  }
  get mtime(): Date {
    return new Date(this.mtimeMs)
  }
  get ctime(): Date {
    return new Date(this.ctimeMs)
  }
  get atime(): Date {
    return new Date(this.atimeMs)
  }
  get birthtime(): Date {
    return new Date(this.birthtimeMs)
  }
  get kid(): string | undefined {
    return this.info.kid
  }
  isFile(): boolean {
    return this.info.kind === 'file'
  }
  isDirectory(): boolean {
    return this.info.kind === 'directory'
  }
  isSymbolicLink(): boolean {
    return this.info.kind === 'symlink'
  }
}

export interface Dirent extends DirectoryEntry {
  parentPath: string
  isFile(): boolean
  isDirectory(): boolean
  isSymbolicLink(): boolean
}

class Listed implements Dirent {
  name: string
  kind: DirectoryEntry['kind']
  size: number
  mtimeMs: number
  mode: number
  parentPath: string

  constructor({ name, kind, size, mtimeMs, mode }: DirectoryEntry, parentPath: string) {
    this.name = name
    this.kind = kind
    this.size = size
    this.mtimeMs = mtimeMs
    this.mode = mode
    this.parentPath = parentPath
  }
  isFile(): boolean {
    return this.kind === 'file'
  }
  isDirectory(): boolean {
    return this.kind === 'directory'
  }
  isSymbolicLink(): boolean {
    return this.kind === 'symlink'
  }
}

export class FileHandle {
  readonly #client: SyscallClient
  readonly ref: number
  readonly size: number
  #closed = false

  constructor(client: SyscallClient, opened: CallResults['open']) {
    this.#client = client
    this.ref = opened.ref
    this.size = opened.size
  }

  /** Up to `length` bytes at `offset`; empty at the end of the file. */
  async read(offset: number, length: number, options?: CallOptions): Promise<Uint8Array> {
    if (typeof offset !== 'number') {
      throw new OsError('EINVAL', 'read(offset, length) gives the bytes: it fills no buffer, as that of node does')
    }
    const args = { ref: this.ref, offset, length: Math.min(length, MAX_IO_BYTES) }
    return (await this.#client.call('read', args, options)).bytes
  }

  /** @param options `position`: where in the file; behind what is there unless told, and in modes that append. */
  write(bytes: Uint8Array, options?: CallOptions & { position?: number }): Promise<void>
  /** As in node: `length` bytes from `offset` on, to a position of the file; behind what is there unless told. */
  write(bytes: Uint8Array, offset: number, length?: number, position?: number | null): Promise<void>
  async write(
    buffer: Uint8Array,
    given: number | (CallOptions & { position?: number }) = {},
    length?: number,
    place?: number | null,
  ): Promise<void> {
    const bytes =
      typeof given === 'number' ? buffer.subarray(given, length === undefined ? undefined : given + length) : buffer
    const options = typeof given === 'number' ? {} : given
    const position = (typeof given === 'number' ? place : given.position) ?? undefined
    for (let at = 0; at < bytes.byteLength || at === 0; at += IO_BYTES) {
      const offset = position === undefined ? {} : { offset: position + at }
      await this.#client.call('write', { ref: this.ref, bytes: bytes.subarray(at, at + IO_BYTES), ...offset }, options)
    }
  }

  /** Cuts the file, or fills it up with zeros. */
  async truncate(size = 0, options?: CallOptions): Promise<void> {
    await this.#client.call('write', { ref: this.ref, size }, options)
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

export type WriteOptions = CallOptions & { ack?: Ack['level'] }

export class FileSystem {
  readonly #client: SyscallClient
  constructor(client: SyscallClient) {
    this.#client = client
  }

  /** @param options `permissions` of a file that is made by it; 0o644 unless told. */
  async open(
    path: string,
    mode: OpenMode = 'r',
    options: CallOptions & { permissions?: number | undefined } = {},
  ): Promise<FileHandle> {
    const { permissions } = options
    const args = { path, mode, ...(permissions === undefined ? {} : { permissions }) }
    return new FileHandle(this.#client, await this.#client.call('open', args, options))
  }

  /** The content in pieces of at most 1 MiB, from `start` up to (not including) `end`; the next is on its way already. */
  async *read(path: string, options: CallOptions & { start?: number; end?: number } = {}): AsyncGenerator<Uint8Array> {
    const handle = await this.open(path, 'r', options)
    try {
      let at = options.start ?? 0
      const end = options.end ?? Number.MAX_SAFE_INTEGER
      let ahead: Promise<Uint8Array> | undefined
      while (at < end) {
        const piece = await (ahead ?? handle.read(at, Math.min(IO_BYTES, end - at), options))
        if (piece.byteLength === 0) return
        at += piece.byteLength
        // Of a stream, nobody knows whether there is more.
        ahead = at < Math.min(end, handle.size) ? handle.read(at, Math.min(IO_BYTES, end - at), options) : undefined
        ahead?.catch(() => undefined) // thrown when its turn comes, unless the reader has enough
        yield piece
      }
    } finally {
      await handle.close({ discard: true })
    }
  }

  readFile(
    path: string,
    options: 'utf8' | 'utf-8' | { encoding: 'utf8' | 'utf-8'; signal?: AbortSignal },
  ): Promise<string>
  readFile(path: string, options?: CallOptions): Promise<Bytes>
  async readFile(
    path: string,
    options: 'utf8' | 'utf-8' | (CallOptions & { encoding?: 'utf8' | 'utf-8' }) = {},
  ): Promise<string | Bytes> {
    const { encoding, signal } = typeof options === 'string' ? { encoding: options, signal: undefined } : options
    const parts: Uint8Array[] = []
    for await (const part of this.read(path, { signal })) parts.push(part)
    const bytes = concat(parts)
    return encoding ? fromUtf8(bytes) : bytes
  }

  /** @param options `ack`: how safe the file has to be: see `FileHandle.close`. @returns how safe it is, and its KID. */
  writeFile(path: string, content: FileContent, options?: WriteOptions & { flag?: OpenMode; mode?: number }) {
    return this.#write(path, content, options?.flag ?? 'w', options)
  }

  appendFile(path: string, content: FileContent, options?: WriteOptions) {
    return this.#write(path, content, 'a', options)
  }

  async #write(path: string, content: FileContent, flag: OpenMode, options: WriteOptions & { mode?: number } = {}) {
    const handle = await this.open(path, flag, { signal: options.signal, permissions: options.mode })
    try {
      if (typeof content === 'string') await handle.write(utf8(content), options)
      else if (content instanceof Uint8Array) await handle.write(content, options)
      else await writePieces(handle, content, options)
      return await handle.close(options)
    } catch (error) {
      await handle.close({ discard: true })
      throw error
    }
  }

  async stat(path: string, options?: CallOptions): Promise<Stats> {
    return new Stats(await this.#client.info('path', path, options))
  }

  /** The same about a symbolic link itself. */
  async lstat(path: string, options?: CallOptions): Promise<Stats> {
    const info = await this.#client.call('info', { topic: 'path', path, follow: false }, options)
    return new Stats(info as FileInfo)
  }

  /** True when the path resolves; other failures than ENOENT and ENOTDIR still throw. */
  async exists(path: string, options?: CallOptions): Promise<boolean> {
    try {
      await this.stat(path, options)
      return true
    } catch (error) {
      if (error instanceof OsError && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return false
      throw error
    }
  }

  readdir(path: string, options: CallOptions & { withFileTypes: true }): Promise<Dirent[]>
  readdir(path: string, options?: CallOptions): Promise<string[]>
  async readdir(path: string, options: CallOptions & { withFileTypes?: boolean } = {}): Promise<string[] | Dirent[]> {
    const rows: Dirent[] = []
    for await (const row of this.opendir(path, options)) rows.push(row)
    return options.withFileTypes ? rows : rows.map((row) => row.name)
  }

  /**
   * What is in a directory, sorted by name, a piece at a time; the next is on its way already.
   * @throws {OsError} with the first entry: ENOENT, ENOTDIR, EACCES.
   */
  async *opendir(path: string, options?: CallOptions): AsyncGenerator<Dirent> {
    const pageAfter = (after?: string) =>
      this.#client.call('list', { path, ...(after === undefined ? {} : { after }) }, options)
    let ahead: Promise<CallResults['list']> | undefined = pageAfter()
    while (ahead) {
      const { entries, more }: CallResults['list'] = await ahead
      ahead = more ? pageAfter(entries.at(-1)?.name) : undefined
      ahead?.catch(() => undefined) // thrown when its turn comes, unless the reader has enough
      for (const entry of entries) yield new Listed(entry, path)
    }
  }

  async mkdir(path: string, options: CallOptions & { recursive?: boolean; mode?: number } = {}): Promise<void> {
    const { recursive = false, mode } = options
    await this.#change({ op: 'mkdir', path, recursive, ...(mode === undefined ? {} : { mode }) }, options)
  }

  async rm(path: string, options: CallOptions & { recursive?: boolean; force?: boolean } = {}): Promise<void> {
    try {
      await this.#change({ op: 'remove', path, recursive: options.recursive ?? false }, options)
    } catch (error) {
      if (!(options.force && error instanceof OsError && error.code === 'ENOENT')) throw error
    }
  }

  /** @throws {OsError} EISDIR for a directory. */
  async unlink(path: string, options?: CallOptions): Promise<void> {
    if ((await this.lstat(path, options)).isDirectory()) throw new OsError('EISDIR', `${path} is a directory`)
    await this.#change({ op: 'remove', path }, options)
  }

  /** @throws {OsError} ENOTDIR for what is no directory, ENOTEMPTY. */
  async rmdir(path: string, options?: CallOptions): Promise<void> {
    if (!(await this.lstat(path, options)).isDirectory()) throw new OsError('ENOTDIR', `${path} is not a directory`)
    await this.#change({ op: 'remove', path }, options)
  }

  async rename(from: string, to: string, options?: CallOptions): Promise<void> {
    await this.#change({ op: 'move', from, to }, options)
  }

  /** Another name for a path, which need not exist; a relative one leads from the link's own directory. */
  async symlink(target: string, path: string, options?: CallOptions): Promise<void> {
    await this.#change({ op: 'symlink', path, target }, options)
  }

  /** @throws {OsError} EINVAL for what is no symbolic link. */
  async readlink(path: string, options?: CallOptions): Promise<string> {
    const { target } = (await this.lstat(path, options)).info
    if (target === undefined) throw new OsError('EINVAL', `${path} is not a symbolic link`)
    return target
  }

  /** The path with all symbolic links followed. */
  async realpath(path: string, options?: CallOptions): Promise<string> {
    return (await this.stat(path, options)).info.path
  }

  /** @param mode permission bits. */
  async chmod(path: string, mode: number, options?: CallOptions): Promise<void> {
    await this.#change({ op: 'set', path, mode: mode & 0o7777 }, options)
  }

  /** Sets the time of the last change; there is no time of the last access. @param mtime seconds, or a Date. */
  async utimes(path: string, _atime: number | Date, mtime: number | Date, options?: CallOptions): Promise<void> {
    const ms = typeof mtime === 'number' ? mtime * 1000 : mtime.getTime()
    await this.#change({ op: 'set', path, mtimeMs: Math.max(0, Math.round(ms)) }, options)
  }

  /** Cuts a file, or fills it up with zeros. */
  async truncate(path: string, size = 0, options?: CallOptions): Promise<void> {
    const handle = await this.open(path, 'r+', options)
    try {
      await handle.truncate(size, options)
      await handle.close(options)
    } catch (error) {
      await handle.close({ discard: true })
      throw error
    }
  }

  /**
   * What happens to a path and in it, from now on: as node's, `rename` for what comes, goes or is another kind of thing,
   * `change` for the rest; `filename` is relative to the path, and null when too much has happened at once to be told.
   * @param options `recursive`: also in directories below. Ends with `signal`, by throwing its reason.
   */
  async *watch(
    path: string,
    options: CallOptions & { recursive?: boolean } = {},
  ): AsyncGenerator<{ eventType: 'rename' | 'change'; filename: string | null }> {
    const { recursive = false } = options
    let since: string | undefined
    for (;;) {
      const args = { for: 'changes' as const, path, recursive, ...(since === undefined ? {} : { since }) }
      const { version, changes = [], more } = await this.#client.call('wait', args, options)
      since = version
      for (const { what, path: filename } of changes)
        yield { eventType: what === 'changed' ? 'change' : 'rename', filename }
      if (more) yield { eventType: 'change', filename: null }
    }
  }

  /**
   * A copy of a file, or of a whole directory. Within the tree it shares the content with the original: it costs nothing,
   * whatever its size.
   * @param options `exclusive`: EEXIST when something is there.
   */
  async cp(from: string, to: string, options: CallOptions & { exclusive?: boolean } = {}): Promise<void> {
    try {
      await this.#change({ op: 'copy', from, to, ...(options.exclusive ? { exclusive: true } : {}) }, options)
    } catch (error) {
      if (!(error instanceof OsError && error.code === 'EXDEV')) throw error
      await this.#write(to, this.read(from, options), options.exclusive ? 'wx' : 'w', options)
    }
  }

  async copyFile(from: string, to: string, options: CallOptions & { exclusive?: boolean } = {}): Promise<void> {
    const { info } = await this.stat(from, options)
    if (info.kind === 'directory') throw new OsError('EISDIR', `${from} is a directory`)
    await this.cp(info.path, to, options)
  }

  async #change(args: CallArgs<'change'>, options?: CallOptions): Promise<void> {
    await this.#client.call('change', args, options)
  }
}

/** The next piece is made while one is being written. */
async function writePieces(
  handle: FileHandle,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: CallOptions,
): Promise<void> {
  const under: Promise<void>[] = []
  for await (const piece of content) {
    if (under.length === WRITE_AHEAD) await under.shift()
    const writing = handle.write(piece, options)
    writing.catch(() => undefined) // thrown when its turn comes
    under.push(writing)
    // Longer ones are posted part by part, and whoever made them may reuse their memory.
    if (piece.byteLength > IO_BYTES) await writing
  }
  for (const writing of under) await writing
}
