// The one tree that users see: `/`, the kegs that are mounted in it, and parts that are made when they are read. Above:
// dispatch.ts. Below: namespace.ts, dag.ts and the mounts. A task's changes are staged and take effect when its event completes.
import { Emitter, until } from '../../base/emitter.ts'
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import { MAX_PROGRAM_BYTES } from '../../syscalls/limits.ts'
import type { CallArgs, Changes, FileChange } from '../../syscalls/table.ts'
import type { Ack, DirectoryEntry, FileInfo, OnProgress, OpenMode } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { FileChanges } from './changes.ts'
import { askedBy, Commits, type Target } from './commits.ts'
import { DagReader, type FileRoot, fileRoot } from './dag.ts'
import { DagWriter } from './dag-writer.ts'
import { type Entry, infoOf } from './directory.ts'
import { fileReader, fileWriter, type Handle } from './handles.ts'
import type { Namespace } from './namespace.ts'
import { type Page, pageOf } from './parted.ts'
import { joinPath, splitPath } from './path.ts'
import { permit, READ, readOnly, WRITE } from './permissions.ts'
import type { Staging } from './staging.ts'
import { absent, type Place, present, type Tree } from './tree.ts'
import { changesBetween, entryOfVersion, versionOf } from './watch.ts'

/** A part of the tree that is made, not stored. Paths are relative to its root, as names. */
export interface Mount {
  /** Undefined when there is no such thing. @param last whether a link in the last place is followed. */
  stat(names: readonly string[], last: boolean): Promise<Omit<FileInfo, 'path'> | undefined>
  /** Sorted by name. Whatever is not on the page, or the first behind it, may be left out. */
  list(names: readonly string[], page: Page): Promise<DirectoryEntry[]>
  open(names: readonly string[]): Promise<Handle>
  /** Absent where everything is read-only. Called for what is there. */
  write?(names: readonly string[]): Promise<Handle>
}

export interface FsContext {
  signal: AbortSignal
  /** Set for tasks. */
  staging?: Staging | undefined
  /** Told of each step of what takes long. */
  onProgress?: OnProgress | undefined
}

const FILE_MODE = 0o644

/** Where a path leads: into a mount, or to a place in the tree. */
export type Found =
  | { at: string; names: string[]; mount: Mount; place?: undefined }
  | { at: string; place: Place; mount?: undefined }

export class Fs {
  readonly #tree: Tree
  readonly #namespace: Namespace
  readonly #blocks: Blocks
  readonly #clock: Clock
  readonly #mounts: ReadonlyMap<string, Mount>
  readonly #onWritten: (cid: string) => void
  readonly #commits: Commits
  readonly #changes: FileChanges
  readonly #treeChanges: Emitter<void>
  /** Changes of the tree that this node has heard of. */
  #treeVersion = 0

  constructor(options: {
    tree: Tree
    namespace: Namespace
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
    this.#namespace = options.namespace
    this.#blocks = options.blocks
    this.#clock = options.clock
    this.#mounts = options.mounts
    this.#onWritten = options.onWritten
    this.#treeChanges = new Emitter((error) => options.onNotice(errorLine(error)))
    this.#commits = new Commits({
      ...options,
      apply: (op, signal, ack) => this.#apply(op, { signal }, ack),
      there: (at, signal) => this.#fileAt(at, signal),
    })
    this.#changes = new FileChanges({
      ...options,
      mounted: (names) => this.#mount(names) !== undefined,
      find: (path, context, last) => this.#find(path, context, last),
      stat: (path, context, last) => this.stat(path, context, last),
      open: (path, context) => this.open(path, 'r', context),
      apply: (ops, context) => this.#applyAll(ops, context),
    })
  }

  /** @param last whether a symbolic link in the last place is followed. */
  async stat(path: string, context: FsContext, last = true): Promise<FileInfo> {
    const found = await this.#find(path, context, last)
    if (found.mount) return { path: found.at, ...(await mounted(found, last)) }
    const staged = context.staging?.file(found.at)
    if (staged) {
      const entry = { kind: 'file' as const, ...staged, mode: FILE_MODE, mtimeMs: this.#clock.wallMs() }
      return { path: found.at, ...infoOf(entry) }
    }
    if (staged === null) throw absent(found.place.names)
    const entry = present(found.place)
    const info = { path: found.at, ...infoOf(entry) }
    return entry.kind === 'symlink' ? { ...info, target: await this.#tree.target(entry.cid) } : info
  }

  async list(path: string, page: Page, context: FsContext): Promise<{ entries: DirectoryEntry[]; more: boolean }> {
    const found = await this.#find(path, context)
    if (found.mount) {
      if ((await mounted(found)).kind !== 'directory') throw notDirectory(found.at)
      return onPage(await found.mount.list(found.names, page), page)
    }
    const entry = present(found.place)
    if (entry.kind !== 'directory') throw notDirectory(found.at)
    permit(found.at, entry, READ)
    const directory = await this.#tree.directory(entry.cid, { signal: context.signal })
    // One more tells that there are more; so many could be hidden by mounts.
    const rows = pageOf(directory, { ...page, limit: page.limit + 1 + this.#mounts.size }).map(
      ([name, { kind, size, mtimeMs, mode }]) => ({ name, kind, size, mtimeMs, mode }),
    )
    if (found.at !== '/') return onPage(rows, page)
    const mounts = [...this.#mounts.keys()].map((name) => {
      return { name, kind: 'directory' as const, size: 0, mtimeMs: 0, mode: 0o555 }
    })
    return onPage([...rows.filter((row) => !this.#mounts.has(row.name)), ...mounts].sort(byName), page)
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
    const found = await this.#find(path, context, !asked.exclusive)
    if (found.mount) {
      if (asked.writes && !found.mount.write) throw readOnly(found.at)
      if ((await mounted(found)).kind === 'directory') throw isDirectory(found.at)
      if (asked.exclusive) throw new OsError('EEXIST', `${found.at} exists already`)
      return asked.writes && found.mount.write ? found.mount.write(found.names) : found.mount.open(found.names)
    }
    const { at, place } = found
    const staged = context.staging?.file(at)
    const there = staged === undefined ? place.entry : (staged ?? undefined)
    if (there && asked.exclusive) throw new OsError('EEXIST', `${at} exists already`)
    if (place.entry?.kind === 'directory') throw isDirectory(at)
    if (!there && (!asked.creates || (place.problem && !context.staging))) throw place.problem ?? absent(place.names)
    if (staged === undefined && place.entry)
      permit(at, place.entry, (asked.reads ? READ : 0) | (asked.writes ? WRITE : 0))
    if (!asked.writes) return this.#reader(there as FileRoot)
    const keeps = there && !asked.truncates ? there : undefined
    // What is written is named when the file is closed. (A task's has its time: TOUCHED_MS.)
    const release = context.staging ? undefined : this.#blocks.pin()
    const writer = keeps
      ? await DagWriter.open(this.#blocks, keeps, { signal: context.signal }).catch((error: unknown) => {
          release?.()
          throw error
        })
      : new DagWriter(this.#blocks, { chunks: there ? there.chunks : place.parent?.chunks })
    const target = { at, asked, permissions, was: keeps?.cid, from: keeps?.size ?? 0 }
    return fileWriter(writer, !keeps, {
      readable: asked.reads,
      appends: asked.appends,
      release,
      commit: (file, signal, ack) => this.#commit(target, context.staging, file, signal, ack),
      reopen: (file, signal) => DagWriter.open(this.#blocks, file, { signal }),
    })
  }

  /** A program's source as blocks, so that executors can fetch it. @throws {OsError} ENOENT, EISDIR, EFBIG. */
  async programFile(path: string, context: FsContext): Promise<FileRoot> {
    const info = await this.stat(path, context)
    if (info.size > MAX_PROGRAM_BYTES) {
      throw new OsError('EFBIG', `${path} is ${info.size} bytes; a program is at most ${MAX_PROGRAM_BYTES}`)
    }
    const handle = await this.open(path, 'r', context)
    const read = handle.read(0, Math.max(1, info.size), context.signal)
    const { bytes } = await read.finally(() => handle.release?.())
    const writer = new DagWriter(this.#blocks)
    await writer.write(bytes)
    return writer.finish()
  }

  /** A change of names, or of what is known of a file. @throws {OsError} as the POSIX call would. */
  change(args: FileChange, context: FsContext): Promise<Ack> {
    return this.#changes.change(args, context)
  }

  #apply(op: TreeOp, context: FsContext, ack?: Ack['level']): Promise<Ack> {
    return this.#applyAll([op], context, ack)
  }

  async #applyAll(ops: readonly TreeOp[], { staging, signal }: FsContext, ack?: Ack['level']): Promise<Ack> {
    if (!staging) return this.#namespace.apply(ops, ack, signal)
    for (const op of ops) staging.add(op)
    return { level: 'local', devices: 1 }
  }

  #mount(names: readonly string[]): Mount | undefined {
    const [first] = names
    return first === undefined ? undefined : this.#mounts.get(first)
  }

  /** Follows links, also from the tree into a mount. @throws {OsError} ELOOP, EIO, EHOSTUNREACH. */
  async #find(path: string, { signal }: FsContext, last = true): Promise<Found> {
    const outside = (names: readonly string[]) => this.#mount(names) !== undefined
    const names = splitPath(path)
    const place: Place = outside(names)
      ? { names, entry: undefined, outside: true }
      : await this.#namespace.resolve(names, { last, outside }, signal)
    const at = joinPath(place.names)
    const mount = place.outside && this.#mount(place.names)
    return mount ? { at, names: place.names.slice(1), mount } : { at, place }
  }

  #reader(root: FileRoot): Handle {
    return fileReader(new DagReader(this.#blocks, root, {}), root.size)
  }

  /** @throws {OsError} EEXIST for what is no file. */
  async #fileAt(at: string, signal: AbortSignal): Promise<FileRoot | undefined> {
    const found = await this.#find(at, { signal }, false)
    const entry = found.mount ? undefined : found.place.entry
    if (entry && entry.kind !== 'file') throw new OsError('EEXIST', `${at} was replaced by a ${entry.kind}`)
    return entry && fileRoot(entry)
  }

  /** Makes a written file visible; of an event, when it completes. */
  async #commit(target: Target, staging: Staging | undefined, file: FileRoot, signal: AbortSignal, ack?: Ack['level']) {
    if (!staging) {
      this.#onWritten(file.cid)
      return this.#commits.commit(target, file, signal, ack)
    }
    const put = {
      op: 'put' as const,
      path: target.at,
      ...file,
      mode: target.permissions,
      mtimeMs: this.#clock.wallMs(),
    }
    const only = target.asked.exclusive ? { exclusive: true } : {}
    return { file, ack: await this.#apply({ ...put, parents: true, ...only }, { staging, signal }) }
  }
}

async function mounted({ at, names, mount }: { at: string; names: string[]; mount: Mount }, last = true) {
  const info = await mount.stat(names, last)
  if (!info) throw new OsError('ENOENT', `${at}: no such file or directory`)
  return info
}

/** @param rows sorted by name. */
function onPage(rows: readonly DirectoryEntry[], { after, limit }: Page) {
  const start = after === undefined ? 0 : rows.findIndex(({ name }) => name > after)
  const entries = start < 0 ? [] : rows.slice(start, start + limit)
  return { entries, more: start >= 0 && start + entries.length < rows.length }
}

function notDirectory(at: string): OsError {
  return new OsError('ENOTDIR', `${at} is not a directory`)
}

function isDirectory(at: string): OsError {
  return new OsError('EISDIR', `${at} is a directory`)
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}
