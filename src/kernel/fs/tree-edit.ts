// Changes of a tree: a new root for each, whose directories are stored when the change is kept. Errors are those of
// POSIX. Above: tree-keeper.ts. Below: tree.ts.
import { OsError } from '../../base/errors.ts'
import type { FetchOptions } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import type { TreeOp } from '../rpc/methods.ts'
import type { Directory, Entry } from './directory.ts'
import { joinPath, splitPath } from './path.ts'
import { type Draft, lookup, type Tree } from './tree.ts'

export class TreeEdit {
  readonly #tree: Tree
  readonly #options: FetchOptions
  /** Directories that `apply` made and `save` has not stored yet. */
  readonly #unsaved = new Map<CidText, Draft>()

  /** @param options where directories that are not here may be had. */
  constructor(tree: Tree, options: FetchOptions = {}) {
    this.#tree = tree
    this.#options = options
  }

  /**
   * Stores the directories of `root` that `apply` made since the last save: what a batch of changes made and replaced
   * again never reaches the disk.
   */
  async save(root: CidText): Promise<void> {
    const reachable = new Map<CidText, Draft>()
    const visit = (cid: CidText): void => {
      const draft = this.#unsaved.get(cid)
      if (!draft || reachable.has(cid)) return
      reachable.set(cid, draft)
      for (const entry of draft.directory.values()) if (entry.kind === 'directory') visit(entry.cid)
    }
    visit(root)
    await this.#tree.keep([...reachable.values()])
    for (const cid of reachable.keys()) this.#unsaved.delete(cid)
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
      unchanged(op, old)
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
      old = await this.#lookup(root, op.path)
    } catch (error) {
      if (op.force && error instanceof OsError && error.code === 'ENOENT') return root
      throw error
    }
    if (splitPath(op.path).length === 0) throw new OsError('EBUSY', '/ cannot be removed')
    unchanged(op, old)
    if (old.kind === 'directory' && !op.recursive && (await this.#directory(old.cid)).size > 0) {
      throw new OsError('ENOTEMPTY', `${op.path} is not empty`)
    }
    return this.#change(root, op.path, undefined, (parent, name) => without(parent, name))
  }

  async #move(root: CidText, op: Extract<TreeOp, { op: 'move' }>): Promise<CidText> {
    const [from, to] = [splitPath(op.from), splitPath(op.to)]
    const moved = await this.#lookup(root, op.from)
    if (from.length === 0) throw new OsError('EBUSY', '/ cannot be moved')
    if (joinPath(from) === joinPath(to)) return root
    if (joinPath(to).startsWith(`${joinPath(from)}/`)) throw new OsError('EINVAL', `cannot move ${op.from} into itself`)
    const target = await this.#lookup(root, op.to).catch((error: unknown) => {
      if (error instanceof OsError && error.code === 'ENOENT') return undefined
      throw error
    })
    if (target) {
      if (moved.kind === 'directory' && target.kind !== 'directory') {
        throw new OsError('ENOTDIR', `cannot replace the file ${op.to} by a directory`)
      }
      if (moved.kind === 'file' && target.kind === 'directory') throw new OsError('EISDIR', `${op.to} is a directory`)
      if (target.kind === 'directory' && (await this.#directory(target.cid)).size > 0) {
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
    let directory = await this.#directory(root)
    for (const [i, name] of names.entries()) {
      chain.push({ directory, name })
      const next = directory.get(name)
      const at = joinPath(names.slice(0, i + 1))
      if (next && next.kind !== 'directory') throw new OsError('ENOTDIR', `${at} is not a directory`)
      if (!next && makeParentsMs === undefined) throw new OsError('ENOENT', `${at}: no such directory`)
      directory = next ? await this.#directory(next.cid) : new Map()
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

  async #directory(cid: CidText): Promise<Directory> {
    return this.#unsaved.get(cid)?.directory ?? this.#tree.directory(cid, this.#options)
  }

  async #draft(directory: Directory): Promise<CidText> {
    const draft = await this.#tree.draft(directory)
    this.#unsaved.set(draft.cid, draft)
    return draft.cid
  }

  /** @throws {OsError} ENOENT, ENOTDIR. */
  async #lookup(root: CidText, path: string): Promise<Entry> {
    return lookup((cid) => this.#directory(cid), root, path)
  }
}

/** @throws {OsError} EEXIST when something else stands there than whoever asks for the change has seen. */
function unchanged(op: { path: string; was?: CidText | undefined }, old: Entry | undefined): void {
  if (op.was !== undefined && old?.cid !== op.was) throw new OsError('EEXIST', `${op.path} was changed meanwhile`)
}

function without(directory: Directory, name: string): Directory {
  const copy = new Map(directory)
  copy.delete(name)
  return copy
}
