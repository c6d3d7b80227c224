// Kegs and their versions, over the syscalls: what is remembered, what changed, how to have it back; mounts. Used by the page
// (`os.keg`) and by the shell. A version is told by its number, its name, the KID of its root, `HEAD`, `HEAD~2` (two
// before the newest) or `@10m` (as it was ten minutes ago: s, m, h or d).

import type { Kid } from '../base/ids.ts'
import { check, type Options } from './arguments.ts'
import { binderOf } from './bound.ts'
import type { CallOptions, SyscallClient } from './client.ts'
import type { Changes, VersionChange } from './table.ts'
import type { Ack, Chunking, KegRow, VersionRow } from './types.ts'

/** Which keg: the one that `path` is in; `/` unless told. */
type OfKeg = CallOptions & { path?: string }

const CALL = { signal: 'signal' } as const satisfies Options
const AT = { ...CALL, path: 'text' } as const satisfies Options

export class Keg {
  readonly #client: SyscallClient

  constructor(client: SyscallClient) {
    this.#client = client
    bindMethods(this)
  }

  /**
   * Versions, at most `limit` (100 unless told), older than number `before`; with a path, those of the keg that it is in: in
   * which it, or what is in it, changed, or `all`. With `from`, that one and those that came before it in the same tree, else
   * from the newest on, and among them those of branches that were merged.
   */
  async log(
    options: OfKeg & { all?: boolean; from?: string; before?: number; limit?: number } = {},
  ): Promise<VersionRow[]> {
    check('os.keg.log', { options: [options, { ...AT, all: 'flag', from: 'text', before: 'number', limit: 'number' }] })
    const { signal, ...args } = options
    return (await this.#client.call('info', { topic: 'versions', ...args }, { signal })) as VersionRow[]
  }

  /** What is another in version `to` than in `from`, at a path (`/` unless told) and below; paths are relative to it. */
  async diff(from: string, to = 'HEAD', options: CallOptions & { path?: string } = {}): Promise<Changes> {
    check('os.keg.diff', { from: [from, 'text'], to: [to, 'text'], options: [options, AT] })
    const { signal, ...args } = options
    return (await this.#client.call('info', { topic: 'diff', from, to, ...args }, { signal })) as Changes
  }

  /**
   * Makes a path what it was in a version, with all below it.
   * @param options `remove`: when it was not there then, it goes.
   * @throws {OsError} ENOENT when it was not there then, or the version is not remembered.
   */
  async checkout(version: string, path = '/', options: CallOptions & { remove?: boolean } = {}): Promise<Ack> {
    const given = {
      version: [version, 'text'],
      path: [path, 'text'],
      options: [options, { ...CALL, remove: 'flag' }],
    } as const
    check('os.keg.checkout', given)
    const { remove, ...rest } = options
    return this.#change({ op: 'restore', version, path, ...(remove ? { remove } : {}) }, rest)
  }

  /** Names a version, which is then kept. @param options `path`: of the keg that it is in; of `/` unless told. */
  async snapshot(name: string, version = 'HEAD', options: OfKeg = {}): Promise<Ack> {
    check('os.keg.snapshot', { name: [name, 'text'], version: [version, 'text'], options: [options, AT] })
    const { path, ...rest } = options
    return this.#change({ op: 'name', name, version, ...(path ? { path } : {}) }, rest)
  }

  /** Gives a name up; the version is kept as long as others. */
  async unname(name: string, options: OfKeg = {}): Promise<Ack> {
    check('os.keg.unname', { name: [name, 'text'], options: [options, AT] })
    const { path, ...rest } = options
    return this.#change({ op: 'name', name, version: null, ...(path ? { path } : {}) }, rest)
  }

  /** Forgets versions that are neither named, nor among the `keep` newest, nor from the last `forMs`. */
  async gc(options: OfKeg & { keep: number; forMs: number }): Promise<Ack> {
    check('os.keg.gc', { options: [options, AT] })
    const { keep, forMs, path, ...rest } = options
    check('os.keg.gc', { keep: [keep, 'number'], forMs: [forMs, 'number'] })
    return this.#change({ op: 'forget', keep, forMs, ...(path ? { path } : {}) }, rest)
  }

  /** How many devices are to keep each block of files: 3 unless told. */
  async copies(options: OfKeg = {}): Promise<number> {
    check('os.keg.copies', { options: [options, AT] })
    const { path, ...rest } = options
    return (await this.#client.call('info', { topic: 'copies', ...(path ? { path } : {}) }, rest)) as number
  }

  /**
   * How many devices are to keep each block of files, 1 to 8, where there are as many: of small files, and of directories,
   * those keep them that keep the keg's journal. Fewer: there is more room. More: more may be lost at once.
   * @throws {OsError} EINVAL.
   */
  async setCopies(count: number, options: OfKeg = {}): Promise<Ack> {
    check('os.keg.setCopies', { count: [count, 'number'], options: [options, AT] })
    const { path, ...rest } = options
    return this.#change({ op: 'copies', copies: count, ...(path ? { path } : {}) }, rest)
  }

  /**
   * Where the content of a file is cut into blocks: 'content' for one of which many versions are kept, 'fixed' for all
   * others. The file is rewritten; of a directory, files that are made in it from now on are cut so.
   */
  async chunks(path: string, how: Chunking, options: CallOptions = {}): Promise<Ack> {
    check('os.keg.chunks', { path: [path, 'text'], how: [how, 'text'], options: [options, CALL] })
    return (await this.#client.call('change', { op: 'set', path, chunks: how }, options)).ack
  }

  /** Kegs beside `/`: those that are mounted in it, and others that this node knows. */
  async list(options: CallOptions = {}): Promise<KegRow[]> {
    check('os.keg.list', { options: [options, CALL] })
    return this.#client.info('kegs', options)
  }

  /**
   * A new keg, mounted over an empty directory, which is made if nothing is there.
   * @throws {OsError} ENOTEMPTY, ENOTDIR, EBUSY; EINVAL in another keg than `/`.
   */
  async create(path: string, options: CallOptions = {}): Promise<Ack> {
    check('os.keg.create', { path: [path, 'text'], options: [options, CALL] })
    return (await this.#client.call('change', { op: 'mount', path, keg: null }, options)).ack
  }

  /** Mounts a keg, once more or again. @throws {OsError} as `create`; EHOSTUNREACH when nobody here knows it. */
  async mount(keg: Kid, path: string, options: CallOptions = {}): Promise<Ack> {
    check('os.keg.mount', { keg: [keg, 'text'], path: [path, 'text'], options: [options, CALL] })
    return (await this.#client.call('change', { op: 'mount', path, keg }, options)).ack
  }

  /** An empty directory is left. The keg stays, and can be mounted again. @throws {OsError} EINVAL when nothing is mounted. */
  async umount(path: string, options: CallOptions = {}): Promise<Ack> {
    check('os.keg.umount', { path: [path, 'text'], options: [options, CALL] })
    return (await this.#client.call('change', { op: 'umount', path }, options)).ack
  }

  async #change(args: VersionChange, options: CallOptions): Promise<Ack> {
    return (await this.#client.call('change', args, options)).ack
  }
}

const bindMethods = binderOf(Keg)
