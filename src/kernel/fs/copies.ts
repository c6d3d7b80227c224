// Copies of whole trees and files: what a node has to hold before it may say that it keeps them. Above: tree-keeper.ts,
// shared-tree.ts, process/. Below: dag.ts, the blocks.
import { OsError } from '../../base/errors.ts'
import { BlockMissing, type Blocks, type FetchOptions } from '../blocks/blocks.ts'
import { type CidText, isRawCid } from '../blocks/cid.ts'
import { MAX_TREE_DEPTH, MAX_TREE_DIRECTORIES } from '../limits.ts'
import type { TreeOp } from '../rpc/methods.ts'
import { allCids, MalformedDag } from './dag.ts'
import type { Directory, Entry } from './directory.ts'
import { type Part, PartedDirectory, partsOf } from './parted.ts'
import type { Tree } from './tree.ts'

/** CIDs remembered as copied: a few MB; forgetting costs a walk. */
const MAX_REMEMBERED = 50_000

/** Nobody has it, or it is no file: no waiting helps. A node that does not answer may have it, and a disk may recover. */
export function isLost(error: unknown): boolean {
  return error instanceof MalformedDag || (error instanceof BlockMissing && error.certain)
}

/** Makes sure that every file which these changes put into the tree is here. @throws {OsError} EIO, ENOSPC. */
export async function holdFiles(blocks: Blocks, ops: readonly TreeOp[], options: FetchOptions): Promise<void> {
  for (const op of ops) {
    if (op.op === 'put' || (op.op === 'graft' && op.kind === 'file')) {
      await blocks.hold(await allCids(blocks, op, options), options)
    } else if (op.op === 'graft' && op.kind === 'symlink') await blocks.hold([op.cid], options)
  }
}

interface Walk {
  options: FetchOptions
  /** What became of each directory: hostile ones name the same one over and over. */
  seen: Map<CidText, boolean>
  /** Nobody is told of what is missing, and a directory that is lost is passed over. */
  quiet: boolean
  /** When it began: what was freed since makes what it has seen worth nothing. */
  epoch: number
}

export class TreeCopies {
  readonly #tree: Tree
  readonly #blocks: Blocks
  /** Told of a file that nobody who is here has. */
  readonly #onMissing: (path: string) => void
  readonly #directories = new Set<CidText>()
  readonly #whole = new Set<CidText>()
  /** Counts the times that blocks were freed. */
  #epoch = 0

  constructor(options: { tree: Tree; blocks: Blocks; onMissing: (path: string) => void }) {
    this.#tree = options.tree
    this.#blocks = options.blocks
    this.#onMissing = options.onMissing
  }

  /**
   * Makes sure that the directory and all below it are here, links too; not the content of files.
   * @param how `quiet`: what is lost is passed over. @throws {OsError} EIO, ENOSPC.
   */
  async directories(root: CidText, options: FetchOptions, how: { quiet?: boolean } = {}): Promise<void> {
    await this.#allDirectories(root, { options, seen: new Map(), quiet: how.quiet ?? false, epoch: this.#epoch })
  }

  /** @returns whether all are here. */
  async #allDirectories(root: CidText, walk: Walk): Promise<boolean> {
    if (this.#directories.has(root) || this.#whole.has(root)) return true
    const directory = await this.#had(root, walk)
    let whole = directory !== undefined
    for (const entry of directory?.values() ?? []) {
      if (entry.kind === 'directory') whole = (await this.#allDirectories(entry.cid, walk)) && whole
      else if (entry.kind === 'symlink') {
        // Paths may lead over it.
        if (walk.quiet) whole = (await this.#held(async () => [entry.cid], walk.options)) && whole
        else await this.#blocks.hold([entry.cid], walk.options)
      }
    }
    if (whole && walk.epoch === this.#epoch) remember(this.#directories, root)
    return whole
  }

  /**
   * Makes sure that everything below is here, but for files that nobody has: a tree that lost one has to survive all
   * the same. @returns whether all is here.
   * @throws {OsError} ENOSPC; EIO when a directory or a file that somebody may have cannot be had now, or the disk fails;
   * EFBIG for more than a tree can hold.
   */
  everything(root: CidText, options: FetchOptions, how: { quiet?: boolean } = {}): Promise<boolean> {
    const walk = { options, seen: new Map(), quiet: how.quiet ?? false, epoch: this.#epoch }
    return this.#everything(root, walk, [])
  }

  async #everything(root: CidText, walk: Walk, at: readonly string[]): Promise<boolean> {
    const { seen } = walk
    const known = this.#whole.has(root) ? true : seen.get(root)
    if (known !== undefined) return known
    if (seen.size >= MAX_TREE_DIRECTORIES || at.length > MAX_TREE_DEPTH) {
      throw new OsError('EFBIG', 'a tree has too many directories, or too deep ones, to be kept')
    }
    const directory = await this.#had(root, walk)
    let whole = directory !== undefined
    // Of a large one most parts are as they were, before something in it was changed.
    const parts: Pick<Part, 'cid' | 'entries'>[] =
      directory instanceof PartedDirectory ? [...directory.parts] : [{ entries: directory ?? new Map() }]
    for (const { cid, entries } of parts) {
      if (cid !== undefined && this.#whole.has(cid)) continue
      const all = await this.#entries([...entries], walk, at)
      if (all && cid !== undefined && walk.epoch === this.#epoch) remember(this.#whole, cid)
      whole = all && whole
    }
    seen.set(root, whole)
    if (whole && walk.epoch === this.#epoch) remember(this.#whole, root)
    return whole
  }

  /** @returns whether all that they stand for is here. */
  async #entries(entries: readonly (readonly [string, Entry])[], walk: Walk, at: readonly string[]): Promise<boolean> {
    let whole = await this.#files(at, entries, walk)
    for (const [name, { kind, cid }] of entries) {
      if (kind === 'directory') whole = (await this.#everything(cid, walk, [...at, name])) && whole
    }
    return whole
  }

  /** Everything below is here: somebody has seen to it. */
  note(root: CidText): void {
    remember(this.#whole, root)
  }

  /** Blocks were freed: what is here has to be looked for again. */
  forget(): void {
    this.#epoch++
    this.#blocks.lookAgain()
    this.#directories.clear()
    this.#whole.clear()
  }

  /** @returns whether everything below is known to be here. */
  has(root: CidText): boolean {
    return this.#whole.has(root)
  }

  /** @returns undefined for one that is lost, where that may be. */
  async #had(root: CidText, { options, quiet }: Walk): Promise<Directory | undefined> {
    try {
      return await this.#directory(root, options)
    } catch (error) {
      if (!quiet || !isLost(error)) throw error
      return undefined
    }
  }

  /** Stored, not only read: a reader does with less. */
  async #directory(cid: CidText, options: FetchOptions): Promise<Directory> {
    await this.#blocks.hold([cid], options)
    const directory = await this.#tree.directory(cid, options)
    await this.#blocks.hold(partsOf(directory), options)
    return directory
  }

  async #files(
    at: readonly string[],
    entries: readonly (readonly [string, Entry])[],
    { options, quiet }: Walk,
  ): Promise<boolean> {
    const files = entries.filter(([, { kind }]) => kind !== 'directory')
    const isSmall = ([, { kind, cid }]: readonly [string, Entry]) => kind === 'symlink' || isRawCid(cid)
    const small = files.filter(isSmall)
    const together = await this.#held(async () => small.map(([, { cid }]) => cid), options)
    let whole = true
    for (const [name, entry] of together ? files.filter((file) => !isSmall(file)) : files) {
      const cids = () => (entry.kind === 'symlink' ? [entry.cid] : allCids(this.#blocks, entry, options))
      if (await this.#held(async () => cids(), options)) continue
      whole = false
      if (!quiet) this.#onMissing(`/${[...at, name].join('/')}`)
    }
    return whole
  }

  /** @returns false when nobody who is here has them all. @throws {OsError} when somebody may have them. */
  async #held(cids: () => Promise<CidText[]>, options: FetchOptions): Promise<boolean> {
    options.signal?.throwIfAborted()
    try {
      await this.#blocks.hold(await cids(), options)
      return true
    } catch (error) {
      if (!isLost(error)) throw error
      return false
    }
  }
}

function remember(set: Set<CidText>, cid: CidText): void {
  if (set.size >= MAX_REMEMBERED) set.clear()
  set.add(cid)
}
