// Files for people who know node:fs/promises: the same names and errors, over the syscalls. Used by the page
// (`os.fs`), by the shell and inside tasks.
import type { Bytes } from '../base/bytes.ts'
import { isOsError, OsError } from '../base/errors.ts'
import { binderOf } from './bound.ts'
import type { CallOptions, SyscallClient } from './client.ts'
import type { Encoding } from './encodings.ts'
import { type Dirent, Listed, type Mode, permissionBits, Stats } from './fs-entries.ts'
import { telling } from './fs-errors.ts'
import { type FileContent, FileHandle, optionsOf, type ReadOptions } from './fs-handle.ts'
import type { CallArgs, CallResults } from './table.ts'
import type { Ack, FileInfo, OpenMode } from './types.ts'

export type { Dirent } from './fs-entries.ts'

/** `ack`: how safe the file has to be: see `FileHandle.close`. `mode`: of a file that is made by it. */
export type WriteOptions = CallOptions & { ack?: Ack['level']; encoding?: Encoding | null; mode?: Mode }

type ListOptions = CallOptions & { withFileTypes?: boolean; recursive?: boolean }
type CopyOptions = CallOptions & { exclusive?: boolean | undefined }

/** Names that are tried for a new directory: with more, it is not chance that they are taken. */
const MAX_NAME_TRIES = 30

export class FileSystem {
  readonly #client: SyscallClient
  /** Counts directories of `mkdtemp`. */
  #temporary = 0
  /** For `access` and `copyFile`. */
  readonly constants = { F_OK: 0, X_OK: 1, W_OK: 2, R_OK: 4, COPYFILE_EXCL: 1 } as const

  constructor(client: SyscallClient) {
    this.#client = client
    bindMethods(this)
  }

  /** @param given permissions of a file that is made by it, as in node or by name; 0o644 unless told. */
  async open(
    path: string,
    mode: OpenMode = 'r',
    given: Mode | (CallOptions & { permissions?: Mode | undefined }) | null = {},
  ): Promise<FileHandle> {
    const options = typeof given === 'object' ? (given ?? {}) : { permissions: given }
    const permissions = options.permissions === undefined ? undefined : permissionBits(options.permissions)
    const args = { path, mode, ...(permissions === undefined ? {} : { permissions }) }
    const opened = await telling(['open', path], () => this.#client.call('open', args, options))
    return new FileHandle(this.#client, opened, { path, mode, permissions })
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

  stat(path: string, options?: CallOptions): Promise<Stats> {
    return telling(['stat', path], async () => new Stats(await this.#info(path, options)))
  }

  /** The same about a symbolic link itself. */
  lstat(path: string, options?: CallOptions): Promise<Stats> {
    return telling(['lstat', path], async () => new Stats(await this.#info(path, options, false)))
  }

  /**
   * Resolves when the path does and its owner may do that with it, whether it counts here or not.
   * @param mode bits of `constants`.
   * @throws {OsError} ENOENT, ENOTDIR, EACCES.
   */
  access(path: string, mode = 0, options?: CallOptions): Promise<void> {
    return telling(['access', path], async () => {
      const { mode: allowed } = await this.#info(path, options)
      if (((allowed >> 6) & mode) !== mode) throw new OsError('EACCES', `the mode of ${path} is ${allowed.toString(8)}`)
    })
  }

  /** True when the path resolves; other failures than ENOENT and ENOTDIR still throw. */
  async exists(path: string, options?: CallOptions): Promise<boolean> {
    try {
      await this.stat(path, options)
      return true
    } catch (error) {
      if (isOsError(error, 'ENOENT') || isOsError(error, 'ENOTDIR')) return false
      throw error
    }
  }

  /** @param options `recursive`: with all that is below, by names relative to the path; links are not followed. */
  readdir(path: string, options: ListOptions & { withFileTypes: true }): Promise<Dirent[]>
  readdir(path: string, options?: (ListOptions & { withFileTypes?: false }) | 'utf8' | null): Promise<string[]>
  async readdir(path: string, given?: ListOptions | string | null): Promise<string[] | Dirent[]> {
    const { withFileTypes, recursive, ...options } = optionsOf<ListOptions>(given)
    const rows: Dirent[] = []
    const names: string[] = []
    const directories = ['']
    for (const below of directories) {
      for await (const row of this.opendir(below ? inside(path, below) : path, options)) {
        const name = below ? `${below}/${row.name}` : row.name
        rows.push(row)
        names.push(name)
        if (recursive && row.isDirectory()) directories.push(name)
      }
    }
    return withFileTypes ? rows : names
  }

  /**
   * What is in a directory, sorted by name, a piece at a time; the next is on its way already.
   * @throws {OsError} with the first entry: ENOENT, ENOTDIR, EACCES.
   */
  async *opendir(path: string, options?: CallOptions): AsyncGenerator<Dirent> {
    const pageAfter = (after?: string) =>
      telling(['scandir', path], () =>
        this.#client.call('list', { path, ...(after === undefined ? {} : { after }) }, options),
      )
    let ahead: Promise<CallResults['list']> | undefined = pageAfter()
    while (ahead) {
      const { entries, more }: CallResults['list'] = await ahead
      ahead = more ? pageAfter(entries.at(-1)?.name) : undefined
      ahead?.catch(() => undefined) // thrown when its turn comes, unless the reader has enough
      for (const entry of entries) yield new Listed(entry, path)
    }
  }

  /** @param given permissions, or options: `mode` is that of the last directory alone; 0o755 unless told. */
  mkdir(path: string, given: Mode | (CallOptions & { recursive?: boolean; mode?: Mode }) | null = {}): Promise<void> {
    const options = typeof given === 'object' ? (given ?? {}) : { mode: given }
    const { recursive = false, mode } = options
    const permissions = mode === undefined ? {} : { mode: permissionBits(mode) }
    return telling(['mkdir', path], () => this.#change({ op: 'mkdir', path, recursive, ...permissions }, options))
  }

  /** A new directory for its maker alone. @returns its path: the prefix and six characters that nobody has used there. */
  mkdtemp(prefix: string, options?: CallOptions): Promise<string> {
    return telling(['mkdtemp', `${prefix}XXXXXX`], async () => {
      // A name that is taken is refused: the next try passes over as many as it has passed already.
      for (let number = this.#temporary++, tries = 1; ; number = 2 * number + 1, tries++) {
        const path = prefix + (number % 36 ** 6).toString(36).padStart(6, '0')
        try {
          await this.#change({ op: 'mkdir', path, mode: 0o700 }, options)
          return path
        } catch (error) {
          if (!isOsError(error, 'EEXIST') || tries === MAX_NAME_TRIES) throw error
        }
      }
    })
  }

  /** @throws {OsError} EISDIR for a directory, even an empty one, unless `recursive`. */
  async rm(path: string, options: CallOptions & { recursive?: boolean; force?: boolean } = {}): Promise<void> {
    const { recursive = false, force } = options
    try {
      await telling(['rm', path], () =>
        recursive ? this.#change({ op: 'remove', path, recursive }, options) : this.#unlink(path, options),
      )
    } catch (error) {
      if (!(force && isOsError(error, 'ENOENT'))) throw error
    }
  }

  /** @throws {OsError} EISDIR for a directory. */
  unlink(path: string, options?: CallOptions): Promise<void> {
    return telling(['unlink', path], () => this.#unlink(path, options))
  }

  async #unlink(path: string, options?: CallOptions): Promise<void> {
    if ((await this.#info(withoutSlash(path), options, false)).kind === 'directory') {
      throw new OsError('EISDIR', `${path} is a directory: rmdir it, or rm it with recursive`)
    }
    await this.#change({ op: 'remove', path }, options)
  }

  /** @throws {OsError} ENOTDIR for what is no directory, ENOTEMPTY. */
  rmdir(path: string, options?: CallOptions): Promise<void> {
    return telling(['rmdir', path], async () => {
      const { kind } = await this.#info(withoutSlash(path), options, false)
      if (kind !== 'directory') throw new OsError('ENOTDIR', `${path} is not a directory`)
      await this.#change({ op: 'remove', path }, options)
    })
  }

  rename(from: string, to: string, options?: CallOptions): Promise<void> {
    return telling(['rename', from, to], () => this.#change({ op: 'move', from, to }, options))
  }

  /** Another name for a path, which need not exist; a relative one leads from the link's own directory. */
  symlink(target: string, path: string, options?: CallOptions): Promise<void> {
    return telling(['symlink', target, path], () => this.#change({ op: 'symlink', path, target }, options))
  }

  /** @throws {OsError} EINVAL for what is no symbolic link. */
  readlink(path: string, options?: CallOptions): Promise<string> {
    return telling(['readlink', path], async () => {
      const { target } = await this.#info(path, options, false)
      if (target === undefined) throw new OsError('EINVAL', `${path} is not a symbolic link`)
      return target
    })
  }

  /** The path with all symbolic links followed. */
  realpath(path: string, options?: CallOptions): Promise<string> {
    return telling(['realpath', path], async () => (await this.#info(path, options)).path)
  }

  /** @param mode permission bits. */
  chmod(path: string, mode: Mode, options?: CallOptions): Promise<void> {
    return telling(['chmod', path], () => this.#change({ op: 'set', path, mode: permissionBits(mode) }, options))
  }

  /**
   * Sets the time of the last change; there is no time of the last access.
   * @param mtime seconds, or a Date.
   * @throws {OsError} EINVAL for a time before 1970.
   */
  utimes(path: string, _atime: number | Date, mtime: number | Date, options?: CallOptions): Promise<void> {
    return telling(['utime', path], () => {
      const mtimeMs = Math.round(mtime instanceof Date ? mtime.getTime() : mtime * 1000)
      if (mtimeMs >= 0) return this.#change({ op: 'set', path, mtimeMs: Math.abs(mtimeMs) }, options)
      throw new OsError('EINVAL', `${path}: times are kept from 1970 on, and ${mtime} is none of these`)
    })
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
      const {
        version,
        changes = [],
        more,
      } = await telling(['watch', path], () => this.#client.call('wait', args, options))
      since = version
      for (const { what, path: filename } of changes)
        yield { eventType: what === 'changed' ? 'change' : 'rename', filename }
      if (more) yield { eventType: 'change', filename: null }
    }
  }

  /**
   * A copy of a file, or of a whole directory. Within the tree it shares the content with the original: it costs nothing,
   * whatever its size.
   * @param options `exclusive`: EEXIST when something is there. `recursive`: into a directory that is there, what it has
   * stays unless something takes its place.
   * @throws {OsError} ENOTEMPTY for a directory over one that is not empty, unless `recursive`.
   */
  cp(from: string, to: string, options: CopyOptions & { recursive?: boolean } = {}): Promise<void> {
    return telling(['cp', from, to], () => this.#copy(from, to, options))
  }

  async #copy(from: string, to: string, options: CopyOptions & { recursive?: boolean }): Promise<void> {
    const { signal, exclusive = false } = options
    const whole = options.recursive && (await this.#info(from, { signal }, false)).kind === 'directory'
    if (whole && inside(to, '').startsWith(inside(from, ''))) {
      throw new OsError('EINVAL', `cannot copy ${from} into itself`)
    }
    const merged = whole && (await this.exists(to, { signal })) && (await this.lstat(to, { signal })).isDirectory()
    if (!merged) {
      try {
        return await this.#change({ op: 'copy', from, to, ...(exclusive ? { exclusive } : {}) }, options)
      } catch (error) {
        if (!isOsError(error, 'EXDEV')) throw error
      }
      if (!whole) return void (await this.#write(to, this.read(from, { signal }), exclusive ? 'wx' : 'w', options))
      await this.mkdir(to, { signal })
    }
    for (const name of await this.readdir(from, { signal })) {
      await this.cp(inside(from, name), inside(to, name), options)
    }
  }

  /** @param given as in node, where 1 means `exclusive`, or options. */
  copyFile(from: string, to: string, given: CopyOptions | number = {}): Promise<void> {
    const options = typeof given === 'number' ? { exclusive: (given & this.constants.COPYFILE_EXCL) > 0 } : given
    return telling(['copyfile', from, to], async () => {
      const { kind, path } = await this.#info(from, options)
      if (kind === 'directory') throw new OsError('EISDIR', `${from} is a directory`)
      await this.#copy(path, to, { ...options, recursive: false })
    })
  }

  async #info(path: string, options?: CallOptions, follow = true): Promise<FileInfo> {
    const args = { topic: 'path' as const, path, ...(follow ? {} : { follow }) }
    return (await this.#client.call('info', args, options)) as FileInfo
  }

  async #change(args: CallArgs<'change'>, options?: CallOptions): Promise<void> {
    await this.#client.call('change', args, options)
  }
}

const bindMethods = binderOf(FileSystem)

/** The name itself, also that of a link which a slash would follow. */
function withoutSlash(path: string): string {
  return path.replace(/(?<=.)\/+$/, '')
}

function inside(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`
}
