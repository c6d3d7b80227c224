// Immutable trees of directories: look up a path, apply a change, get a new root. It keeps no head; shared-tree.ts
// does. Errors are those of POSIX.
import { OsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, DAG_PB } from '../blocks/cid.ts'
import type { TreeOp } from '../rpc/methods.ts'
import { type Directory, decodeDirectory, type Entry, encodeDirectory } from './directory.ts'
import { joinPath, splitPath } from './path.ts'

/** Decoded directories kept: a few thousand small maps, and at most so many entries in all (some 15 MB). */
const CACHE_SIZE = 2048
const CACHE_ENTRIES = 100_000
/** What every new tree starts with. Times are 0, so that all new trees have the same root. */
const FIRST_DIRECTORIES = ['home', 'tmp']

export class Tree {
  readonly #blocks: Blocks
  readonly #cache = new Map<CidText, Directory>()
  /** Directories that `apply` made and `save` has not stored yet. */
  readonly #unsaved = new Map<CidText, Uint8Array>()
  #cachedEntries = 0

  constructor(blocks: Blocks) {
    this.#blocks = blocks
  }

  /** Entries of all directories kept decoded. */
  get cachedEntries(): number {
    return this.#cachedEntries
  }

  /** The root of a new tree, stored. */
  async create(): Promise<CidText> {
    const empty = await this.store(new Map())
    const entries = FIRST_DIRECTORIES.map((name): [string, Entry] => {
      return [name, { kind: 'directory', cid: empty, size: 0, mode: 0o755, mtimeMs: 0 }]
    })
    return this.store(new Map(entries))
  }

  async directory(cid: CidText, options: FetchOptions = {}): Promise<Directory> {
    const cached = this.#cache.get(cid)
    if (cached) return cached
    const bytes = this.#unsaved.get(cid) ?? (await this.#blocks.get(cid, options))
    const directory = decodeDirectory(cid, bytes)
    this.#remember(cid, directory)
    return directory
  }

  async store(directory: Directory): Promise<CidText> {
    const cid = await this.#draft(directory)
    await this.save(cid)
    return cid
  }

  /**
   * Stores the directories of `root` that `apply` made since the last save, and forgets those that no longer belong
   * to it: what a batch of changes made and replaced again never reaches the disk.
   */
  async save(root: CidText): Promise<void> {
    const reachable = new Map<CidText, Uint8Array>()
    const visit = async (cid: CidText): Promise<void> => {
      const bytes = this.#unsaved.get(cid)
      if (!bytes || reachable.has(cid)) return
      reachable.set(cid, bytes)
      for (const entry of (await this.directory(cid)).values()) if (entry.kind === 'directory') await visit(entry.cid)
    }
    await visit(root)
    await this.#blocks.putMany([...reachable])
    for (const cid of reachable.keys()) this.#unsaved.delete(cid)
  }

  /** Drops what was made and not saved. */
  discardUnsaved(): void {
    this.#unsaved.clear()
  }

  async #draft(directory: Directory): Promise<CidText> {
    const bytes = encodeDirectory(directory)
    const cid = await this.#blocks.cidOf(DAG_PB, bytes)
    this.#unsaved.set(cid, bytes)
    this.#remember(cid, directory)
    return cid
  }

  /** @throws {OsError} ENOENT, ENOTDIR. */
  async lookup(root: CidText, path: string, options: FetchOptions = {}): Promise<Entry> {
    let entry: Entry = { kind: 'directory', cid: root, size: 0, mode: 0o755, mtimeMs: 0 }
    const names = splitPath(path)
    for (const [i, name] of names.entries()) {
      if (entry.kind !== 'directory') throw new OsError('ENOTDIR', `${joinPath(names.slice(0, i))} is not a directory`)
      const next = (await this.directory(entry.cid, options)).get(name)
      if (!next) throw new OsError('ENOENT', `${joinPath(names.slice(0, i + 1))}: no such file or directory`)
      entry = next
    }
    return entry
  }

  /** @returns the root after the change; `save` stores it. @throws {OsError} as the POSIX call would. */
  async apply(root: CidText, op: TreeOp): Promise<CidText> {
    switch (op.op) {
      case 'put':
        return this.#put(root, op)
      case 'mkdir':
        return this.#mkdir(root, op)
      case 'remove':
        return this.#remove(root, op)
      case 'move':
        return this.#move(root, op)
    }
  }

  #put(root: CidText, op: Extract<TreeOp, { op: 'put' }>): Promise<CidText> {
    const { cid, size, mode, mtimeMs } = op
    return this.#change(root, op.path, op.parents ? mtimeMs : undefined, (parent, name) => {
      const old = parent.get(name)
      if (old?.kind === 'directory') throw new OsError('EISDIR', `${op.path} is a directory`)
      if (old && op.exclusive) throw new OsError('EEXIST', `${op.path} exists already`)
      return new Map(parent).set(name, { kind: 'file', cid, size, mode: old?.mode ?? mode, mtimeMs })
    })
  }

  async #mkdir(root: CidText, op: Extract<TreeOp, { op: 'mkdir' }>): Promise<CidText> {
    if (splitPath(op.path).length === 0) {
      if (op.recursive) return root
      throw new OsError('EEXIST', '/ exists already')
    }
    const empty = await this.#draft(new Map())
    return this.#change(root, op.path, op.recursive ? op.mtimeMs : undefined, (parent, name) => {
      const old = parent.get(name)
      if (old && !(op.recursive && old.kind === 'directory')) throw new OsError('EEXIST', `${op.path} exists already`)
      if (old) return parent
      return new Map(parent).set(name, { kind: 'directory', cid: empty, size: 0, mode: 0o755, mtimeMs: op.mtimeMs })
    })
  }

  async #remove(root: CidText, op: Extract<TreeOp, { op: 'remove' }>): Promise<CidText> {
    let old: Entry
    try {
      old = await this.lookup(root, op.path)
    } catch (error) {
      if (op.force && error instanceof OsError && error.code === 'ENOENT') return root
      throw error
    }
    if (splitPath(op.path).length === 0) throw new OsError('EBUSY', '/ cannot be removed')
    if (old.kind === 'directory' && !op.recursive && (await this.directory(old.cid)).size > 0) {
      throw new OsError('ENOTEMPTY', `${op.path} is not empty`)
    }
    return this.#change(root, op.path, undefined, (parent, name) => without(parent, name))
  }

  async #move(root: CidText, op: Extract<TreeOp, { op: 'move' }>): Promise<CidText> {
    const [from, to] = [splitPath(op.from), splitPath(op.to)]
    const moved = await this.lookup(root, op.from)
    if (from.length === 0) throw new OsError('EBUSY', '/ cannot be moved')
    if (joinPath(from) === joinPath(to)) return root
    if (joinPath(to).startsWith(`${joinPath(from)}/`)) throw new OsError('EINVAL', `cannot move ${op.from} into itself`)
    const target = await this.lookup(root, op.to).catch((error: unknown) => {
      if (error instanceof OsError && error.code === 'ENOENT') return undefined
      throw error
    })
    if (target) {
      if (moved.kind === 'directory' && target.kind !== 'directory') {
        throw new OsError('ENOTDIR', `cannot replace the file ${op.to} by a directory`)
      }
      if (moved.kind === 'file' && target.kind === 'directory') throw new OsError('EISDIR', `${op.to} is a directory`)
      if (target.kind === 'directory' && (await this.directory(target.cid)).size > 0) {
        throw new OsError('ENOTEMPTY', `${op.to} is not empty`)
      }
    }
    const placed = await this.#change(root, op.to, undefined, (parent, name) => new Map(parent).set(name, moved))
    return this.#change(placed, op.from, undefined, (parent, name) => without(parent, name))
  }

  /** Rewrites the directories along `path`. `makeParentsMs` makes missing ones, with that time. */
  async #change(
    root: CidText,
    path: string,
    makeParentsMs: number | undefined,
    edit: (parent: Directory, name: string) => Directory,
  ): Promise<CidText> {
    const names = splitPath(path)
    const last = names.pop()
    if (last === undefined) throw new OsError('EISDIR', '/ is a directory')
    const chain: { directory: Directory; name: string }[] = []
    let directory = await this.directory(root)
    for (const [i, name] of names.entries()) {
      chain.push({ directory, name })
      const next = directory.get(name)
      const at = joinPath(names.slice(0, i + 1))
      if (next && next.kind !== 'directory') throw new OsError('ENOTDIR', `${at} is not a directory`)
      if (!next && makeParentsMs === undefined) throw new OsError('ENOENT', `${at}: no such directory`)
      directory = next ? await this.directory(next.cid) : new Map()
    }
    const edited = edit(directory, last)
    if (edited === directory) return root
    let cid = await this.#draft(edited)
    for (const { directory: parent, name } of chain.reverse()) {
      const old = parent.get(name)
      const entry: Entry = old ?? { kind: 'directory', cid, size: 0, mode: 0o755, mtimeMs: makeParentsMs ?? 0 }
      cid = await this.#draft(new Map(parent).set(name, { ...entry, cid }))
    }
    return cid
  }

  #remember(cid: CidText, directory: Directory): void {
    this.#forget(cid)
    this.#cache.set(cid, directory)
    this.#cachedEntries += directory.size
    while (this.#cache.size > CACHE_SIZE || (this.#cachedEntries > CACHE_ENTRIES && this.#cache.size > 1)) {
      const [oldest] = this.#cache.keys()
      if (oldest !== undefined) this.#forget(oldest)
    }
  }

  #forget(cid: CidText): void {
    this.#cachedEntries -= this.#cache.get(cid)?.size ?? 0
    this.#cache.delete(cid)
  }
}

function without(directory: Directory, name: string): Directory {
  const copy = new Map(directory)
  copy.delete(name)
  return copy
}
