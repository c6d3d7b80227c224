// The one tree that users see: the shared tree with read-only mounts over it. Above: dispatch.ts. Below:
// shared-tree.ts, dag.ts and the mounts. A task's changes are staged and take effect when its event completes.
import { Emitter, until } from '../../base/emitter.ts'
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import { MAX_PROGRAM_BYTES } from '../../syscalls/limits.ts'
import type { CallArgs, Changes } from '../../syscalls/table.ts'
import type { Ack, DirectoryEntry, FileInfo, OpenMode } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { kidOfCid, parseCid } from '../blocks/cid.ts'
import { MAX_EVENT_CHANGE_BYTES, MAX_EVENT_CHANGES } from '../limits.ts'
import type { TreeOp } from '../rpc/methods.ts'
import { DagReader, type FileRoot } from './dag.ts'
import { DagWriter } from './dag-writer.ts'
import type { Entry } from './directory.ts'
import { fileReader, fileWriter, type Handle } from './handles.ts'
import { joinPath, normalPath, splitPath } from './path.ts'
import type { SharedTree } from './shared-tree.ts'
import { absent, type Place, present, type Tree } from './tree.ts'
import { changesBetween, entryOfVersion, versionOf } from './watch.ts'

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
    const texts = 'from' in op ? [op.from, op.to] : [op.path, op.op === 'symlink' ? op.target : '']
    const bytes = texts.reduce((sum, text) => sum + text.length, 0)
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
/** Times that an append is tried again because others append to the same file. */
const MAX_APPENDS = 20

/** What each mode of opening asks for; see `OpenMode`. */
function askedBy(mode: OpenMode) {
  const plain = mode.replace('+', '')
  return {
    reads: plain === 'r' || mode !== plain,
    writes: mode !== 'r',
    creates: plain !== 'r',
    exclusive: plain.endsWith('x'),
    truncates: plain.startsWith('w'),
    appends: plain.startsWith('a'),
  }
}

/** Where a path leads: into a mount, or to a place in the tree. */
type Found = { at: string; names: string[]; mount: Mount } | { at: string; place: Place; mount?: undefined }

export class Fs {
  readonly #tree: Tree
  readonly #shared: SharedTree
  readonly #blocks: Blocks
  readonly #clock: Clock
  readonly #mounts: ReadonlyMap<string, Mount>
  readonly #onWritten: (cid: string) => void
  readonly #onNotice: (text: string) => void
  readonly #label: string
  readonly #treeChanges: Emitter<void>
  /** Changes of the tree that this node has heard of. */
  #treeVersion = 0

  constructor(options: {
    tree: Tree
    shared: SharedTree
    blocks: Blocks
    clock: Clock
    /** By name of the top-level directory. */
    mounts: ReadonlyMap<string, Mount>
    /** This node now holds a file with that root: for the directory. */
    onWritten: (cid: string) => void
    /** Something that people should know. */
    onNotice: (text: string) => void
    /** Names what is written here where somebody else has written too. */
    label: string
  }) {
    this.#tree = options.tree
    this.#shared = options.shared
    this.#blocks = options.blocks
    this.#clock = options.clock
    this.#mounts = options.mounts
    this.#onWritten = options.onWritten
    this.#onNotice = options.onNotice
    this.#label = options.label
    this.#treeChanges = new Emitter((error) => this.#onNotice(errorLine(error)))
  }

  /** @param last whether a symbolic link in the last place is followed. */
  async stat(path: string, context: FsContext, last = true): Promise<FileInfo> {
    const staged = context.staging?.file(normalPath(path))
    if (staged) {
      const entry = { kind: 'file' as const, ...staged, mode: FILE_MODE, mtimeMs: this.#clock.wallMs() }
      return fileInfo(normalPath(path), entry)
    }
    const found = await this.#find(path, context, last)
    if (found.mount) return { path: found.at, ...(await mounted(found)) }
    const entry = present(found.place)
    if (staged === null) throw absent(found.place.names)
    const info = fileInfo(found.at, entry)
    return entry.kind === 'symlink' ? { ...info, target: await this.#tree.target(entry.cid) } : info
  }

  async list(path: string, context: FsContext): Promise<DirectoryEntry[]> {
    const found = await this.#find(path, context)
    if (found.mount) {
      if ((await mounted(found)).kind !== 'directory') throw notDirectory(found.at)
      return found.mount.list(found.names)
    }
    const entry = present(found.place)
    if (entry.kind !== 'directory') throw notDirectory(found.at)
    permit(found.at, entry, READ)
    const directory = await this.#tree.directory(entry.cid, { signal: context.signal })
    const rows = [...directory].map(([name, { kind, size, mtimeMs, mode }]) => ({ name, kind, size, mtimeMs, mode }))
    if (found.at !== '/') return rows.sort(byName)
    const mounts = [...this.#mounts.keys()].map((name) => {
      return { name, kind: 'directory' as const, size: 0, mtimeMs: 0, mode: 0o555 }
    })
    return [...rows.filter((row) => !this.#mounts.has(row.name)), ...mounts].sort(byName)
  }

  /** The tree is another now: whoever watches a part of it looks. */
  treeChanged(): void {
    this.#treeVersion++
    this.#treeChanges.emit()
  }

  /** Resolves when a path, or what is in it, is another than in version `since`. @throws {OsError} ENOENT at the beginning. */
  async changes(args: CallArgs<'wait'> & { for: 'changes' }, context: FsContext): Promise<Changes> {
    const { path, recursive = false } = args
    let { since } = args
    for (;;) {
      const seen = this.#treeVersion
      const found = await this.#find(path, context)
      if (found.mount) throw new OsError('ENOTSUP', `${found.at} cannot be watched: it is made when it is read`)
      const version = versionOf(found.place.entry)
      if (since === undefined) {
        present(found.place)
        return { version, changes: [], more: false }
      }
      const told = version === since ? undefined : await this.#compare(since, found.place.entry, recursive, context)
      if (told && (told.more || told.changes.length > 0)) return { version, ...told }
      since = version
      const never = () => undefined
      await until(this.#treeChanges, () => this.#treeVersion !== seen, never, context.signal)
    }
  }

  async #compare(since: string, now: Entry | undefined, recursive: boolean, { signal }: FsContext) {
    try {
      const comparison = { tree: this.#tree, options: { signal }, recursive }
      return await changesBetween(comparison, entryOfVersion(since), now)
    } catch (error) {
      // What was there before may be nowhere any more.
      if (isOsError(error, 'EIO')) return { changes: [], more: true }
      throw error
    }
  }

  async open(path: string, mode: OpenMode, context: FsContext, permissions = FILE_MODE): Promise<Handle> {
    const asked = askedBy(mode)
    const staged = context.staging?.file(normalPath(path))
    const found = await this.#find(path, context, !asked.exclusive)
    if (found.mount) {
      if (asked.writes) throw readOnly(found.at)
      if ((await mounted(found)).kind === 'directory') throw isDirectory(found.at)
      return found.mount.open(found.names)
    }
    const { at, place } = found
    const there = staged === undefined ? place.entry : (staged ?? undefined)
    if (there && asked.exclusive) throw new OsError('EEXIST', `${at} exists already`)
    if (place.entry?.kind === 'directory') throw isDirectory(at)
    if (!there && (!asked.creates || (place.problem && !context.staging))) throw place.problem ?? absent(place.names)
    if (staged === undefined && place.entry)
      permit(at, place.entry, (asked.reads ? READ : 0) | (asked.writes ? WRITE : 0))
    if (!asked.writes) return this.#reader(there as FileRoot)
    const keeps = there && !asked.truncates ? there : undefined
    const writer = keeps
      ? await DagWriter.open(this.#blocks, keeps, { signal: context.signal })
      : new DagWriter(this.#blocks)
    const target = { at, asked, permissions, staging: context.staging, was: keeps?.cid, from: keeps?.size ?? 0 }
    return fileWriter(writer, !keeps, {
      readable: asked.reads,
      appends: asked.appends,
      commit: (file, signal, ack) => this.#commit(target, file, signal, ack),
    })
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

  /** A change of names, or of what is known of a file. @throws {OsError} as the POSIX call would. */
  change(args: CallArgs<'change'>, context: FsContext): Promise<Ack> {
    const mtimeMs = this.#clock.wallMs()
    switch (args.op) {
      case 'mkdir': {
        const { mode, recursive = false } = args
        const path = this.#writable(args.path)
        return this.#apply({ op: 'mkdir', path, recursive, mtimeMs, ...(mode === undefined ? {} : { mode }) }, context)
      }
      case 'symlink':
        return this.#apply({ op: 'symlink', path: this.#writable(args.path), target: args.target, mtimeMs }, context)
      case 'remove': {
        const { recursive = false } = args
        return this.#apply({ op: 'remove', path: this.#writable(args.path), recursive, mtimeMs }, context)
      }
      case 'move':
        return this.#apply(
          { op: 'move', from: this.#writable(args.from), to: this.#writable(args.to), mtimeMs },
          context,
        )
      case 'copy':
        return this.#copy(args, mtimeMs, context)
      case 'set':
        return this.#apply({ ...args, path: this.#writable(args.path) }, context)
    }
  }

  /** @throws {OsError} EXDEV for what is not in the tree, and so has to be read. */
  #copy(
    { from, to, exclusive }: CallArgs<'change'> & { op: 'copy' },
    mtimeMs: number,
    context: FsContext,
  ): Promise<Ack> {
    if (this.#mount(splitPath(from))) throw new OsError('EXDEV', `${from} is on another file system: read and write it`)
    const op: TreeOp = { op: 'copy', from: normalPath(from), to: this.#writable(to), mtimeMs }
    return this.#apply(exclusive ? { ...op, exclusive } : op, context)
  }

  async #apply(op: TreeOp, { staging, signal }: FsContext, ack?: Ack['level']): Promise<Ack> {
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

  /** Follows links, also from the tree into a mount. @throws {OsError} ELOOP, EIO, EHOSTUNREACH. */
  async #find(path: string, { signal }: FsContext, last = true): Promise<Found> {
    const outside = (names: readonly string[]) => this.#mount(names) !== undefined
    const names = splitPath(path)
    const place: Place = outside(names)
      ? { names, entry: undefined, outside: true }
      : await this.#tree.resolve(await this.#shared.view(signal), names, { last, outside })
    const at = joinPath(place.names)
    const mount = place.outside && this.#mount(place.names)
    return mount ? { at, names: place.names.slice(1), mount } : { at, place }
  }

  #reader(root: FileRoot): Handle {
    return fileReader(new DagReader(this.#blocks, root, {}), root.size)
  }

  /** Makes a written file visible. What others did to it meanwhile is not lost. */
  async #commit(target: Target, file: FileRoot, signal: AbortSignal, ack?: Ack['level']): Promise<Ack> {
    const { at, asked, permissions, staging } = target
    const context = { staging, signal }
    if (!staging) this.#onWritten(file.cid)
    const put = { op: 'put' as const, path: at, mode: permissions, mtimeMs: this.#clock.wallMs() }
    if (staging)
      return this.#apply({ ...put, ...file, parents: true, ...(asked.exclusive ? { exclusive: true } : {}) }, context)
    let written = file
    for (let attempt = 0; ; attempt++) {
      const over = target.was === undefined ? {} : { was: target.was }
      const exclusive = asked.exclusive && target.was === undefined ? { exclusive: true } : {}
      try {
        const reached = await this.#apply({ ...put, ...written, ...over, ...exclusive }, context, ack)
        target.was = written.cid
        return reached
      } catch (error) {
        const changed = isOsError(error, 'EEXIST') && target.was !== undefined
        if (!changed || attempt === MAX_APPENDS) throw error
        if (!asked.appends) return this.#keepBoth(target, file, context, ack)
        const there = await this.stat(at, context)
        written = await this.#appended(file, target.from, { cid: there.cid as string, size: there.size }, signal)
        target.was = there.cid
      }
    }
  }

  /** What was appended behind `from`, behind what is there by now. */
  async #appended(file: FileRoot, from: number, there: FileRoot, signal: AbortSignal): Promise<FileRoot> {
    const writer = await DagWriter.open(this.#blocks, there, { signal })
    for await (const piece of new DagReader(this.#blocks, file, { signal }).read(from, file.size))
      await writer.write(piece)
    return writer.finish()
  }

  /** Somebody else has changed the file since it was opened: what was written here is kept beside it. */
  async #keepBoth({ at, permissions }: Target, file: FileRoot, context: FsContext, ack?: Ack['level']): Promise<Ack> {
    for (let count = 1; ; count++) {
      const path = `${at}.conflict-${this.#label}${count > 1 ? `-${count}` : ''}`
      const put = {
        op: 'put' as const,
        path,
        ...file,
        mode: permissions,
        mtimeMs: this.#clock.wallMs(),
        exclusive: true,
      }
      try {
        const reached = await this.#apply(put, context, ack)
        this.#onNotice(`${at} was changed by somebody else meanwhile: what was written here is ${path}`)
        return reached
      } catch (error) {
        if (!isOsError(error, 'EEXIST') || count === MAX_APPENDS) throw error
      }
    }
  }
}

/** A file that is being written, and what was there when that began, or when it was made visible last. */
interface Target {
  at: string
  asked: ReturnType<typeof askedBy>
  permissions: number
  staging: Staging | undefined
  was: string | undefined
  /** Where what is written here begins, for one that appends. */
  from: number
}

const READ = 0o400
const WRITE = 0o200

/** @throws {OsError} EACCES. */
function permit(at: string, { mode }: Pick<Entry, 'mode'>, rights: number): void {
  if ((mode & rights) === rights) return
  const what = mode & READ ? 'written' : 'read'
  throw new OsError('EACCES', `${at} may not be ${what}: its mode is ${mode.toString(8).padStart(4, '0')}`)
}

async function mounted({ at, names, mount }: { at: string; names: string[]; mount: Mount }) {
  const info = await mount.stat(names)
  if (!info) throw new OsError('ENOENT', `${at}: no such file or directory`)
  return info
}

function notDirectory(at: string): OsError {
  return new OsError('ENOTDIR', `${at} is not a directory`)
}

function isDirectory(at: string): OsError {
  return new OsError('EISDIR', `${at} is a directory`)
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
