// Files as UnixFS DAGs: the balanced layout of the unixfs-v1-2025 profile (1 MiB raw leaves, 1024 links a node,
// CIDv1, sha2-256), so that a plain file has the CID that any IPFS tool gives it. Above: file handles.
// Below: blocks. Source: https://specs.ipfs.tech/unixfs/ ; checked against ipfs-unixfs-importer in dag.test.ts.
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, DAG_PB, isStoredCid, parseCid, RAW } from '../blocks/cid.ts'
import {
  BLOCK_BYTES,
  DAG_FANOUT,
  MAX_DAG_DEPTH,
  MAX_DAG_LEAVES,
  READAHEAD_BLOCKS,
  WRITE_BATCH_BLOCKS,
} from '../limits.ts'

/** Blocks that make no file, whoever has them. */
export class MalformedDag extends OsError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('EIO', message, options)
  }
}

export interface FileRoot {
  cid: CidText
  /** Bytes of content. */
  size: number
}

interface Child {
  cid: CidText
  size: number
  /** Encoded bytes of the whole subtree, for dag-pb's Tsize. */
  totalBytes: number
}

/**
 * Builds a DAG from bytes appended in any sizes. Holds at most two batches of WRITE_BATCH_BLOCKS leaves in memory: one
 * that is gathered, and one that is being stored.
 */
export class DagWriter {
  readonly #blocks: Blocks
  #tail: Uint8Array[] = []
  #tailBytes = 0
  #leaves: Child[] = []
  #batch: [CidText, Uint8Array][] = []
  #storing: Promise<void> = Promise.resolve()
  #size = 0

  constructor(blocks: Blocks) {
    this.#blocks = blocks
  }

  /** Continues after the content of an existing file: whole leaves are reused, only the last partial one is read. */
  static async append(blocks: Blocks, root: FileRoot, options: FetchOptions): Promise<DagWriter> {
    const writer = new DagWriter(blocks)
    if (root.size === 0) return writer
    const leaves = await new DagReader(blocks, root, options).leaves()
    const last = leaves.at(-1)
    for (const leaf of leaves) {
      if (leaf === last || leaf.size !== BLOCK_BYTES) continue
      writer.#leaves.push({ ...leaf, totalBytes: leaf.size })
    }
    const kept = writer.#leaves.length * BLOCK_BYTES
    writer.#size = kept
    for await (const piece of new DagReader(blocks, root, options).read(kept, root.size)) await writer.write(piece)
    return writer
  }

  get size(): number {
    return this.#size
  }

  /** Takes a private copy of what it cannot store at once. @throws {OsError} ENOSPC. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.byteLength
    let rest = bytes
    while (this.#tailBytes + rest.byteLength >= BLOCK_BYTES) {
      const part = rest.subarray(0, BLOCK_BYTES - this.#tailBytes)
      rest = rest.subarray(part.byteLength)
      await this.#leaf(concat([...this.#tail, part]))
      this.#tail = []
      this.#tailBytes = 0
    }
    if (rest.byteLength > 0) {
      this.#tail.push(rest.slice())
      this.#tailBytes += rest.byteLength
    }
  }

  async finish(): Promise<FileRoot> {
    if (this.#tailBytes > 0 || this.#leaves.length === 0) await this.#leaf(concat(this.#tail))
    let level = this.#leaves
    while (level.length > 1) {
      const parents: Child[] = []
      for (let at = 0; at < level.length; at += DAG_FANOUT) {
        parents.push(await this.#node(level.slice(at, at + DAG_FANOUT)))
      }
      level = parents
    }
    await this.#flush()
    await this.#storing
    const [root] = level
    return { cid: (root as Child).cid, size: this.#size }
  }

  async #leaf(bytes: Uint8Array): Promise<void> {
    const cid = await this.#store(RAW, bytes)
    this.#leaves.push({ cid, size: bytes.byteLength, totalBytes: bytes.byteLength })
  }

  async #node(children: Child[]): Promise<Child> {
    const file = new UnixFS({ type: 'file', blockSizes: children.map((child) => BigInt(child.size)) })
    const bytes = dagPb.encode({
      Data: file.marshal(),
      Links: children.map((child) => ({ Name: '', Hash: parseCid(child.cid), Tsize: child.totalBytes })),
    })
    const cid = await this.#store(DAG_PB, bytes)
    const size = children.reduce((sum, child) => sum + child.size, 0)
    return { cid, size, totalBytes: bytes.byteLength + children.reduce((sum, child) => sum + child.totalBytes, 0) }
  }

  async #store(codec: typeof RAW | typeof DAG_PB, bytes: Uint8Array): Promise<CidText> {
    const cid = await this.#blocks.cidOf(codec, bytes)
    this.#batch.push([cid, bytes])
    if (this.#batch.length >= WRITE_BATCH_BLOCKS) await this.#flush()
    return cid
  }

  /** Begins to store the batch once the one before is stored. @throws {OsError} what went wrong with that one. */
  async #flush(): Promise<void> {
    const batch = this.#batch
    this.#batch = []
    await this.#storing
    this.#storing = this.#blocks.putMany(batch)
    this.#storing.catch(() => undefined) // thrown by the next flush, or at the end
  }
}

interface Leaf {
  cid: CidText
  size: number
  start: number
}

/** Reads ranges of a file's DAG. Interior nodes are read once; leaves are fetched ahead of a sequential reader. */
export class DagReader {
  readonly #blocks: Blocks
  readonly #root: FileRoot
  readonly #options: FetchOptions
  #leaves: Promise<Leaf[]> | undefined
  readonly #ahead = new Map<number, Promise<Uint8Array>>()
  /** Who sent the last blocks is asked first for the next. */
  #source: Pick<FetchOptions, 'hints' | 'onSource'> = {}

  constructor(blocks: Blocks, root: FileRoot, options: FetchOptions = {}) {
    this.#blocks = blocks
    this.#root = root
    this.#options = options
    const onSource = (peer: NodeId) => {
      this.#source = { hints: [peer], onSource }
    }
    this.#source = { onSource }
  }

  leaves(): Promise<Leaf[]> {
    this.#leaves ??= this.#walk()
    return this.#leaves
  }

  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    for (let at = start; at < Math.min(end, this.#root.size); ) {
      const piece = await this.readAt(at, Math.min(end - at, BLOCK_BYTES))
      at += piece.byteLength
      yield piece
    }
  }

  /** Up to `length` bytes at `offset`, short only at the end of the file or of a leaf. */
  async readAt(offset: number, length: number): Promise<Uint8Array> {
    if (offset >= this.#root.size || length === 0) return new Uint8Array(0)
    const leaves = await this.leaves()
    const index = findLeaf(leaves, offset)
    const leaf = leaves[index] as Leaf
    const bytes = await this.#leaf(leaves, index)
    const from = offset - leaf.start
    return bytes.subarray(from, from + length)
  }

  async #leaf(leaves: Leaf[], index: number): Promise<Uint8Array> {
    const held = this.#ahead.get(index)
    // Sequential so far, or at the start: ask for the next few in one request.
    if (!held || index + READAHEAD_BLOCKS / 2 > this.#lastAhead()) this.#fetchAhead(leaves, index)
    for (const old of this.#ahead.keys())
      if (old < index - 1 || old > index + 2 * READAHEAD_BLOCKS) this.#ahead.delete(old)
    try {
      return await (this.#ahead.get(index) as Promise<Uint8Array>)
    } catch (error) {
      this.#ahead.delete(index)
      throw error
    }
  }

  #lastAhead(): number {
    return Math.max(-1, ...this.#ahead.keys())
  }

  #fetchAhead(leaves: Leaf[], index: number): void {
    const sequential = this.#ahead.has(index) || this.#ahead.has(index - 1)
    const count = sequential ? READAHEAD_BLOCKS : 1
    const wanted: number[] = []
    for (let i = index; i < leaves.length && wanted.length < count; i++) if (!this.#ahead.has(i)) wanted.push(i)
    if (wanted.length === 0) return
    const cids = wanted.map((i) => (leaves[i] as Leaf).cid)
    const blocks = this.#blocks.getEach(cids, { ...this.#options, ...this.#source })
    for (const [k, i] of wanted.entries()) {
      const one = (blocks[k] as Promise<Uint8Array>).then((bytes) => this.#sized(leaves[i] as Leaf, bytes))
      one.catch(() => undefined) // reported to whoever reads it; nobody may
      this.#ahead.set(i, one)
    }
  }

  #sized(leaf: Leaf, bytes: Uint8Array): Uint8Array {
    const content =
      parseCid(leaf.cid).code === RAW ? bytes : (decodeNode(leaf.cid, bytes).unixfs.data ?? new Uint8Array(0))
    if (content.byteLength !== leaf.size) throw new MalformedDag(`block ${leaf.cid} is not of the size its file says`)
    return content
  }

  /** All leaves in order, level by level. Bounded by depth and by their number, whatever size the file claims. */
  async #walk(): Promise<Leaf[]> {
    if (parseCid(this.#root.cid).code === RAW) return [{ cid: this.#root.cid, size: this.#root.size, start: 0 }]
    let level: { cid: CidText; size: number }[] = [{ cid: this.#root.cid, size: this.#root.size }]
    for (let depth = 0; ; depth++) {
      if (depth > MAX_DAG_DEPTH) throw new MalformedDag(`the DAG of ${this.#root.cid} is too deep`)
      const next: { cid: CidText; size: number }[] = []
      /** Of this level's nodes, each once; undefined for one that is a leaf. */
      const known = new Map<CidText, { cid: CidText; size: number }[] | undefined>()
      let interior = false
      for (let at = 0; at < level.length; at += READAHEAD_BLOCKS) {
        const part = level.slice(at, at + READAHEAD_BLOCKS)
        await this.#expand(part, known)
        for (const child of part) {
          const children = known.get(child.cid)
          if (children) {
            interior = true
            if (children.reduce((sum, each) => sum + each.size, 0) !== child.size) {
              throw new MalformedDag(`the DAG node ${child.cid} is not of the size that its parent says`)
            }
          }
          for (const each of children ?? [child]) next.push(each)
          if (next.length > MAX_DAG_LEAVES) {
            throw new MalformedDag(`the DAG of ${this.#root.cid} has more than ${MAX_DAG_LEAVES} leaves`)
          }
        }
      }
      level = next
      if (!interior) break
    }
    let start = 0
    const leaves = level.map(({ cid, size }) => {
      const leaf = { cid, size, start }
      start += size
      return leaf
    })
    if (start !== this.#root.size)
      throw new MalformedDag(`file ${this.#root.cid} holds ${start} bytes, not ${this.#root.size}`)
    return leaves
  }

  async #expand(
    part: readonly { cid: CidText }[],
    known: Map<CidText, { cid: CidText; size: number }[] | undefined>,
  ): Promise<void> {
    const cids = [...new Set(part.map(({ cid }) => cid))]
    const nodes = cids.filter((cid) => !known.has(cid) && parseCid(cid).code === DAG_PB)
    if (nodes.length === 0) return
    const blocks = await this.#blocks.getMany(nodes, this.#options)
    for (const [i, cid] of nodes.entries()) known.set(cid, fileChildren(cid, blocks[i] as Uint8Array))
  }
}

function findLeaf(leaves: readonly Leaf[], offset: number): number {
  let low = 0
  let high = leaves.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((leaves[middle] as Leaf).start <= offset) low = middle
    else high = middle - 1
  }
  return low
}

/** @throws {OsError} EIO when the block is not a UnixFS node. */
export function decodeNode(cid: CidText, bytes: Uint8Array): { node: dagPb.PBNode; unixfs: UnixFS } {
  try {
    const node = dagPb.decode(bytes)
    return { node, unixfs: UnixFS.unmarshal(node.Data ?? new Uint8Array(0)) }
  } catch (error) {
    throw new MalformedDag(`block ${cid} is not a UnixFS node`, { cause: error })
  }
}

/** Children of a file's node; undefined when it is a leaf that holds its data itself. */
function fileChildren(cid: CidText, bytes: Uint8Array): { cid: CidText; size: number }[] | undefined {
  const { node, unixfs } = decodeNode(cid, bytes)
  if (unixfs.type !== 'file' && unixfs.type !== 'raw') throw new MalformedDag(`${cid} is a ${unixfs.type}, not a file`)
  if (node.Links.length === 0) return undefined
  if (unixfs.blockSizes.length !== node.Links.length) throw new MalformedDag(`the DAG node ${cid} is malformed`)
  return node.Links.map((link, i) => {
    const child = link.Hash.toString()
    if (!isStoredCid(child)) throw new MalformedDag(`the DAG node ${cid} links to ${child}, which is no file block`)
    return { cid: child, size: Number(unixfs.blockSizes[i]) }
  })
}

/** Every block of the file, interior nodes first: for copying it whole to another node. */
export async function allCids(blocks: Blocks, root: FileRoot, options: FetchOptions): Promise<CidText[]> {
  if (parseCid(root.cid).code === RAW) return [root.cid]
  const seen = new Set<CidText>()
  let level = new Set([root.cid])
  for (let depth = 0; level.size > 0; depth++) {
    if (depth > MAX_DAG_DEPTH) throw new MalformedDag(`the DAG of ${root.cid} is too deep`)
    const next = new Set<CidText>()
    for (const cid of level) {
      seen.add(cid)
      if (parseCid(cid).code === RAW) continue
      const children = fileChildren(cid, await blocks.get(cid, options)) ?? []
      for (const child of children) next.add(child.cid)
      if (seen.size + next.size > MAX_DAG_LEAVES) throw new MalformedDag(`the DAG of ${root.cid} is too large`)
    }
    level = next
  }
  return [...seen]
}

/** Size of the file whose root block this is. @throws {OsError} EIO. */
export function rootSize(cid: CidText, block: Uint8Array): number {
  if (parseCid(cid).code === RAW) return block.byteLength
  return Number(decodeNode(cid, block).unixfs.fileSize())
}
