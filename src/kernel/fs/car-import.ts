// A CAR becomes part of the tree: its blocks are checked and stored, its directories are made anew as ours. Above: fs.ts.
// Below: car.ts, tree.ts, blocks.
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { MAX_NAME_BYTES } from '../../syscalls/limits.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, type Codec, parseCid, RAW } from '../blocks/cid.ts'
import { BLOCK_BYTES, MAX_TREE_DEPTH, MAX_TREE_DIRECTORIES, WRITE_BATCH_BLOCKS } from '../limits.ts'
import { carSections } from './car.ts'
import { DagReader, decodeNode, MalformedDag, rootSize } from './dag.ts'
import { decodeLink, type Entry } from './directory.ts'
import type { Tree } from './tree.ts'

/** Small blocks that are stored with one transaction. */
const MAX_BATCH = 1_024

export interface CarTarget {
  tree: Tree
  blocks: Blocks
  options: FetchOptions
  mtimeMs: number
}

/**
 * Stores all blocks of a CAR. @returns what its root is, for the tree.
 * @throws {OsError} EINVAL for what is no CAR, or has a block that does not hash to its CID; EIO when one is missing; ENOSPC;
 * EFBIG for directories that are too large.
 */
export async function importCar(target: CarTarget, pieces: AsyncIterable<Uint8Array>): Promise<Entry> {
  const { blocks } = target
  let root: CidText | undefined
  let batch: [CidText, Uint8Array][] = []
  let bytes = 0
  for await (const section of carSections(pieces)) {
    target.options.signal?.throwIfAborted()
    if ('root' in section) {
      root = section.root
      continue
    }
    const { cid, bytes: block } = section
    if ((await blocks.cidOf(parseCid(cid).code as Codec, block)) !== cid) {
      throw new OsError('EINVAL', `block ${cid} in it is not what its CID says`)
    }
    batch.push([cid, block])
    bytes += block.byteLength
    if (bytes < WRITE_BATCH_BLOCKS * BLOCK_BYTES && batch.length < MAX_BATCH) continue
    await blocks.putNew(batch)
    batch = []
    bytes = 0
  }
  await blocks.putNew(batch)
  if (root === undefined) throw new OsError('EINVAL', 'it has no root')
  return new Adoption(target).entry(root, 0)
}

class Adoption {
  readonly #target: CarTarget
  readonly #known = new Map<CidText, Entry>()
  #directories = 0

  constructor(target: CarTarget) {
    this.#target = target
  }

  async entry(cid: CidText, depth: number): Promise<Entry> {
    const known = this.#known.get(cid)
    if (known) return known
    if (depth > MAX_TREE_DEPTH) throw new OsError('EFBIG', 'directories in it lie too deep')
    const entry = await this.#adopt(cid, depth)
    this.#known.set(cid, entry)
    return entry
  }

  async #adopt(cid: CidText, depth: number): Promise<Entry> {
    const { blocks, options, mtimeMs } = this.#target
    const bytes = await blocks.get(cid, options)
    const file = { kind: 'file' as const, cid, mode: 0o644, mtimeMs }
    if (parseCid(cid).code === RAW) return { ...file, size: bytes.byteLength }
    const { unixfs } = decodeNode(cid, bytes)
    if (unixfs.type === 'file' || unixfs.type === 'raw') {
      const size = rootSize(cid, bytes)
      if (!Number.isSafeInteger(size)) throw new MalformedDag(`${cid} says that it is larger than a file can be`)
      await new DagReader(blocks, { cid, size }, options).leaves()
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
    for (const { Name = '', Hash } of node.Links) {
      const child = String(parseCid(String(Hash)))
      if (sharded && !/^[0-9A-F]{2}/.test(Name)) throw new MalformedDag(`shard ${cid} has a link without a number`)
      if (sharded && Name.length === 2) {
        if (shards.has(child)) throw new MalformedDag(`a directory in it has shard ${child} twice`)
        shards.add(child)
        if (depth > MAX_TREE_DEPTH) throw new OsError('EFBIG', 'shards in it lie too deep')
        await this.#directory(child, await blocks.get(child, options), depth + 1, { into, shards })
        continue
      }
      const name = sharded ? Name.slice(2) : Name
      if (!isName(name) || into.has(name)) {
        throw new OsError('EINVAL', `a directory in it has a name that cannot be: '${name.slice(0, 80)}'`)
      }
      into.set(name, await this.entry(child, depth + 1))
    }
  }
}

function isName(name: string): boolean {
  const bad = name === '' || name === '.' || name === '..' || /[/\0]/.test(name)
  return !bad && utf8(name).byteLength <= MAX_NAME_BYTES
}
