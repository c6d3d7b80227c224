// What a slash behind a path asks for, or a dot behind the last slash: a directory. The tree knows names only, so that it is looked
// at before. Above: dispatch.ts. Below: fs.ts.
import { isOsError, OsError } from '../../base/errors.ts'
import type { FileChange } from '../../syscalls/table.ts'
import type { FileInfo, OpenMode } from '../../syscalls/types.ts'
import { askedBy } from './commits.ts'
import type { Fs, FsContext } from './fs.ts'
import { joinPath, splitPath } from './path.ts'

type TwoPaths = Extract<FileChange, { from: string }>

export class Paths {
  readonly #fs: Fs
  /** Where relative ones lead from; without it there are none. */
  readonly #cwd: string | undefined

  constructor(fs: Fs, cwd?: string) {
    this.#fs = fs
    this.#cwd = cwd
  }

  /** @throws {OsError} as splitPath does. */
  absolute(path: string): string {
    return joinPath(splitPath(path.startsWith('/') || this.#cwd === undefined ? path : `${this.#cwd}/${path}`))
  }

  /** Of what is looked at. @throws {OsError} ENOTDIR, ENOENT. */
  async seen(path: string, context: FsContext): Promise<string> {
    if (asksForDirectory(path)) await this.#directory(path, context)
    return this.absolute(path)
  }

  /** Of a link that is named as a directory: what it leads to. @throws {OsError} ENOTDIR, and as `Fs.stat`. */
  async stat({ path, follow = true }: { path: string; follow?: boolean }, context: FsContext): Promise<FileInfo> {
    const info = await this.#fs.stat(this.absolute(path), context, follow || asksForDirectory(path))
    if (info.kind !== 'directory' && asksForDirectory(path)) throw notDirectory(path)
    return info
  }

  /** @throws {OsError} ENOTDIR, ENOENT; EISDIR where a file would be made. */
  async opened(path: string, mode: OpenMode, context: FsContext): Promise<string> {
    if (!asksForDirectory(path)) return this.absolute(path)
    if (askedBy(mode).creates && !endsInDot(path)) {
      throw new OsError('EISDIR', `${path} is the name of a directory`)
    }
    return this.seen(path, context)
  }

  /** @throws {OsError} ENOTDIR, ENOENT; EINVAL and EBUSY for the name `.`, which no directory can lose. */
  async changed<T extends FileChange>(change: T, context: FsContext): Promise<T> {
    if ('from' in change)
      return { ...change, ...(await this.#two(change, context)), ...(await this.#others(change, context)) }
    const paths = [change.path, ...('also' in change ? (change.also ?? []) : [])]
    for (const path of paths.filter(asksForDirectory)) {
      if (change.op === 'mkdir' && change.recursive) await this.#madeWithParents(path, context)
      else await this.#one(change.op, path, context)
    }
    const [path, ...also] = paths.map((each) => this.absolute(each))
    return { ...change, path, ...(also.length > 0 ? { also } : {}) }
  }

  async #one(op: FileChange['op'], path: string, context: FsContext): Promise<void> {
    if (endsInDot(path)) await this.#directory(path, context)
    // What is to be made is not there: only the way to it has to be.
    else if (op === 'symlink') await this.#nameFor(path, context)
    else if (op === 'remove') await this.#directory(path, context, false)
    else if (op !== 'mkdir' && op !== 'mount') await this.#directory(path, context)
    if (op === 'remove' && endsInDot(path)) throw new OsError('EINVAL', `${path} is no name of a directory`)
  }

  /** What is moved with the first. */
  async #others(change: TwoPaths, context: FsContext) {
    if (change.op !== 'move' || !change.also) return {}
    const also = []
    for (const { from, to } of change.also) also.push(await this.#two({ op: 'move', from, to }, context))
    return { also }
  }

  async #two({ op, from, to }: TwoPaths, context: FsContext) {
    for (const path of [from, to]) if (endsInDot(path)) await this.#directory(path, context)
    if (op === 'move') {
      if (endsInDot(from) || endsInDot(to)) throw new OsError('EBUSY', 'the name . cannot be given or taken away')
    }
    const source = asksForDirectory(from) ? await this.#directory(from, context, op !== 'move') : this.absolute(from)
    if (asksForDirectory(to)) await this.#target({ op, from: source, to }, context)
    return { from: source, to: this.absolute(to) }
  }

  /** A new name with a slash behind it may be given to a directory. @throws {OsError} EISDIR where a file would be made. */
  async #target({ op, from, to }: TwoPaths, context: FsContext): Promise<void> {
    const directory = op === 'import' || (await this.#kindOf(from, context, false)) === 'directory'
    if (op === 'copy' && !directory) throw new OsError('EISDIR', `${to} is the name of a directory`)
    const there = await this.#kindOf(to, context, op !== 'move')
    if (!directory || (there !== undefined && there !== 'directory')) throw notDirectory(to)
  }

  /** @throws {OsError} ENOTDIR. */
  async #madeWithParents(path: string, context: FsContext): Promise<void> {
    const there = await this.#kindOf(path, context, true)
    if (there !== undefined && there !== 'directory') throw notDirectory(path)
  }

  /** Where something is, making the link says so. @throws {OsError} ENOENT: a link has no slash behind its name. */
  async #nameFor(path: string, context: FsContext): Promise<void> {
    if ((await this.#kindOf(path, context, false)) === undefined)
      throw new OsError('ENOENT', `${path} is no name of a link`)
  }

  /** @param follow whether a link to one is as good. @returns its path. @throws {OsError} ENOTDIR; ENOENT. */
  async #directory(path: string, context: FsContext, follow = true): Promise<string> {
    const { kind, path: at } = await this.#fs.stat(this.absolute(path), context, follow)
    if (kind !== 'directory') throw notDirectory(path)
    return at
  }

  async #kindOf(path: string, context: FsContext, follow: boolean) {
    try {
      return (await this.#fs.stat(this.absolute(path), context, follow)).kind
    } catch (error) {
      if (isOsError(error, 'ENOENT')) return undefined
      throw error
    }
  }
}

function asksForDirectory(path: string): boolean {
  return path.endsWith('/') || endsInDot(path)
}

function endsInDot(path: string): boolean {
  return /(^|\/)\.\/*$/.test(path)
}

function notDirectory(path: string): OsError {
  return new OsError('ENOTDIR', `${path} is not a directory`)
}
