// Files for people who know node:fs/promises: the same names and errors, over the syscalls. Used by the page
// (`os.fs`), by the shell and inside tasks.
import type { Bytes } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'
import type { CallOptions, SyscallClient } from './client.ts'
import type { Encoding } from './encodings.ts'
import { type Dirent, Listed, Stats } from './fs-entries.ts'
import { type FileContent, FileHandle, optionsOf, type ReadOptions } from './fs-handle.ts'
import type { CallArgs, CallResults } from './table.ts'
import type { Ack, FileInfo, OpenMode } from './types.ts'

export type { Dirent } from './fs-entries.ts'

/** `ack`: how safe the file has to be: see `FileHandle.close`. `mode`: of a file that is made by it. */
export type WriteOptions = CallOptions & { ack?: Ack['level']; encoding?: Encoding | null; mode?: number }

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
    return new FileHandle(this.#client, await this.#client.call('open', args, options), { path, mode, permissions })
  }

  /** The content in pieces of at most 1 MiB, from `start` up to (not including) `end`; the next is on its way already. */
  async *read(path: string, options: CallOptions & { start?: number; end?: number } = {}): AsyncGenerator<Uint8Array> {
    const handle = await this.open(path, 'r', options)
    try {
      yield* handle.pieces(options)
    } finally {
      await handle.close({ discard: true })
    }
  }

  /** @throws {OsError} EINVAL for an encoding that is not known. */
  readFile(path: string, options: Encoding | (ReadOptions & { encoding: Encoding })): Promise<string>
  readFile(path: string, options?: (ReadOptions & { encoding?: null | undefined }) | null): Promise<Bytes>
  async readFile(path: string, given?: Encoding | ReadOptions | null): Promise<string | Bytes> {
    const handle = await this.open(path, 'r', { signal: optionsOf<ReadOptions>(given).signal })
    try {
      return await handle.readFile(given)
    } finally {
      await handle.close({ discard: true })
    }
  }

  /** @returns how safe it is, and its KID. @throws {OsError} EINVAL for what is neither text, nor bytes, nor pieces of them. */
  writeFile(path: string, content: FileContent, given?: Encoding | (WriteOptions & { flag?: OpenMode }) | null) {
    const options = optionsOf<WriteOptions & { flag?: OpenMode }>(given)
    return this.#write(path, content, options.flag ?? 'w', options)
  }

  appendFile(path: string, content: FileContent, given?: Encoding | WriteOptions | null) {
    return this.#write(path, content, 'a', optionsOf<WriteOptions>(given))
  }

  async #write(path: string, content: FileContent, flag: OpenMode, options: WriteOptions) {
    const handle = await this.open(path, flag, { signal: options.signal, permissions: options.mode })
    try {
      await handle.writeFile(content, options)
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
