// Changes of names, and of what is known of files: what people and tasks ask for becomes operations of a tree. Above: fs.ts. Below:
// namespace.ts, car-import.ts. Of a task they are staged.
import { type ErrorCode, isOsError, OsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { FileChange } from '../../syscalls/table.ts'
import type { Ack, Chunking, FileInfo } from '../../syscalls/types.ts'
import type { Blocks, OwnBlocks } from '../blocks/blocks.ts'
import { BLOCK_BYTES } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { importCar } from './car-import.ts'
import { fileRoot } from './dag.ts'
import { rewritten } from './dag-writer.ts'
import type { Found, FsContext } from './fs.ts'
import type { Handle } from './handles.ts'
import { isLost } from './leaves.ts'
import type { Namespace } from './namespace.ts'
import { joinPath, normalPath, splitPath } from './path.ts'
import { permit, READ, readOnly, WRITE } from './permissions.ts'
import { present, type Tree } from './tree.ts'

export interface FileChangesOptions {
  tree: Tree
  namespace: Namespace
  blocks: Blocks
  clock: Clock
  /** Whether that is in a part of the tree that is made, not stored. */
  mounted(names: readonly string[]): boolean
  /** @param last whether a link in the last place is followed. */
  find(path: string, context: FsContext, last?: boolean): Promise<Found>
  stat(path: string, context: FsContext, last: boolean): Promise<FileInfo>
  /** To read it. */
  open(path: string, context: FsContext): Promise<Handle>
  /** All of them or none. */
  apply(ops: readonly TreeOp[], context: FsContext): Promise<Ack>
}

export class FileChanges {
  readonly #options: FileChangesOptions

  constructor(options: FileChangesOptions) {
    this.#options = options
  }

  /** A change of names, or of what is known of a file. @throws {OsError} as the POSIX call would. */
  change(args: FileChange, context: FsContext): Promise<Ack> {
    const mtimeMs = this.#options.clock.wallMs()
    switch (args.op) {
      case 'mkdir': {
        const { mode, recursive = false } = args
        const path = this.#writable(args.path)
        return this.#apply({ op: 'mkdir', path, recursive, mtimeMs, ...(mode === undefined ? {} : { mode }) }, context)
      }
      case 'symlink':
        return this.#apply({ op: 'symlink', path: this.#writable(args.path), target: args.target, mtimeMs }, context)
      case 'remove': {
        const { recursive = false, path, also = [], was } = args
        const remove = { op: 'remove' as const, recursive, mtimeMs }
        const first = { ...remove, path: this.#writable(path), ...(was === undefined ? {} : { was }) }
        return this.#options.apply([first, ...also.map((each) => ({ ...remove, path: this.#writable(each) }))], context)
      }
      case 'move': {
        const { from, to, also = [], exclusive } = args
        const only = exclusive ? { exclusive } : {}
        const moves = [{ from, to }, ...also].map((each) => {
          return { from: this.#writable(each.from), to: this.#writable(each.to) }
        })
        return this.#options.apply(
          moves.map((each) => ({ op: 'move', ...each, mtimeMs, ...only })),
          context,
        )
      }
      case 'copy':
        return this.#copy(args, mtimeMs, context)
      case 'import':
        return this.#import(args, mtimeMs, context)
      case 'mount': {
        if (context.staging) throw new OsError('ENOTSUP', 'a task cannot mount a keg')
        const { path, keg } = args
        return this.#options.namespace.mount(this.#writable(path), keg as Kid | null, mtimeMs, context.signal)
      }
      case 'umount':
        if (context.staging) throw new OsError('ENOTSUP', 'a task cannot umount a keg')
        return this.#apply({ op: 'umount', path: this.#writable(args.path), mtimeMs }, context)
      case 'set': {
        const { chunks, ...rest } = args
        if (chunks) return this.#rechunk(args.path, chunks, context)
        return this.#apply({ ...rest, path: this.#writable(args.path) }, context)
      }
    }
  }

  /** A directory's files that are made from now on are cut so; a file itself is, with the same content. */
  async #rechunk(path: string, wanted: Chunking, context: FsContext): Promise<Ack> {
    const { signal, staging } = context
    if (staging) throw new OsError('ENOTSUP', 'a task cannot change how files are cut')
    const found = await this.#options.find(path, context)
    if (found.mount) throw readOnly(found.at)
    const { at } = found
    const entry = present(found.place)
    if (entry.kind === 'directory') return this.#apply({ op: 'set', path: at, chunks: wanted }, context)
    if ((entry.chunks ?? 'fixed') === wanted) return { level: 'local', devices: 1 }
    permit(at, entry, READ | WRITE)
    const release = this.#options.blocks.pin()
    try {
      const file = await rewritten(this.#options.blocks, entry, wanted === 'content' ? wanted : undefined, { signal })
      const { mode, mtimeMs, cid } = entry
      return await this.#apply({ op: 'put', path: at, ...file, mode, mtimeMs, was: cid }, context)
    } finally {
      release()
    }
  }

  async #import(args: FileChange & { op: 'import' }, mtimeMs: number, context: FsContext): Promise<Ack> {
    if (context.staging) throw new OsError('ENOTSUP', 'a task cannot import a CAR')
    const path = this.#writable(args.to)
    const found = await this.#options.find(path, context, false)
    if (found.mount) throw readOnly(found.at)
    if (found.place.entry) throw new OsError('EEXIST', `${path} exists already`)
    const { signal, onProgress } = context
    const handle = await this.#options.open(args.from, context)
    async function* pieces() {
      for (let at = 0; at < handle.size; ) {
        const { bytes: piece } = await handle.read(at, BLOCK_BYTES, signal, handle.size)
        if (piece.byteLength === 0) throw new OsError('EIO', `${args.from} is shorter than it says`)
        at += piece.byteLength
        onProgress?.({ done: at, total: handle.size, unit: 'bytes' })
        yield piece
      }
    }
    const { blocks } = this.#options
    const own: OwnBlocks = new Map()
    const release = blocks.pin()
    try {
      const target = { ...this.#options, options: { signal }, mtimeMs, own, onProgress }
      const entry = await importCar(target, pieces())
      return await this.#apply({ op: 'graft', path, ...entry, atMs: mtimeMs, exclusive: true }, context)
    } catch (error) {
      if (neverComes(error)) await blocks.takeBack(own).catch(() => undefined) // the disk's trouble is told already
      throw error
    } finally {
      release()
      handle.release?.()
    }
  }

  /** @throws {OsError} EXDEV for what is not in the tree, and so has to be read. */
  async #copy(args: FileChange & { op: 'copy' }, mtimeMs: number, context: FsContext): Promise<Ack> {
    const { exclusive } = args
    const [from, to] = [normalPath(args.from), this.#writable(args.to)]
    if (this.#options.mounted(splitPath(from))) throw elsewhere(from)
    if (context.staging) return this.#stageCopy({ from, to, exclusive }, mtimeMs, context)
    try {
      return await this.#apply({ op: 'copy', from, to, mtimeMs, ...(exclusive ? { exclusive } : {}) }, context)
    } catch (error) {
      // A link on the way may lead out of the tree.
      if (isOsError(error, 'ENOENT') && (await this.#options.find(from, context, false)).mount) throw elsewhere(from)
      throw error
    }
  }

  /** What an event copies is the file as it was then: made again after a restart, it would be another. */
  async #stageCopy(
    { from, to, exclusive }: { from: string; to: string; exclusive: boolean | undefined },
    mtimeMs: number,
    context: FsContext,
  ): Promise<Ack> {
    const { kind, cid, size, mode, chunks } = await this.#options.stat(from, context, false)
    const only = exclusive ? { exclusive } : {}
    if (cid === undefined) throw elsewhere(from)
    if (kind !== 'file') return this.#apply({ op: 'copy', from, to, mtimeMs, ...only }, context)
    permit(from, { mode }, READ)
    return this.#apply({ op: 'put', path: to, ...fileRoot({ cid, size, chunks }), mode, mtimeMs, ...only }, context)
  }

  #apply(op: TreeOp, context: FsContext): Promise<Ack> {
    return this.#options.apply([op], context)
  }

  #writable(path: string): string {
    const names = splitPath(path)
    if (this.#options.mounted(names)) throw readOnly(joinPath(names))
    return joinPath(names)
  }
}

const NEVER: readonly ErrorCode[] = ['ENOSPC', 'EINVAL', 'EFBIG', 'ENAMETOOLONG']

/** There is no room for a CAR, or something is wrong with it: whoever tries again will not go on with what was stored of it. */
function neverComes(error: unknown): boolean {
  return isLost(error) || NEVER.some((code) => isOsError(error, code))
}

function elsewhere(path: string): OsError {
  return new OsError('EXDEV', `${path} is on another file system: read and write it`)
}
