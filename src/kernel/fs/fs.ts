// The one tree that users see: the shared tree with read-only mounts over it. Above: dispatch.ts. Below:
// shared-tree.ts, dag.ts and the mounts. A task's changes are staged and take effect when its event completes.
import { OsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import { MAX_PROGRAM_BYTES } from '../../syscalls/limits.ts'
import type { Ack, DirectoryEntry, FileInfo, OpenMode } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { kidOfCid, parseCid } from '../blocks/cid.ts'
import { MAX_EVENT_CHANGE_BYTES, MAX_EVENT_CHANGES } from '../limits.ts'
import type { TreeOp } from '../rpc/methods.ts'
import { DagReader, type FileRoot } from './dag.ts'
import { DagWriter } from './dag-writer.ts'
import type { Entry } from './directory.ts'
import { fileReader, fileWriter, type Handle } from './handles.ts'
import { joinPath, splitPath } from './path.ts'
import type { SharedTree } from './shared-tree.ts'
import type { Tree } from './tree.ts'

/** A read-only part of the tree that is made, not stored. Paths are relative to its root, as names. */
export interface Mount {
  /** Undefined when there is no such thing. */
  stat(names: readonly string[]): Promise<Omit<FileInfo, 'path'> | undefined>
  list(names: readonly string[]): Promise<DirectoryEntry[]>
  open(names: readonly string[]): Promise<Handle>
}

/** Changes of one event, in order, not yet visible to others (process/executor.ts). */
export class Staging {
  readonly ops: TreeOp[] = []
  #bytes = 0

  /** @throws {OsError} EAGAIN beyond what one event may change. */
  add(op: TreeOp): void {
    const bytes = op.op === 'move' ? op.from.length + op.to.length : op.path.length
    if (this.ops.length >= MAX_EVENT_CHANGES || this.#bytes + bytes > MAX_EVENT_CHANGE_BYTES) {
      throw new OsError('EAGAIN', `one event may change at most ${MAX_EVENT_CHANGES} files: emit more events`)
    }
    this.#bytes += bytes
    this.ops.push(op)
  }

  /** What this event itself did to exactly this path: a file, `null` when removed, undefined when untouched. */
  file(path: string): FileRoot | null | undefined {
    for (let i = this.ops.length - 1; i >= 0; i--) {
      const op = this.ops[i] as TreeOp
      if (op.op === 'put' && op.path === path) return { cid: op.cid, size: op.size }
      if (op.op === 'remove' && (op.path === path || path.startsWith(`${op.path}/`))) return null
    }
    return undefined
  }
}

export interface FsContext {
  signal: AbortSignal
  /** Set for tasks. */
  staging?: Staging | undefined
}

const FILE_MODE = 0o644

export class Fs {
  readonly #tree: Tree
  readonly #shared: SharedTree
  readonly #blocks: Blocks
  readonly #clock: Clock
  readonly #mounts: ReadonlyMap<string, Mount>
  readonly #onWritten: (cid: string) => void

  constructor(options: {
    tree: Tree
    shared: SharedTree
    blocks: Blocks
    clock: Clock
    /** By name of the top-level directory. */
    mounts: ReadonlyMap<string, Mount>
    /** This node now holds a file with that root: for the directory. */
    onWritten: (cid: string) => void
  }) {
    this.#tree = options.tree
    this.#shared = options.shared
    this.#blocks = options.blocks
    this.#clock = options.clock
    this.#mounts = options.mounts
    this.#onWritten = options.onWritten
  }

  async stat(path: string, context: FsContext): Promise<FileInfo> {
    const names = splitPath(path)
    const at = joinPath(names)
    const mount = this.#mount(names)
    if (mount) {
      const info = await mount.stat(names.slice(1))
      if (!info) throw new OsError('ENOENT', `${at}: no such file or directory`)
      return { path: at, ...info }
    }
    const staged = context.staging?.file(at)
    if (staged === null) throw new OsError('ENOENT', `${at}: no such file or directory`)
    if (staged) return fileInfo(at, { kind: 'file', ...staged, mode: FILE_MODE, mtimeMs: this.#clock.wallMs() })
    return fileInfo(at, await this.#entry(at, context))
  }

  async list(path: string, context: FsContext): Promise<DirectoryEntry[]> {
    const names = splitPath(path)
    const mount = this.#mount(names)
    if (mount) {
      const info = await mount.stat(names.slice(1))
      if (!info) throw new OsError('ENOENT', `${joinPath(names)}: no such file or directory`)
      if (info.kind !== 'directory') throw new OsError('ENOTDIR', `${joinPath(names)} is not a directory`)
      return mount.list(names.slice(1))
    }
    const entry = await this.#entry(joinPath(names), context)
    if (entry.kind !== 'directory') throw new OsError('ENOTDIR', `${joinPath(names)} is not a directory`)
    const directory = await this.#tree.directory(entry.cid, { signal: context.signal })
    const rows = [...directory].map(([name, { kind, size, mtimeMs }]) => ({ name, kind, size, mtimeMs }))
    if (names.length > 0) return rows.sort(byName)
    const mounts = [...this.#mounts.keys()].map((name) => ({ name, kind: 'directory' as const, size: 0, mtimeMs: 0 }))
    return [...rows.filter((row) => !this.#mounts.has(row.name)), ...mounts].sort(byName)
  }

  async open(path: string, mode: OpenMode, context: FsContext): Promise<Handle> {
    const names = splitPath(path)
    const at = joinPath(names)
    const mount = this.#mount(names)
    if (mount) {
      if (mode !== 'r') throw readOnly(at)
      const info = await mount.stat(names.slice(1))
      if (!info) throw new OsError('ENOENT', `${at}: no such file or directory`)
      if (info.kind === 'directory') throw new OsError('EISDIR', `${at} is a directory`)
      return mount.open(names.slice(1))
    }
    const present = await this.#present(at, mode, context)
    if (mode === 'r') {
      const root = present as FileRoot
      return fileReader(new DagReader(this.#blocks, root, {}), root.size)
    }
    const options = { signal: context.signal }
    const writer =
      mode === 'a' && present ? await DagWriter.open(this.#blocks, present, options) : new DagWriter(this.#blocks)
    return fileWriter(writer, (file, signal, ack) => this.#commit(at, file, mode, { ...context, signal }, ack))
  }

  /** A program's source as blocks, so that executors can fetch it. @throws {OsError} ENOENT, EISDIR, EFBIG. */
  async programFile(path: string, context: FsContext): Promise<FileRoot> {
    const info = await this.stat(path, context)
    if (info.size > MAX_PROGRAM_BYTES) {
      throw new OsError('EFBIG', `${path} is ${info.size} bytes; a program is at most ${MAX_PROGRAM_BYTES}`)
    }
    const handle = await this.open(path, 'r', context)
    const bytes = await handle.read(0, Math.max(1, info.size), context.signal)
    const writer = new DagWriter(this.#blocks)
    await writer.write(bytes)
    return writer.finish()
  }

  mkdir(path: string, recursive: boolean, context: FsContext): Promise<Ack> {
    return this.change({ op: 'mkdir', path: this.#writable(path), recursive, mtimeMs: this.#clock.wallMs() }, context)
  }

  remove(path: string, recursive: boolean, context: FsContext): Promise<Ack> {
    return this.change({ op: 'remove', path: this.#writable(path), recursive }, context)
  }

  move(from: string, to: string, context: FsContext): Promise<Ack> {
    const op: TreeOp = { op: 'move', from: this.#writable(from), to: this.#writable(to), mtimeMs: this.#clock.wallMs() }
    return this.change(op, context)
  }

  async change(op: TreeOp, { staging, signal }: FsContext, ack?: Ack['level']): Promise<Ack> {
    if (!staging) return (await this.#shared.apply({ ops: [op], ack }, signal)).ack
    staging.add(op)
    return { level: 'local', devices: 1 }
  }

  #mount(names: readonly string[]): Mount | undefined {
    const [first] = names
    return first === undefined ? undefined : this.#mounts.get(first)
  }

  #writable(path: string): string {
    const names = splitPath(path)
    if (this.#mount(names)) throw readOnly(joinPath(names))
    return joinPath(names)
  }

  #entry(path: string, { signal }: FsContext): Promise<Entry> {
    return this.#shared.lookup(path, signal)
  }

  /** What is at `path` now; undefined for nothing, when the mode allows that. */
  async #present(path: string, mode: OpenMode, context: FsContext): Promise<FileRoot | undefined> {
    const staged = context.staging?.file(path)
    if (staged && mode === 'wx') throw new OsError('EEXIST', `${path} exists already`)
    if (staged) return staged
    try {
      if (staged === null) throw new OsError('ENOENT', `${path}: no such file or directory`)
      const entry = await this.#entry(path, context)
      if (entry.kind === 'directory') throw new OsError('EISDIR', `${path} is a directory`)
      if (mode === 'wx') throw new OsError('EEXIST', `${path} exists already`)
      return { cid: entry.cid, size: entry.size }
    } catch (error) {
      const absent = error instanceof OsError && error.code === 'ENOENT'
      if (!absent || mode === 'r') throw error
      const parent = joinPath(splitPath(path).slice(0, -1))
      // Fail now rather than after a long upload; tasks get missing parents made for them.
      if (!context.staging && (await this.#entry(parent, context)).kind !== 'directory') {
        throw new OsError('ENOTDIR', `${parent} is not a directory`)
      }
      return undefined
    }
  }

  #commit(path: string, file: FileRoot, mode: OpenMode, context: FsContext, ack?: Ack['level']): Promise<Ack> {
    if (!context.staging) this.#onWritten(file.cid)
    const op: TreeOp = {
      op: 'put',
      path,
      cid: file.cid,
      size: file.size,
      mode: FILE_MODE,
      mtimeMs: this.#clock.wallMs(),
      ...(mode === 'wx' ? { exclusive: true } : {}),
      ...(context.staging ? { parents: true } : {}),
    }
    return this.change(op, context, ack)
  }
}

function fileInfo(path: string, entry: Entry): FileInfo {
  const cid = parseCid(entry.cid)
  const { kind, size, mtimeMs, mode } = entry
  return { path, kind, size, mtimeMs, mode, kid: kidOfCid(cid), cid: entry.cid }
}

function readOnly(path: string): OsError {
  return new OsError('EROFS', `${path} is on a read-only part of the tree`)
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
