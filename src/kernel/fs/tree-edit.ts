// Changes of a tree: a new root for each, whose directories are stored when the change is kept. Errors are those of
// POSIX. Above: tree-keeper.ts. Below: tree.ts. Symbolic links on the way to a path are followed here, so that a change
// is made where it leads at that moment.
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { FetchOptions } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import { MAX_TREE_DEPTH } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import type { Chunks } from './chunker.ts'
import type { Directory, Entry } from './directory.ts'
import { fitting, withEntry, withoutEntry } from './parted.ts'
import { isWithin, joinPath, splitPath } from './path.ts'
import { permit, READ, WRITE } from './permissions.ts'
import { absent, type Draft, present, type Reading, resolve, type Tree } from './tree.ts'

type Op<K extends TreeOp['op']> = Extract<TreeOp, { op: K }>

const DIRECTORY_MODE = 0o755
const LINK_MODE = 0o777

/** How the directories above a change are treated. */
interface Above {
  /** Makes those that are missing. */
  make?: boolean | undefined
  /** Time of those that are made, and of the one in which a name appears or goes; undefined: theirs stays. */
  mtimeMs: number | undefined
}

export class TreeEdit {
  readonly #tree: Tree
  /** Links that `apply` made and `save` has not stored yet. */
  readonly #links = new Map<CidText, Draft>()
  /** Directories that `apply` made, by names that they have until `settle`: most of a batch are replaced again at once. */
  readonly #made = new Map<string, Directory>()
  #count = 0
  readonly #reading: Reading

  /**
   * @param options where directories that are not here may be had.
   * @param apart the tree is not `/`: links that lead out of it are not followed (EXDEV).
   */
  constructor(tree: Tree, options: FetchOptions = {}, apart = false) {
    this.#tree = tree
    this.#reading = {
      directory: async (cid) => this.#made.get(cid) ?? tree.directory(cid, options),
      target: async (cid) => this.#links.get(cid)?.target ?? tree.target(cid, options),
      apart,
    }
  }

  /**
   * Names the directories of `root` that `apply` made: what a batch of changes made and replaced again is never encoded.
   * @returns the root's own name, and what `save` has to store.
   */
  async settle(root: CidText): Promise<{ root: CidText; drafts: Draft[] }> {
    const drafts = new Map<CidText, Draft>()
    const named = new Map<CidText, CidText>()
    const settled = async (cid: CidText): Promise<CidText> => {
      const known = named.get(cid)
      if (known !== undefined) return known
      let directory = this.#made.get(cid)
      if (!directory) return cid
      for (const [name, entry] of directory) {
        const link = entry.kind === 'symlink' && this.#links.get(entry.cid)
        if (link) drafts.set(link.cid, link)
        if (entry.kind !== 'directory' || !this.#made.has(entry.cid)) continue
        directory = withEntry(directory, name, { ...entry, cid: await settled(entry.cid) })
      }
      const draft = await this.#tree.draft(directory)
      drafts.set(draft.cid, draft)
      named.set(cid, draft.cid)
      return draft.cid
    }
    return { root: await settled(root), drafts: [...drafts.values()] }
  }

  /** Stores what `apply` made of `root`. @returns its name. @throws {OsError} ENOSPC, EIO. */
  async save(made: CidText): Promise<CidText> {
    const { root, drafts } = await this.settle(made)
    await this.#tree.keep(drafts)
    return root
  }

  /** @returns the root after the change, by a name that only this edit knows until `save`. @throws {OsError} as the POSIX call would. */
  async apply(root: CidText, op: TreeOp): Promise<CidText> {
    switch (op.op) {
      case 'put':
        return this.#put(root, op)
      case 'mkdir':
        return this.#mkdir(root, op)
      case 'symlink':
        return this.#symlink(root, op)
      case 'remove':
        return this.#remove(root, op)
      case 'move':
        return this.#move(root, op)
      case 'copy':
        return this.#copy(root, op)
      case 'set':
        return this.#set(root, op)
      case 'graft':
        return this.#graft(root, op)
      case 'mount':
        return this.#mount(root, op)
      case 'umount':
        return this.#umount(root, op)
    }
  }

  async #put(root: CidText, op: Op<'put'>): Promise<CidText> {
    const { cid, size, mode, mtimeMs, chunks } = op
    // What is to be new, or to replace what was seen, is not looked for elsewhere.
    const names = await this.#canonical(root, op.path, !op.exclusive && op.was === undefined)
    return this.#change(root, names, { make: op.parents, mtimeMs }, (parent, name) => {
      const old = parent.get(name)
      if (old && op.exclusive) throw new OsError('EEXIST', `${op.path} exists already`)
      if (old?.kind === 'directory') throw new OsError('EISDIR', `${op.path} is a directory`)
      unchanged(op, old)
      return withEntry(parent, name, entryOf({ kind: 'file', cid, size, mode: fileMode(old) ?? mode, mtimeMs }, chunks))
    })
  }

  async #mkdir(root: CidText, op: Op<'mkdir'>): Promise<CidText> {
    const { names, dead, problem } = await resolve(this.#reading, root, splitPath(op.path), { last: op.recursive })
    if (dead && op.recursive) {
      // Directories are never made where a link leads to nothing.
      const code = (await this.#endsInLink(root, op.path)) ? (problem?.code ?? 'ENOENT') : 'ENOTDIR'
      throw new OsError(code, `${op.path}: a symbolic link on the way leads to nothing`)
    }
    if (names.length === 0) {
      if (op.recursive) return root
      throw new OsError('EEXIST', '/ exists already')
    }
    const empty = this.#make(new Map())
    const { mtimeMs, mode = DIRECTORY_MODE } = op
    return this.#change(root, names, { make: op.recursive, mtimeMs }, (parent, name, inherited) => {
      const old = parent.get(name)
      if (old && !(op.recursive && old.kind === 'directory')) throw new OsError('EEXIST', `${op.path} exists already`)
      if (old) return parent
      const made: Entry = { kind: 'directory', cid: empty, size: 0, mode, mtimeMs }
      return withEntry(parent, name, entryOf(made, op.chunks ?? inherited))
    })
  }

  async #symlink(root: CidText, op: Op<'symlink'>): Promise<CidText> {
    const names = await this.#canonical(root, op.path)
    if (names.length === 0) throw new OsError('EEXIST', '/ exists already')
    const link = await this.#tree.draftLink(op.target)
    const { cid } = link
    this.#links.set(cid, link)
    const { mtimeMs } = op
    return this.#change(root, names, { mtimeMs }, (parent, name) => {
      const old = parent.get(name)
      if (op.again && old?.kind === 'symlink' && old.cid === cid) return parent
      if (old && op.was === undefined) throw new OsError('EEXIST', `${op.path} exists already`)
      unchanged(op, old)
      const size = utf8(op.target).byteLength
      return withEntry(parent, name, { kind: 'symlink', cid, size, mode: LINK_MODE, mtimeMs })
    })
  }

  async #remove(root: CidText, op: Op<'remove'>): Promise<CidText> {
    let names: string[]
    let old: Entry
    try {
      names = await this.#canonical(root, op.path)
      old = await this.#entry(root, names)
    } catch (error) {
      if (op.force && error instanceof OsError && error.code === 'ENOENT') return root
      throw error
    }
    if (names.length === 0) throw new OsError('EBUSY', '/ cannot be removed')
    notMounted(op.path, old)
    unchanged(op, old)
    if (old.kind === 'directory' && !op.recursive && (await this.#directory(old.cid)).size > 0) {
      throw new OsError('ENOTEMPTY', `${op.path} is not empty`)
    }
    return this.#change(root, names, { mtimeMs: op.mtimeMs }, withoutEntry)
  }

  async #move(root: CidText, op: Op<'move'>): Promise<CidText> {
    const from = await this.#within(root, op.from)
    const to = await this.#within(root, op.to)
    const moved = await this.#entry(root, from)
    if (from.length === 0) throw new OsError('EBUSY', '/ cannot be moved')
    notMounted(op.from, moved)
    if (joinPath(from) === joinPath(to)) return root
    if (isWithin(to, from)) throw new OsError('EINVAL', `cannot move ${op.from} into itself`)
    // Of whatever kind that is which is moved: as Linux says it.
    if (isWithin(from, to)) throw new OsError('ENOTEMPTY', `${op.to} is not empty: ${op.from} is in it`)
    const target = await this.#find(root, to)
    if (op.exclusive && target) throw new OsError('EEXIST', `${op.to} exists already`)
    await this.#replaceable(op.to, target, moved)
    await this.#notTooDeep(from, to, moved)
    const above = { mtimeMs: op.mtimeMs }
    const placed = await this.#change(root, to, above, (parent, name) => withEntry(parent, name, moved))
    return this.#change(placed, from, above, withoutEntry)
  }

  async #copy(root: CidText, op: Op<'copy'>): Promise<CidText> {
    if (op.again && (await this.#copiedAlready(root, op))) return root
    const from = await this.#canonical(root, op.from)
    const copied = await this.#entry(root, from)
    if (copied.keg) throw new OsError('EXDEV', `another keg is mounted at ${op.from}`)
    const to = await this.#canonical(root, op.to, copied.kind === 'file' && !op.exclusive)
    if (isWithin(to, from) && copied.kind === 'directory') {
      throw new OsError('EINVAL', `cannot copy ${op.from} into itself`)
    }
    const target = await this.#find(root, to)
    if (op.exclusive && target) throw new OsError('EEXIST', `${op.to} exists already`)
    await this.#replaceable(op.to, target, copied)
    await this.#notTooDeep(from, to, copied)
    if (copied.kind === 'file') permit(op.from, copied, READ)
    if (copied.kind === 'file' && target?.kind === 'file') permit(op.to, target, WRITE)
    return this.#change(root, to, { mtimeMs: op.mtimeMs }, (parent, name) => {
      const mode = (copied.kind === 'file' ? fileMode(parent.get(name)) : undefined) ?? copied.mode
      const mtimeMs = copied.kind === 'file' ? op.mtimeMs : copied.mtimeMs
      return withEntry(parent, name, { ...copied, mode, mtimeMs })
    })
  }

  async #set(root: CidText, op: Op<'set'>): Promise<CidText> {
    const names = await this.#canonical(root, op.path, true)
    if (op.again && !(await this.#find(root, names))) return root
    if (names.length === 0)
      throw new OsError('EPERM', 'the mode and time of /, and how its files are cut, cannot be changed')
    return this.#change(root, names, { mtimeMs: undefined }, (parent, name) => {
      const old = parent.get(name)
      if (!old) throw absent(names)
      if (op.chunks && old.kind !== 'directory') throw new OsError('ENOTDIR', `${op.path} is not a directory`)
      const { chunks, ...rest } = { ...old, mode: op.mode ?? old.mode, mtimeMs: op.mtimeMs ?? old.mtimeMs }
      return withEntry(parent, name, entryOf(rest, op.chunks === 'fixed' ? undefined : (op.chunks ?? chunks)))
    })
  }

  async #graft(root: CidText, { path, atMs, exclusive, beside, ...op }: Op<'graft'>): Promise<CidText> {
    const { kind, cid, size, mode, mtimeMs, chunks, keg } = op
    const entry = entryOf({ kind, cid, size, mode, mtimeMs, ...(keg ? { keg: keg as Kid } : {}) }, chunks)
    const { names, dead } = await resolve(this.#reading, root, splitPath(path), { last: false })
    if (dead) throw new OsError('ENOENT', `${path}: a symbolic link on the way leads to nothing`)
    if (keg) await this.#mountable(entry)
    if (beside) await this.#vacant(path, names.length > 0 ? await this.#find(root, names) : rootEntry(root))
    await this.#notTooDeep([], names, entry)
    if (names.length > 0) {
      return this.#change(root, names, { make: !beside, mtimeMs: atMs }, (parent, name) => {
        if (exclusive && parent.has(name)) throw new OsError('EEXIST', `${path} exists already`)
        notMounted(path, parent.get(name))
        return withEntry(parent, name, entry)
      })
    }
    if (kind !== 'directory') throw new OsError('ENOTDIR', `/ cannot become a ${kind}`)
    await this.#directory(cid)
    return cid
  }

  /** @throws {OsError} EINVAL for what no keg can be mounted over. */
  async #mountable({ kind, cid }: Entry): Promise<void> {
    const empty = kind === 'directory' && (await this.#directory(cid)).size === 0
    if (!empty || this.#reading.apart) throw new OsError('EINVAL', 'kegs are mounted over empty directories of / only')
  }

  /** @throws {OsError} EEXIST, ENOTEMPTY, EBUSY where something stands that is no empty directory. */
  async #vacant(path: string, there: Entry | undefined): Promise<void> {
    if (!there) return
    notMounted(path, there)
    if (there.kind !== 'directory') throw new OsError('EEXIST', `${path} exists already`)
    if ((await this.#directory(there.cid)).size > 0) throw new OsError('ENOTEMPTY', `${path} is not empty`)
  }

  async #mount(root: CidText, { path, keg, mtimeMs }: Op<'mount'>): Promise<CidText> {
    const names = await this.#canonical(root, path)
    if (names.length === 0) throw new OsError('EBUSY', 'no keg can be mounted over /')
    if (this.#reading.apart) throw new OsError('EINVAL', 'kegs are mounted in / only')
    const empty = this.#make(new Map())
    const there = await this.#find(root, names)
    notMounted(path, there)
    if (there && there.kind !== 'directory') throw new OsError('ENOTDIR', `${path} is not a directory`)
    if (there && (await this.#directory(there.cid)).size > 0) throw new OsError('ENOTEMPTY', `${path} is not empty`)
    return this.#change(root, names, { mtimeMs }, (parent, name) => {
      const made: Entry = { kind: 'directory', cid: empty, size: 0, mode: DIRECTORY_MODE, mtimeMs }
      return withEntry(parent, name, { ...(parent.get(name) ?? made), keg: keg as Kid })
    })
  }

  async #umount(root: CidText, { path, mtimeMs }: Op<'umount'>): Promise<CidText> {
    const names = await this.#canonical(root, path, true)
    if (!(await this.#entry(root, names)).keg) throw new OsError('EINVAL', `nothing is mounted at ${path}`)
    return this.#change(root, names, { mtimeMs }, (parent, name) => {
      const { keg: _, ...entry } = parent.get(name) as Entry
      return withEntry(parent, name, entry)
    })
  }

  /** What a path stands for, in a directory that exists. @throws {OsError} ENOENT, ENOTDIR, ELOOP. */
  async #within(root: CidText, path: string): Promise<string[]> {
    const names = await this.#canonical(root, path)
    const parent = names.slice(0, -1)
    const { kind } = await this.#entry(root, parent)
    if (kind !== 'directory') throw new OsError('ENOTDIR', `${joinPath(parent)} is not a directory`)
    return names
  }

  /** Whether a directory that is copied again was perhaps copied: it is there, or the original has gone. */
  async #copiedAlready(root: CidText, op: Op<'copy'>): Promise<boolean> {
    const from = await this.#find(root, await this.#canonical(root, op.from))
    const to = await this.#find(root, await this.#canonical(root, op.to))
    return (
      !from ||
      (from.kind === 'directory' && to?.kind === 'directory') ||
      (op.exclusive === true && to?.cid === from.cid)
    )
  }

  async #endsInLink(root: CidText, path: string): Promise<boolean> {
    return (await resolve(this.#reading, root, splitPath(path), { last: false })).entry?.kind === 'symlink'
  }

  /** @throws {OsError} ENAMETOOLONG when what is below `entry` would lie deeper than names can say. */
  async #notTooDeep(from: readonly string[], to: readonly string[], entry: Entry): Promise<void> {
    // What fits where it is fits wherever that is not deeper.
    if (entry.kind !== 'directory' || to.length <= from.length) return
    const depth = await this.#depth(entry.cid, new Map())
    if (to.length + depth <= MAX_TREE_DEPTH) return
    throw new OsError('ENAMETOOLONG', `${joinPath(to)}: what is below would have more than ${MAX_TREE_DEPTH} names`)
  }

  /** Names below a directory, at most. */
  async #depth(cid: CidText, known: Map<CidText, number>): Promise<number> {
    const found = known.get(cid)
    if (found !== undefined) return found
    let deepest = 0
    for (const { kind, cid: below } of (await this.#directory(cid)).values()) {
      deepest = Math.max(deepest, 1 + (kind === 'directory' ? await this.#depth(below, known) : 0))
    }
    known.set(cid, deepest)
    return deepest
  }

  /** @throws {OsError} when what stands at a path cannot give way to `entry`. */
  async #replaceable(path: string, target: Entry | undefined, entry: Entry): Promise<void> {
    if (!target) return
    notMounted(path, target)
    if (entry.kind === 'directory' && target.kind !== 'directory') {
      throw new OsError('ENOTDIR', `cannot replace the file ${path} by a directory`)
    }
    if (entry.kind !== 'directory' && target.kind === 'directory') throw new OsError('EISDIR', `${path} is a directory`)
    if (target.kind === 'directory' && (await this.#directory(target.cid)).size > 0) {
      throw new OsError('ENOTEMPTY', `${path} is not empty`)
    }
  }

  /** Rewrites the directories along `names`, which no link is among. */
  async #change(
    root: CidText,
    names: readonly string[],
    above: Above,
    edit: (parent: Directory, name: string, inherited: Chunks | undefined) => Directory,
  ): Promise<CidText> {
    const last = names.at(-1)
    if (last === undefined) throw new OsError('EISDIR', '/ is a directory')
    const chain: { directory: Directory; name: string; chunks: Chunks | undefined }[] = []
    let directory = await this.#directory(root)
    let chunks: Chunks | undefined
    for (const [i, name] of names.slice(0, -1).entries()) {
      const next = directory.get(name)
      chunks = next ? next.chunks : chunks // those that are made are as the one that they are made in
      chain.push({ directory, name, chunks })
      const at = joinPath(names.slice(0, i + 1))
      if (next && next.kind !== 'directory') throw new OsError('ENOTDIR', `${at} is not a directory`)
      if (!next && !above.make) throw new OsError('ENOENT', `${at}: no such directory`)
      directory = next ? await this.#directory(next.cid) : new Map()
    }
    const edited = edit(directory, last, chunks)
    if (edited === directory) return root
    // A directory's time is that of the last change of its names.
    let touched = edited.size !== directory.size ? above.mtimeMs : undefined
    let cid = this.#make(edited)
    for (const { directory: parent, name, chunks: own } of chain.reverse()) {
      const old = parent.get(name)
      const mtimeMs = touched ?? old?.mtimeMs ?? above.mtimeMs ?? 0
      const entry = entryOf({ kind: 'directory', cid, size: 0, mode: old?.mode ?? DIRECTORY_MODE, mtimeMs }, own)
      touched = old ? undefined : above.mtimeMs
      cid = this.#make(withEntry(parent, name, entry))
    }
    return cid
  }

  /** What a path stands for when links on the way are followed, and the last one too if told. @throws {OsError} ELOOP. */
  async #canonical(root: CidText, path: string, last = false): Promise<string[]> {
    return (await resolve(this.#reading, root, splitPath(path), { last })).names
  }

  #directory(cid: CidText): Promise<Directory> {
    return this.#reading.directory(cid)
  }

  /** @returns what it is called until it is settled: nothing that is stored can be called so. */
  #make(directory: Directory): CidText {
    const name = `made ${++this.#count}`
    this.#made.set(name, fitting(directory))
    return name
  }

  /** @throws {OsError} ENOENT, ENOTDIR. */
  async #entry(root: CidText, names: readonly string[]): Promise<Entry> {
    return present(await resolve(this.#reading, root, names, { last: false }))
  }

  /** The same, and undefined where there is nothing. @throws {OsError} ENOTDIR. */
  async #find(root: CidText, names: readonly string[]): Promise<Entry | undefined> {
    const { entry, problem } = await resolve(this.#reading, root, names, { last: false })
    if (problem?.code === 'ENOTDIR') throw problem
    return entry
  }
}

/** @throws {OsError} EEXIST when something else stands there than whoever asks for the change has seen. */
function unchanged(op: { path: string; was?: CidText | undefined }, old: Entry | undefined): void {
  if (op.was !== undefined && old?.cid !== op.was) throw new OsError('EEXIST', `${op.path} was changed meanwhile`)
}

function rootEntry(cid: CidText): Entry {
  return { kind: 'directory', cid, size: 0, mode: DIRECTORY_MODE, mtimeMs: 0 }
}

/** @throws {OsError} EBUSY for what a keg is mounted over. */
function notMounted(path: string, entry: Entry | undefined): void {
  if (entry?.keg) throw new OsError('EBUSY', `a keg is mounted at ${path}: umount it first`)
}

/** What is not cut by content does not say how it is cut, so that equal directories are equal blocks. */
function entryOf(entry: Omit<Entry, 'chunks'>, chunks: Chunks | undefined): Entry {
  return chunks ? { ...entry, chunks } : entry
}

/** Of what is replaced, if that is a file: it keeps its own. */
function fileMode(old: Entry | undefined): number | undefined {
  return old?.kind === 'file' ? old.mode : undefined
}
