// Copies of whole trees and files: what a node has to hold before it may say that it keeps them. Above: tree-keeper.ts,
// shared-tree.ts, process/. Below: dag.ts, the blocks.
import { isOsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, parseCid, RAW } from '../blocks/cid.ts'
import type { TreeOp } from '../rpc/methods.ts'
import { allCids } from './dag.ts'
import type { Directory, Entry } from './directory.ts'
import type { Tree } from './tree.ts'

/** CIDs remembered as copied: a few MB; forgetting costs a walk. */
const MAX_REMEMBERED = 50_000

/** Makes sure that every file which these changes put into the tree is here. @throws {OsError} EIO, ENOSPC. */
export async function holdFiles(blocks: Blocks, ops: readonly TreeOp[], options: FetchOptions): Promise<void> {
  for (const op of ops) if (op.op === 'put') await blocks.hold(await allCids(blocks, op, options), options)
}

export class TreeCopies {
  readonly #tree: Tree
  readonly #blocks: Blocks
  /** Told of a file that nobody who is here has. */
  readonly #onMissing: (path: string) => void
  readonly #directories = new Set<CidText>()
  readonly #whole = new Set<CidText>()

  constructor(options: { tree: Tree; blocks: Blocks; onMissing: (path: string) => void }) {
    this.#tree = options.tree
    this.#blocks = options.blocks
    this.#onMissing = options.onMissing
  }

  /** Makes sure that the directory and all below it are here; not the content of files. @throws {OsError} EIO, ENOSPC. */
  async directories(root: CidText, options: FetchOptions): Promise<void> {
    if (this.#directories.has(root) || this.#whole.has(root)) return
    for (const entry of (await this.#directory(root, options)).values()) {
      if (entry.kind === 'directory') await this.directories(entry.cid, options)
    }
    remember(this.#directories, root)
  }

  /**
   * Makes sure that everything below is here, but for files that nobody has: a tree that lost one has to survive all
   * the same. @returns whether all is here. @throws {OsError} ENOSPC, EIO when a directory cannot be had.
   */
  async everything(root: CidText, options: FetchOptions, at = ''): Promise<boolean> {
    if (this.#whole.has(root)) return true
    const entries = [...(await this.#directory(root, options))]
    let whole = await this.#files(at, entries, options)
    for (const [name, { kind, cid }] of entries) {
      if (kind === 'directory') whole = (await this.everything(cid, options, `${at}/${name}`)) && whole
    }
    if (whole) remember(this.#whole, root)
    return whole
  }

  /** Everything below is here: somebody has seen to it. */
  note(root: CidText): void {
    remember(this.#whole, root)
  }

  /** @returns whether everything below is known to be here. */
  has(root: CidText): boolean {
    return this.#whole.has(root)
  }

  /** Stored, not only read: a reader does with less. */
  async #directory(cid: CidText, options: FetchOptions): Promise<Directory> {
    await this.#blocks.hold([cid], options)
    return this.#tree.directory(cid, options)
  }

  async #files(at: string, entries: readonly (readonly [string, Entry])[], options: FetchOptions): Promise<boolean> {
    const files = entries.filter(([, { kind }]) => kind === 'file')
    const small = files.filter(([, { cid }]) => parseCid(cid).code === RAW)
    const together = await this.#held(async () => small.map(([, { cid }]) => cid), options)
    let whole = true
    for (const [name, entry] of together ? files.filter((file) => !small.includes(file)) : files) {
      if (await this.#held(() => allCids(this.#blocks, entry, options), options)) continue
      whole = false
      this.#onMissing(`${at}/${name}`)
    }
    return whole
  }

  /** @returns false when nobody who is here has them all. */
  async #held(cids: () => Promise<CidText[]>, options: FetchOptions): Promise<boolean> {
    options.signal?.throwIfAborted()
    try {
      await this.#blocks.hold(await cids(), options)
      return true
    } catch (error) {
      if (!isOsError(error, 'EIO')) throw error
      return false
    }
  }
}

function remember(set: Set<CidText>, cid: CidText): void {
  if (set.size >= MAX_REMEMBERED) set.clear()
  set.add(cid)
}
