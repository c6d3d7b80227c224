// A CAR becomes part of the tree: its blocks are checked and stored, its directories are made anew as ours. Above: fs.ts.
// Below: car.ts, tree.ts, blocks.
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { MAX_NAME_BYTES } from '../../syscalls/limits.ts'
import type { OnProgress } from '../../syscalls/types.ts'
import type { Blocks, FetchOptions, OwnBlocks } from '../blocks/blocks.ts'
import { type CidText, checkedCid, DAG_PB, isRawCid, RAW } from '../blocks/cid.ts'
import {
  BLOCK_BYTES,
  HOLD_BATCH_BLOCKS,
  MAX_CAR_BLOCKS,
  MAX_TREE_DEPTH,
  MAX_TREE_DIRECTORIES,
  WRITE_BATCH_BLOCKS,
} from '../limits.ts'
import { carSections } from './car.ts'
import { decodeNode, MalformedDag, rootSize } from './dag.ts'
import { decodeLink, type Entry } from './directory.ts'
import { FileShapes } from './file-shapes.ts'
import type { Tree } from './tree.ts'

/** Small blocks that are stored with one transaction. */
const MAX_BATCH = 1_024

export interface CarTarget {
  tree: Tree
  blocks: Blocks
  options: FetchOptions
  mtimeMs: number
  /** Gathers what is stored. */
  own: OwnBlocks
  /** Told of each file and directory, when all blocks are here. */
  onProgress?: OnProgress | undefined
}

/**
 * Stores all blocks of a CAR. @returns what its root is, for the tree.
 * @throws {OsError} EINVAL for what is no CAR, or has a block that does not hash to its CID; EIO when one is missing; ENOSPC;
 * EFBIG for directories that are too large.
 */
export async function importCar(target: CarTarget, pieces: AsyncIterable<Uint8Array>): Promise<Entry> {
  let root: CidText | undefined
  let batch: [CidText, Uint8Array][] = []
  let bytes = 0
  /** Bytes of the blocks that are files, or leaves of files: they need not be read again to be known. */
  const sizes = new Map<CidText, number>()
  for await (const section of carSections(pieces)) {
    target.options.signal?.throwIfAborted()
    if ('root' in section) {
      root = section.root
      continue
    }
    const { cid, bytes: block } = section
    batch.push([cid, block])
    bytes += block.byteLength
    if (isRawCid(cid) && sizes.size < MAX_CAR_BLOCKS) sizes.set(cid, block.byteLength)
    if (bytes < WRITE_BATCH_BLOCKS * BLOCK_BYTES && batch.length < MAX_BATCH) continue
    await storeChecked(target, batch)
    batch = []
    bytes = 0
  }
  await storeChecked(target, batch)
  if (root === undefined) throw new OsError('EINVAL', 'it has no root')
  const adoption = new Adoption(target, sizes)
  const entry = await adoption.entry(root, 0)
  // Directories, which were made anew, and what is below no root: nothing would ever free them.
  const spare = new Map([...target.own].filter(([cid]) => !adoption.needs(cid)))
  await target.blocks.takeBack(spare).catch(() => undefined) // the disk's trouble is told already
  return entry
}

/** @throws {OsError} EINVAL, ENOSPC, EIO. */
async function storeChecked(
  { blocks, own }: CarTarget,
  batch: readonly (readonly [CidText, Uint8Array])[],
): Promise<void> {
  const names = await Promise.all(batch.map(([cid, bytes]) => blocks.cidOf(isRawCid(cid) ? RAW : DAG_PB, bytes)))
  const wrong = batch.find(([cid], i) => names[i] !== cid)
  if (wrong) throw new OsError('EINVAL', `block ${wrong[0]} in it is not what its CID says`)
  await blocks.putNew(batch, own)
}

class Adoption {
  readonly #target: CarTarget
  readonly #sizes: ReadonlyMap<CidText, number>
  readonly #files: FileShapes
  readonly #known = new Map<CidText, Entry>()
  #directories = 0
  #adopted = 0
  /** Of shards that wait for their turn. */
  #heldBytes = 0

  constructor(target: CarTarget, sizes: Map<CidText, number>) {
    this.#target = target
    this.#sizes = sizes
    this.#files = new FileShapes(target, sizes)
  }

  /** Whether what was adopted has that block in it. */
  needs(cid: CidText): boolean {
    const entry = this.#known.get(cid)
    return (entry !== undefined && entry.kind !== 'directory') || this.#files.needs(cid)
  }

  async entry(cid: CidText, depth: number): Promise<Entry> {
    const known = this.#known.get(cid)
    if (known) return known
    if (depth > MAX_TREE_DEPTH) throw new OsError('EFBIG', 'directories in it lie too deep')
    const entry = await this.#adopt(cid, depth)
    this.#known.set(cid, entry)
    this.#target.onProgress?.({ done: ++this.#adopted, unit: 'files' })
    return entry
  }

  async #adopt(cid: CidText, depth: number): Promise<Entry> {
    const { blocks, options, mtimeMs } = this.#target
    const file = { kind: 'file' as const, cid, mode: 0o644, mtimeMs }
    const known = this.#sizes.get(cid)
    if (known !== undefined) return { ...file, size: known }
    const bytes = await blocks.get(cid, options)
    if (isRawCid(cid)) return { ...file, size: bytes.byteLength }
    const { unixfs } = decodeNode(cid, bytes)
    if (unixfs.type === 'file' || unixfs.type === 'raw') {
      const size = rootSize(cid, bytes)
      if (!Number.isSafeInteger(size)) throw new MalformedDag(`${cid} says that it is larger than a file can be`)
      if ((await this.#files.shapeOf(cid)).size !== size)
        throw new MalformedDag(`file ${cid} does not hold ${size} bytes`)
      return { ...file, size }
    }
    if (unixfs.type === 'symlink') {
      const target = decodeLink(cid, bytes)
      return { kind: 'symlink', cid, size: utf8(target).byteLength, mode: 0o777, mtimeMs }
    }
    const entries = new Map<string, Entry>()
    await this.#directory(cid, bytes, depth, { into: entries, shards: new Set() })
    const own = await this.#target.tree.store(new Map([...entries].sort(([a], [b]) => (a < b ? -1 : 1))))
    return { kind: 'directory', cid: own, size: 0, mode: 0o755, mtimeMs }
  }

  /** Of a sharded one, each shard is a node of its own, whose links begin with two digits. */
  async #directory(
    cid: CidText,
    bytes: Uint8Array,
    depth: number,
    { into, shards }: { into: Map<string, Entry>; shards: Set<CidText> },
  ): Promise<void> {
    const { blocks, options } = this.#target
    options.signal?.throwIfAborted()
    if (++this.#directories > MAX_TREE_DIRECTORIES) throw new OsError('EFBIG', 'it has too many directories')
    const { node, unixfs } = decodeNode(cid, bytes)
    const sharded = unixfs.type === 'hamt-sharded-directory'
    if (!sharded && unixfs.type !== 'directory') throw new MalformedDag(`block ${cid} is a ${unixfs.type}`)
    const below: CidText[] = []
    for (const { Name = '', Hash } of node.Links) {
      const child = String(checkedCid(Hash))
      if (sharded && !/^[0-9A-F]{2}/.test(Name)) throw new MalformedDag(`shard ${cid} has a link without a number`)
      if (sharded && Name.length === 2) {
        if (shards.has(child)) throw new MalformedDag(`a directory in it has shard ${child} twice`)
        shards.add(child)
        below.push(child)
        continue
      }
      const name = sharded ? Name.slice(2) : Name
      if (!isName(name) || into.has(name)) {
        throw new OsError('EINVAL', `a directory in it has a name that cannot be: '${name.slice(0, 80)}'`)
      }
      into.set(name, await this.entry(child, depth + 1))
    }
    if (below.length > 0 && depth > MAX_TREE_DEPTH) throw new OsError('EFBIG', 'shards in it lie too deep')
    for (let at = 0; at < below.length; ) {
      // Those above hold some too.
      const count = this.#heldBytes < WRITE_BATCH_BLOCKS * BLOCK_BYTES ? HOLD_BATCH_BLOCKS : 1
      const some = below.slice(at, at + count)
      const contents = await blocks.getMany(some, options)
      const held = contents.reduce((sum, { byteLength }) => sum + byteLength, 0)
      this.#heldBytes += held
      for (const [i, child] of some.entries()) {
        await this.#directory(child, contents[i] as Uint8Array, depth + 1, { into, shards })
      }
      this.#heldBytes -= held
      at += some.length
    }
  }
}

function isName(name: string): boolean {
  const bad = name === '' || name === '.' || name === '..' || /[/\0]/.test(name)
  return !bad && utf8(name).byteLength <= MAX_NAME_BYTES
}
