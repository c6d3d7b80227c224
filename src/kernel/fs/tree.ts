// Immutable trees of directories: read them, look up a path. Changes are made by tree-edit.ts. It keeps no head;
// shared-tree.ts does. Errors are those of POSIX.
import { OsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, DAG_PB } from '../blocks/cid.ts'
import { type Directory, decodeDirectory, type Entry, encodeDirectory } from './directory.ts'
import { joinPath, splitPath } from './path.ts'

/** Decoded directories kept: a few thousand small maps, and at most so many entries in all (some 15 MB). */
const CACHE_SIZE = 2048
const CACHE_ENTRIES = 100_000
/** What every new tree starts with. Times are 0, so that all new trees have the same root. */
const FIRST_DIRECTORIES = ['home', 'tmp']

export interface Draft {
  cid: CidText
  bytes: Uint8Array
  directory: Directory
}

export class Tree {
  readonly #blocks: Blocks
  readonly #cache = new Map<CidText, Directory>()
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
    const bytes = await this.#blocks.get(cid, options)
    const directory = decodeDirectory(cid, bytes)
    this.#remember(cid, directory)
    return directory
  }

  async store(directory: Directory): Promise<CidText> {
    const draft = await this.draft(directory)
    await this.keep([draft])
    return draft.cid
  }

  /** A directory that is not stored yet. */
  async draft(directory: Directory): Promise<Draft> {
    const bytes = encodeDirectory(directory)
    return { cid: await this.#blocks.cidOf(DAG_PB, bytes), bytes, directory }
  }

  /** @throws {OsError} ENOSPC, EIO. */
  async keep(drafts: readonly Draft[]): Promise<void> {
    await this.#blocks.putMany(drafts.map(({ cid, bytes }) => [cid, bytes] as const))
    for (const { cid, directory } of drafts) this.#remember(cid, directory)
  }

  /** @throws {OsError} ENOENT, ENOTDIR. */
  lookup(root: CidText, path: string, options: FetchOptions = {}): Promise<Entry> {
    return lookup((cid) => this.directory(cid, options), root, path)
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

/** @throws {OsError} ENOENT, ENOTDIR. */
export async function lookup(read: (cid: CidText) => Promise<Directory>, root: CidText, path: string): Promise<Entry> {
  let entry: Entry = { kind: 'directory', cid: root, size: 0, mode: 0o755, mtimeMs: 0 }
  const names = splitPath(path)
  for (const [i, name] of names.entries()) {
    if (entry.kind !== 'directory') throw new OsError('ENOTDIR', `${joinPath(names.slice(0, i))} is not a directory`)
    const next = (await read(entry.cid)).get(name)
    if (!next) throw new OsError('ENOENT', `${joinPath(names.slice(0, i + 1))}: no such file or directory`)
    entry = next
  }
  return entry
}
