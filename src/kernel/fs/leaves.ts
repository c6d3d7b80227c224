// Which blocks of files are placed one by one: large leaves. All others are where their tree is. Above: copies.ts,
// placement.ts. Below: dag.ts, tree.ts.
import { OsError } from '../../base/errors.ts'
import { BlockMissing, type Blocks, type FetchOptions } from '../blocks/blocks.ts'
import { type CidText, isRawCid } from '../blocks/cid.ts'
import { MAX_PLACED, PLACED_BYTES } from '../limits.ts'
import { allCids, type FileRoot, leafSizes, MalformedDag } from './dag.ts'
import type { Tree } from './tree.ts'

export interface PlacedLeaf {
  cid: CidText
  /** Bytes of content. */
  size: number
}

/** Nobody has it, or it is no file: no waiting helps. A node that does not answer may have it, and a disk may recover. */
export function isLost(error: unknown): boolean {
  return error instanceof MalformedDag || (error instanceof BlockMissing && error.certain)
}

/** Says of leaves whether others keep them, so that they need not be here. */
export type Elsewhere = (leaves: readonly PlacedLeaf[], options: FetchOptions) => Promise<readonly boolean[]>

/** @returns leaves that are placed one by one, each once. @throws {OsError} EIO. */
export async function placedLeaves(
  blocks: Blocks,
  { cid, size }: FileRoot,
  options: FetchOptions,
): Promise<PlacedLeaf[]> {
  if (size < PLACED_BYTES) return []
  if (isRawCid(cid)) return [{ cid, size }]
  const leaves = [...(await leafSizes(blocks, { cid, size }, options))].map(([leaf, bytes]) => ({
    cid: leaf,
    size: bytes,
  }))
  return leaves.filter((leaf) => leaf.size >= PLACED_BYTES)
}

/** What has to be here of a file: all of it, but for leaves that others keep. @throws {OsError} EIO. */
export async function owedOf(
  blocks: Blocks,
  file: FileRoot,
  options: FetchOptions,
  elsewhere: Elsewhere | undefined,
): Promise<CidText[]> {
  const placed = elsewhere ? await placedLeaves(blocks, file, options) : []
  const all = await allCids(blocks, file, options)
  if (!elsewhere || placed.length === 0) return all
  const kept = await elsewhere(placed, options)
  const spared = new Set(placed.filter((_leaf, i) => kept[i]).map(({ cid }) => cid))
  return all.filter((cid) => !spared.has(cid))
}

export interface CensusOptions {
  tree: Tree
  blocks: Blocks
  /** Lets others have their turn. */
  breathe(): Promise<void>
}

/** Files between breaths: each costs some microseconds, a large one a millisecond. */
const BREATHE_EVERY = 2_000

/** All leaves of a tree that are placed. */
export interface Census {
  /** And their sizes. */
  leaves: ReadonlyMap<CidText, number>
  /** Nothing of the first version is lost that could name more. */
  complete: boolean
}

/**
 * All leaves below these directories that are placed. What nobody who is here has is passed over.
 * @param roots the first is the tree as it is now. @throws {OsError} EIO when some of it cannot be read now; EFBIG.
 */
export async function censusOf({ tree, blocks, breathe }: CensusOptions, roots: readonly CidText[]): Promise<Census> {
  const leaves = new Map<CidText, number>()
  const seen = new Set<CidText>()
  const open = roots.slice(0, 1)
  const older = roots.slice(1)
  let complete = true
  let looked = 0
  const read = async <T>(what: Promise<T>): Promise<T | undefined> => {
    try {
      return await what
    } catch (error) {
      if (!isLost(error)) throw error
      if (older.length === roots.length - 1) complete = false
      return undefined
    }
  }
  for (let root = open.pop() ?? older.pop(); root !== undefined; root = open.pop() ?? older.pop()) {
    if (seen.has(root)) continue
    seen.add(root)
    for (const { kind, cid, size } of (await read(tree.directory(root, {})))?.values() ?? []) {
      if (++looked % BREATHE_EVERY === 0) await breathe()
      if (kind === 'directory') open.push(cid)
      if (kind !== 'file' || size < PLACED_BYTES || seen.has(cid)) continue
      seen.add(cid)
      for (const leaf of (await read(placedLeaves(blocks, { cid, size }, {}))) ?? []) leaves.set(leaf.cid, leaf.size)
      if (leaves.size > MAX_PLACED)
        throw new OsError('EFBIG', `more than ${MAX_PLACED} leaves: they are not looked after`)
    }
  }
  return { leaves, complete }
}
