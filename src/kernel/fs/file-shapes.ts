// What files of blocks that somebody else has made hold, node by node: each node is looked at once, however many files, and
// nodes above, it is in. Read leaf by leaf, a few kilobytes unfold into hours. Above: car-import.ts. Below: dag.ts, blocks.
import { OsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, isRawCid } from '../blocks/cid.ts'
import { MAX_CAR_BLOCKS, MAX_DAG_DEPTH, MAX_DAG_LEAVES } from '../limits.ts'
import { decodeNode, fileChildren, MalformedDag } from './dag.ts'

/** What is below a node. */
export interface Shape {
  /** Bytes of content. */
  size: number
  leaves: number
  /** Levels below it. */
  height: number
}

const leafOf = (size: number): Shape => ({ size, leaves: 1, height: 0 })

export class FileShapes {
  readonly #source: { blocks: Blocks; options: FetchOptions }
  readonly #sizes: ReadonlyMap<CidText, number>
  /** Of nodes that are not raw. */
  readonly #known = new Map<CidText, Shape>()
  readonly #rawLeaves = new Set<CidText>()

  /** @param sizes of blocks that are raw, as far as they are known. */
  constructor(source: { blocks: Blocks; options: FetchOptions }, sizes: ReadonlyMap<CidText, number>) {
    this.#source = source
    this.#sizes = sizes
  }

  /**
   * @throws {OsError} EIO for a DAG that nobody could read: a node is missing, or not as long as the one above says, or there
   * are too many of them; EFBIG for more nodes than one CAR may have.
   */
  async shapeOf(cid: CidText, depth = 0): Promise<Shape> {
    const { blocks, options } = this.#source
    const known = this.#quickly(cid)
    if (known) return known
    if (depth > MAX_DAG_DEPTH) throw new MalformedDag(`the DAG of a file, down to ${cid}, is too deep`)
    options.signal?.throwIfAborted()
    const bytes = await blocks.get(cid, options)
    if (isRawCid(cid)) return leafOf(bytes.byteLength)
    const children = fileChildren(cid, bytes)
    const shape = children
      ? await this.#ofChildren(cid, children, depth)
      : leafOf(decodeNode(cid, bytes).unixfs.data?.byteLength ?? 0)
    if (this.#known.size >= MAX_CAR_BLOCKS)
      throw new OsError('EFBIG', `its files have more than ${MAX_CAR_BLOCKS} nodes`)
    this.#known.set(cid, shape)
    return shape
  }

  /** Whether it is a block of a file that was looked at. */
  needs(cid: CidText): boolean {
    return this.#known.has(cid) || this.#rawLeaves.has(cid)
  }

  #quickly(cid: CidText): Shape | undefined {
    const size = this.#sizes.get(cid)
    return size === undefined ? this.#known.get(cid) : leafOf(size)
  }

  async #ofChildren(cid: CidText, children: readonly { cid: CidText; size: number }[], depth: number): Promise<Shape> {
    const shape = { size: 0, leaves: 0, height: 0 }
    for (const child of children) {
      if (isRawCid(child.cid)) this.#rawLeaves.add(child.cid)
      const below = this.#quickly(child.cid) ?? (await this.shapeOf(child.cid, depth + 1))
      if (below.size !== child.size) throw new MalformedDag(`block ${child.cid} is not of the size its file says`)
      shape.size += below.size
      shape.leaves += below.leaves
      shape.height = Math.max(shape.height, below.height + 1)
    }
    if (shape.height > MAX_DAG_DEPTH) throw new MalformedDag(`the DAG of ${cid} is too deep`)
    if (shape.leaves > MAX_DAG_LEAVES)
      throw new MalformedDag(`the DAG of ${cid} has more than ${MAX_DAG_LEAVES} leaves`)
    return shape
  }
}
