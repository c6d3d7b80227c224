// Immutable trees of directories: read them, look up a path. Changes are made by tree-edit.ts. It keeps no head;
// shared-tree.ts does. Errors are those of POSIX.
import { orAborted } from '../../base/abort.ts'
import { OsError, toOsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, DAG_PB } from '../blocks/cid.ts'
import { MAX_DIRECTORY_ENTRIES, MAX_SYMLINKS } from '../limits.ts'
import { MalformedDag } from './dag.ts'
import {
  type Directory,
  decodeDirectoryBlock,
  decodeLink,
  type Entry,
  encodeDirectory,
  encodeLink,
} from './directory.ts'
import { fitting, inOrder, joined, type Part, PartedDirectory } from './parted.ts'
import { joinPath, splitPath } from './path.ts'

/** Decoded directories kept, and parts of large ones: a few thousand small maps, and at most so many entries in all (some 45 MB). */
const CACHE_SIZE = 4096
const CACHE_ENTRIES = 300_000
/** Parts that are read at a time. */
const PARTS_TOGETHER = 32
/** What `/` starts with. Times are 0, so that all new trees have the same root. */
export const FIRST_DIRECTORIES = ['home', 'tmp']

/** One version of a tree, and where its blocks may be had. */
export interface TreeView {
  root: CidText
  options: FetchOptions
}

/** A directory, or a symbolic link, that is not stored yet. */
export interface Draft {
  cid: CidText
  bytes: Uint8Array
  directory?: Directory
  target?: string
  /** Those of the directory that are not stored yet. */
  parts?: readonly Part[]
}

/** Whoever reads a directory. */
interface Reader {
  directory: Promise<Directory>
  gaveUp(): boolean
}

export class Tree {
  readonly #blocks: Blocks
  readonly #cache = new Map<CidText, Directory>()
  #cachedEntries = 0
  /** Directories that are being read, by CID and who is said to have them. */
  readonly #reading = new Map<string, Reader>()
  readonly #targets = new Map<CidText, string>()

  constructor(blocks: Blocks) {
    this.#blocks = blocks
  }

  /** Entries of all directories kept decoded. */
  get cachedEntries(): number {
    return this.#cachedEntries
  }

  /** The root of a new tree, stored. With a disk that is full a tab starts all the same, if it has done so before. */
  async create(names = FIRST_DIRECTORIES): Promise<CidText> {
    const empty = await this.draft(new Map())
    const entries = names.map((name): [string, Entry] => {
      return [name, { kind: 'directory', cid: empty.cid, size: 0, mode: 0o755, mtimeMs: 0 }]
    })
    const drafts = [empty, await this.draft(new Map(entries))]
    const held = await this.#blocks.hasMany(drafts.map(({ cid }) => cid))
    await this.keep(drafts.filter((_, i) => !held[i]))
    return (drafts[1] as Draft).cid
  }

  /**
   * Whoever needs one that is being read waits for it, unless it knows of other holders: sixty who look into a new version
   * fetch it once.
   */
  async directory(cid: CidText, options: FetchOptions = {}): Promise<Directory> {
    const cached = this.#cache.get(cid)
    if (cached) return cached
    const { hints = [], signal } = options
    const key = [cid, ...hints].join(' ')
    const underWay = this.#reading.get(key)
    if (!underWay) {
      const directory = this.#read(cid, options).finally(() => this.#reading.delete(key))
      this.#reading.set(key, { directory, gaveUp: () => signal?.aborted === true })
      return directory
    }
    try {
      return await unlessAborted(underWay.directory, signal)
    } catch (error) {
      signal?.throwIfAborted()
      if (!underWay.gaveUp()) throw error
      return this.directory(cid, options)
    }
  }

  async #read(cid: CidText, options: FetchOptions): Promise<Directory> {
    const { entries, parted } = decodeDirectoryBlock(cid, await this.#blocks.get(cid, options))
    const directory = parted ? await this.#join(cid, entries, options) : entries
    this.#remember(cid, directory)
    return directory
  }

  /** @throws {OsError} EIO. */
  async #join(cid: CidText, blocks: Directory, options: FetchOptions): Promise<PartedDirectory> {
    const parts: Part[] = []
    const rows = [...inOrder(blocks)]
    let size = 0
    for (let at = 0; at < rows.length; at += PARTS_TOGETHER) {
      const some = rows.slice(at, at + PARTS_TOGETHER)
      const unknown = some.map(([, part]) => part.cid).filter((each) => !this.#cache.has(each))
      const known = new Map(some.map(([, part]) => [part.cid, this.#cache.get(part.cid)]))
      const contents = await this.#blocks.getMany(unknown, options)
      for (const [i, each] of unknown.entries()) {
        const block = decodeDirectoryBlock(each, contents[i] as Uint8Array)
        known.set(each, block.parted ? undefined : block.entries)
      }
      for (const [last, part] of some) {
        const found = known.get(part.cid)
        if (!found || found instanceof PartedDirectory) throw new MalformedDag(`part ${part.cid} is in parts itself`)
        const entries = inOrder(found)
        size += entries.size
        if (size > MAX_DIRECTORY_ENTRIES) throw new MalformedDag(`directory ${cid} has too many entries`)
        parts.push({ last, entries, cid: part.cid })
      }
    }
    const directory = joined(cid, parts)
    for (const part of parts) this.#remember(part.cid as CidText, part.entries)
    return directory
  }

  async store(directory: Directory): Promise<CidText> {
    const draft = await this.draft(directory)
    await this.keep([draft])
    return draft.cid
  }

  async draft(wanted: Directory): Promise<Draft> {
    const directory = fitting(wanted)
    if (directory instanceof PartedDirectory) return this.#draftParts(directory)
    const bytes = encodeDirectory(directory)
    return { cid: await this.#blocks.cidOf(DAG_PB, bytes), bytes, directory }
  }

  async #draftParts(directory: PartedDirectory): Promise<Draft> {
    const list = new Map<string, Entry>()
    for (const part of directory.parts) {
      if (part.cid === undefined) {
        part.bytes = encodeDirectory(part.entries)
        part.cid = await this.#blocks.cidOf(DAG_PB, part.bytes)
      }
      list.set(part.last, { kind: 'directory', cid: part.cid, size: 0, mode: 0o755, mtimeMs: 0 })
    }
    const bytes = encodeDirectory(list, true)
    const parts = directory.parts.filter((part) => part.bytes !== undefined)
    return { cid: await this.#blocks.cidOf(DAG_PB, bytes), bytes, directory, parts }
  }

  async draftLink(target: string): Promise<Draft> {
    const bytes = encodeLink(target)
    return { cid: await this.#blocks.cidOf(DAG_PB, bytes), bytes, target }
  }

  /** @throws {OsError} ENOSPC, EIO. */
  async keep(drafts: readonly Draft[]): Promise<void> {
    const parts = new Set(drafts.flatMap((draft) => draft.parts ?? []))
    const blocks = [...parts, ...drafts].map(({ cid, bytes }) => [cid as CidText, bytes as Uint8Array] as const)
    await this.#blocks.putSurely(blocks)
    for (const part of parts) {
      part.bytes = undefined
      this.#remember(part.cid as CidText, part.entries)
    }
    for (const { cid, directory } of drafts) if (directory) this.#remember(cid, directory)
  }

  /** Follows links on the way, not in the last place. @throws {OsError} ENOENT, ENOTDIR, ELOOP. */
  async lookup(root: CidText, path: string, options: FetchOptions = {}): Promise<Entry> {
    return present(await this.resolve({ root, options }, splitPath(path), { last: false }))
  }

  /** @throws {OsError} ELOOP, EIO. */
  resolve(view: TreeView, names: readonly string[], how: ResolveOptions): Promise<Place> {
    return resolve(this.reading(view), view.root, names, how)
  }

  /** @param enter leads into other kegs. */
  reading({ options }: TreeView, enter?: Reading['enter']): Reading {
    return {
      directory: (cid) => this.directory(cid, options),
      target: (cid) => this.target(cid, options),
      ...(enter ? { enter } : {}),
    }
  }

  /** Where a symbolic link leads. @throws {OsError} EIO. */
  async target(cid: CidText, options: FetchOptions = {}): Promise<string> {
    const known = this.#targets.get(cid)
    if (known !== undefined) return known
    const target = decodeLink(cid, await this.#blocks.get(cid, options))
    if (this.#targets.size >= CACHE_SIZE) this.#targets.clear()
    this.#targets.set(cid, target)
    return target
  }

  #remember(cid: CidText, directory: Directory): void {
    this.#forget(cid)
    this.#cache.set(cid, directory)
    this.#cachedEntries += weight(directory)
    while (this.#cache.size > CACHE_SIZE || (this.#cachedEntries > CACHE_ENTRIES && this.#cache.size > 1)) {
      const [oldest] = this.#cache.keys()
      if (oldest !== undefined) this.#forget(oldest)
    }
  }

  #forget(cid: CidText): void {
    const known = this.#cache.get(cid)
    if (known) this.#cachedEntries -= weight(known)
    this.#cache.delete(cid)
  }
}

function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal ? orAborted(promise, signal, () => toOsError(signal.reason, 'ECANCELED')) : promise
}

/** Entries of parts are counted with these. */
function weight(directory: Directory): number {
  return directory instanceof PartedDirectory ? directory.parts.length : directory.size
}

/** How a tree's blocks are read. */
export interface Reading {
  directory(cid: CidText): Promise<Directory>
  /** Where a symbolic link leads. */
  target(cid: CidText): Promise<string>
  /** Into a keg that is mounted on the way. Absent where paths do not leave their own keg. @throws {OsError} EHOSTUNREACH. */
  enter?(keg: Kid): Promise<{ root: CidText; reading: Reading }>
  /** The root is not `/`, but that of another keg: where links lead that leave it is not known here. */
  apart?: boolean
}

/** What is at some names, which no link that was to be followed is among. */
export interface Place {
  names: string[]
  /** Undefined when nothing is there. */
  entry: Entry | undefined
  /** The directory that it is in, or would be. */
  parent?: Entry
  /** ENOENT or ENOTDIR, when there is not even a directory for it. */
  problem?: OsError
  /** The names lead out of the tree: only `names` counts. */
  outside?: true
  /** A link on the way, or in the last place, leads to nothing. */
  dead?: true
  /** The mounted keg that it is in, and how many of the names lead there. */
  mounted?: { keg: Kid; depth: number }
}

export interface ResolveOptions {
  /** Whether a link in the last place is followed too. */
  last: boolean
  /** Whether those names are of another file system. */
  outside?: (names: readonly string[]) => boolean
}

/** Follows symbolic links. @throws {OsError} ELOOP, EIO; EXDEV where they lead to another keg that is not entered. */
export async function resolve(
  reading: Reading,
  root: CidText,
  path: readonly string[],
  { last, outside = () => false }: ResolveOptions,
): Promise<Place> {
  let names = [...path]
  /** So many of the names are where the last link that was followed leads. */
  let led = 0
  for (let links = 0; links <= MAX_SYMLINKS; links++) {
    if (outside(names)) return { names, entry: undefined, outside: true }
    const place = await walk(reading, root, names)
    const { entry, depth } = place
    if (!entry && depth < led) return found(place, names, { dead: true })
    if (entry?.kind !== 'symlink' || (depth === names.length && !last)) return found(place, names)
    const rest = names.length - depth
    const target = await (place.within ?? reading).target(entry.cid)
    if (reading.apart && leaves(depth - 1, target)) {
      throw new OsError('EXDEV', `the link ${joinPath(names.slice(0, depth))} leads out of its keg`)
    }
    names = follow(names, depth, target)
    led = names.length - rest
  }
  throw new OsError('ELOOP', `${joinPath(path)}: more than ${MAX_SYMLINKS} symbolic links on the way: a loop?`)
}

interface Walked extends Omit<Place, 'names'> {
  /** Counts the names that exist. */
  depth: number
  /** How the keg is read in which it ended, if that is another. */
  within?: Reading
}

function found(
  { depth: _depth, within: _within, ...place }: Walked,
  names: string[],
  more: Partial<Place> = {},
): Place {
  return { ...place, names, ...more }
}

/** As far as names lead without following a link. */
async function walk(reading: Reading, root: CidText, names: readonly string[]): Promise<Walked> {
  let entry: Entry = { kind: 'directory', cid: root, size: 0, mode: 0o755, mtimeMs: 0 }
  let parent = entry
  let way: Pick<Walked, 'within' | 'mounted'> = {}
  for (const [depth, name] of names.entries()) {
    if (entry.kind === 'symlink') return { entry, depth, ...way }
    if (entry.kind !== 'directory') {
      const at = joinPath(names.slice(0, depth))
      return { entry: undefined, depth, problem: new OsError('ENOTDIR', `${at} is not a directory`), ...way }
    }
    const next = (await (way.within ?? reading).directory(entry.cid)).get(name)
    if (!next && depth < names.length - 1) {
      return { entry: undefined, depth, problem: absent(names.slice(0, depth + 1)), ...way }
    }
    parent = entry
    if (!next) return { entry: undefined, depth, parent, ...way }
    entry = next
    if (next.keg === undefined) continue
    const mounted = { keg: next.keg, depth: depth + 1 }
    if (reading.enter && !way.within) {
      const into = await reading.enter(next.keg)
      entry = { ...next, cid: into.root }
      way = { within: into.reading, mounted }
    } else if (mounted.depth < names.length) {
      throw new OsError('EXDEV', `another keg is mounted at ${joinPath(names.slice(0, mounted.depth))}`)
    }
  }
  return { entry, depth: names.length, parent, ...way }
}

/** @throws {OsError} ENOENT, ENOTDIR where nothing is there. */
export function present({ names, entry, problem }: Place): Entry {
  if (!entry) throw problem ?? absent(names)
  return entry
}

/** The names that a path stands for when the link that its first `depth` names lead to is followed. */
function follow(names: readonly string[], depth: number, target: string): string[] {
  const from = target.startsWith('/') ? '' : joinPath(names.slice(0, depth - 1))
  return splitPath(`${from}/${target}/${names.slice(depth).join('/')}`)
}

/** Whether a link's target leads above the root from a directory of that depth. */
function leaves(depth: number, target: string): boolean {
  if (target.startsWith('/')) return true
  let at = depth
  for (const name of target.split('/')) {
    if (name === '..') at--
    else if (name !== '' && name !== '.') at++
    if (at < 0) return true
  }
  return false
}

export function absent(names: readonly string[]): OsError {
  return new OsError('ENOENT', `${joinPath(names)}: no such file or directory`)
}
