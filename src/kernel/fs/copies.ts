// Copies of whole trees and files: what a node has to hold before it may say that it keeps them. Above: tree-keeper.ts,
// shared-tree.ts, process/. Below: dag.ts, the blocks.
import { OsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, isRawCid } from '../blocks/cid.ts'
import {
  HOLD_BATCH_SMALL_BLOCKS,
  MAX_TREE_DEPTH,
  MAX_TREE_DIRECTORIES,
  PLACED_BYTES,
  SMALL_BLOCK_BYTES,
} from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { type Directory, decodeDirectoryBlock, type Entry } from './directory.ts'
import { type Elsewhere, isLost, owedOf } from './leaves.ts'
import { type Part, PartedDirectory, partsOf } from './parted.ts'
import type { Tree } from './tree.ts'

/** CIDs remembered as copied: a few MB; forgetting costs a walk. */
const MAX_REMEMBERED = 50_000

/**
 * Makes sure that every file which these changes put into the tree is here, but for leaves that others keep.
 * @throws {OsError} EIO, ENOSPC.
 */
export async function holdFiles(
  blocks: Blocks,
  ops: readonly TreeOp[],
  options: FetchOptions,
  elsewhere?: Elsewhere,
): Promise<void> {
  /** Files of one block, and links: each question takes as long as many. */
  const single = new Set<CidText>()
  for (const op of ops) {
    if (op.op !== 'put' && op.op !== 'graft') continue
    if (op.op === 'graft' && op.kind === 'directory') continue
    const link = op.op === 'graft' && op.kind === 'symlink'
    if (link || (isRawCid(op.cid) && op.size < PLACED_BYTES)) single.add(op.cid)
    else await blocks.hold(await owedOf(blocks, op, options, elsewhere), options)
  }
  await blocks.hold([...single], options)
}

/** Files of one small block that these changes put into the tree: they may go ahead of the changes. */
export function smallFiles(ops: readonly TreeOp[]): CidText[] {
  return ops.flatMap((op) => (op.op === 'put' && op.size <= SMALL_BLOCK_BYTES ? [op.cid] : []))
}

/** How a whole tree is looked after. */
export interface Care {
  /** Nobody is told of what is missing, and the root may be lost too. */
  quiet?: boolean
  /** The tree that it is for: what others keep for one they need not keep for another. */
  scope?: string
  /** Which leaves need not be here. */
  elsewhere?: Elsewhere | undefined
}

interface Walk {
  options: FetchOptions
  /** What became of each directory: hostile ones name the same one over and over. */
  seen: Map<CidText, boolean>
  quiet: boolean
  scope: string
  elsewhere: Elsewhere | undefined
  /** When it began: what was freed since makes what it has seen worth nothing. */
  epoch: number
}

export class TreeCopies {
  readonly #tree: Tree
  readonly #blocks: Blocks
  /** Told of a file or a directory that nobody who is here has. */
  readonly #onMissing: (path: string) => void
  readonly #directories = new Set<CidText>()
  /** With the tree that they are for. */
  readonly #whole = new Set<string>()
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
    await this.#allDirectories(root, this.#walk(options, how))
  }

  /** @returns whether all are here. */
  async #allDirectories(root: CidText, walk: Walk): Promise<boolean> {
    if (this.#directories.has(root)) return true
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

  #walk(options: FetchOptions, { quiet = false, scope = '', elsewhere }: Care): Walk {
    return { options, seen: new Map(), quiet, scope, elsewhere, epoch: this.#epoch }
  }

  /**
   * Makes sure that everything below is here, but for leaves that others keep, and for files and directories that nobody
   * has: a tree that lost one has to survive all the same. @returns whether all is here, or with others.
   * @throws {OsError} ENOSPC; EIO when the root is lost, or what somebody may have cannot be had now, or the disk fails;
   * EFBIG for more than a tree can hold.
   */
  async everything(root: CidText, options: FetchOptions, how: Care = {}): Promise<boolean> {
    await this.ahead([root], options, how)
    return this.#everything(root, this.#walk(options, how), [])
  }

  /**
   * Copies the directories of several trees, a level of all of them at a time, where `everything` asks for one after the other:
   * each question takes as long as many. What is below a root that is here is here too, mostly. What cannot be had is left to it.
   * @throws {OsError} ENOSPC; ECANCELED.
   */
  async ahead(roots: readonly CidText[], options: FetchOptions, { scope = '' }: Care = {}): Promise<void> {
    const seen = new Set<CidText>()
    const here = await this.#blocks.hasMany(roots)
    const missing = roots.filter((_root, i) => !here[i])
    for (let level = missing, depth = 0; level.length > 0 && depth <= MAX_TREE_DEPTH; depth++) {
      const fresh = [...new Set(level)].filter((cid) => !seen.has(cid) && !this.has(cid, scope))
      for (const cid of fresh) seen.add(cid)
      if (seen.size > MAX_TREE_DIRECTORIES) return // whoever walks it says so
      level = []
      for (let at = 0; at < fresh.length; at += HOLD_BATCH_SMALL_BLOCKS) {
        const some = fresh.slice(at, at + HOLD_BATCH_SMALL_BLOCKS)
        if (!(await this.#held(async () => some, options, true))) return
        for (const [i, bytes] of (await this.#blocks.held(some)).entries()) {
          const cid = some[i] as CidText
          // Parts of a large one are directories too.
          if (bytes)
            for (const { kind, cid: child } of entriesOf(cid, bytes)) if (kind === 'directory') level.push(child)
        }
      }
    }
  }

  async #everything(root: CidText, walk: Walk, at: readonly string[]): Promise<boolean> {
    const { seen } = walk
    const known = this.has(root, walk.scope) ? true : seen.get(root)
    if (known !== undefined) return known
    if (seen.size >= MAX_TREE_DIRECTORIES || at.length > MAX_TREE_DEPTH) {
      throw new OsError('EFBIG', 'a tree has too many directories, or too deep ones, to be kept')
    }
    const directory = await this.#had(root, walk, at)
    let whole = directory !== undefined
    // Of a large one most parts are as they were, before something in it was changed.
    const parts: Pick<Part, 'cid' | 'entries'>[] =
      directory instanceof PartedDirectory ? [...directory.parts] : [{ entries: directory ?? new Map() }]
    for (const { cid, entries } of parts) {
      if (cid !== undefined && this.has(cid, walk.scope)) continue
      const all = await this.#entries([...entries], walk, at)
      if (all && cid !== undefined && walk.epoch === this.#epoch) this.note(cid, walk.scope)
      whole = all && whole
    }
    seen.set(root, whole)
    if (whole && walk.epoch === this.#epoch) this.note(root, walk.scope)
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
  note(root: CidText, scope: string): void {
    remember(this.#whole, scope + root)
    remember(this.#directories, root)
  }

  /** Blocks were freed: what is here has to be looked for again. */
  forget(): void {
    this.#epoch++
    this.#blocks.lookAgain()
    this.#directories.clear()
    this.#whole.clear()
  }

  /** @returns whether everything below is known to be here. */
  has(root: CidText, scope: string): boolean {
    return this.#whole.has(scope + root)
  }

  /** @param at where it is, if the tree can do without it. @returns undefined for one that is lost, where that may be. */
  async #had(root: CidText, { options, quiet }: Walk, at: readonly string[] = []): Promise<Directory | undefined> {
    try {
      return await this.#directory(root, options)
    } catch (error) {
      if (!isLost(error) || (!quiet && at.length === 0)) throw error
      if (!quiet) this.#onMissing(`/${at.join('/')}`)
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
    { options, quiet, elsewhere }: Walk,
  ): Promise<boolean> {
    const files = entries.filter(([, { kind }]) => kind !== 'directory')
    const isSingle = ([, { kind, cid }]: readonly [string, Entry]) => kind === 'symlink' || isRawCid(cid)
    const single = files.filter(isSingle).map(([, entry]) => entry)
    const placed = elsewhere ? single.filter(({ kind, size }) => kind === 'file' && size >= PLACED_BYTES) : []
    const kept = elsewhere && placed.length > 0 ? await elsewhere(placed, options) : []
    const spared = new Set(placed.filter((_leaf, i) => kept[i]).map(({ cid }) => cid))
    const owing = single.map(({ cid }) => cid).filter((cid) => !spared.has(cid))
    const together = await this.#held(
      async () => owing,
      options,
      single.every(({ size }) => size < PLACED_BYTES),
    )
    let whole = true
    for (const [name, entry] of together ? files.filter((file) => !isSingle(file)) : files) {
      const owed = async () => {
        return entry.kind === 'symlink' ? [entry.cid] : owedOf(this.#blocks, entry, options, elsewhere)
      }
      if (await this.#held(owed, options)) continue
      whole = false
      if (!quiet) this.#onMissing(`/${[...at, name].join('/')}`)
    }
    return whole
  }

  /** @returns false when nobody who is here has them all. @throws {OsError} when somebody may have them. */
  async #held(cids: () => Promise<CidText[]>, options: FetchOptions, small = false): Promise<boolean> {
    options.signal?.throwIfAborted()
    try {
      await this.#blocks.hold(await cids(), options, small)
      return true
    } catch (error) {
      if (!isLost(error)) throw error
      return false
    }
  }
}

/** None of what is no directory: whoever walks it says so. */
function entriesOf(cid: CidText, bytes: Uint8Array): Entry[] {
  try {
    return [...decodeDirectoryBlock(cid, bytes).entries.values()]
  } catch (error) {
    if (error instanceof OsError) return []
    throw error
  }
}

function remember(set: Set<string>, name: string): void {
  if (set.size >= MAX_REMEMBERED) set.clear()
  set.add(name)
}
