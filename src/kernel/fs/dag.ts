// Files as UnixFS DAGs, read: ranges of content, sizes, all blocks. Writing them is dag-writer.ts. Above: file handles,
// copies. Below: blocks. Source: https://specs.ipfs.tech/unixfs/ ; checked against ipfs-unixfs-importer in dag.test.ts.
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Blocks, FetchOptions, Piece } from '../blocks/blocks.ts'
import { type CidText, isRawCid, isStoredCid } from '../blocks/cid.ts'
import {
  BLOCK_BYTES,
  HOLD_BATCH_BLOCKS,
  MAX_CACHED_CHILDREN,
  MAX_DAG_DEPTH,
  MAX_DAG_LEAVES,
  MAX_READAHEAD_BLOCKS,
  READAHEAD_BLOCKS,
} from '../limits.ts'
import type { Chunks } from './chunker.ts'

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
  /** How its content is cut into leaves, where that is not every mebibyte. */
  chunks?: Chunks | undefined
}

/** Without what else is known of it. */
export function fileRoot({ cid, size, chunks }: FileRoot): FileRoot {
  return chunks ? { cid, size, chunks } : { cid, size }
}

export interface Leaf {
  cid: CidText
  size: number
  start: number
}

/** A leaf on its way or here. */
interface LeafAhead {
  piece: Promise<Piece>
  /** Those that have asked for it so far. */
  readers: number
}

/**
 * Reads ranges of a file's DAG. Interior nodes are read once. Leaves are fetched ahead: up to where the reader says that it goes
 * on, and of one that does not say so as much as it has read in sequence.
 */
export class DagReader {
  readonly #blocks: Blocks
  readonly #root: FileRoot
  readonly #options: FetchOptions
  #leaves: Promise<Leaf[]> | undefined
  readonly #ahead = new Map<number, LeafAhead>()
  /** The leaf that was read last. */
  #last = -1
  /** How many it has read in sequence. */
  #run = 0
  readonly #closed = new AbortController()
  /** Who sent blocks is asked first for the next. */
  readonly #sources = new Set<NodeId>()
  /** Everybody was asked for several blocks of it: more than one may send them. */
  #asked = false

  constructor(blocks: Blocks, root: FileRoot, options: FetchOptions = {}) {
    this.#blocks = blocks
    this.#root = root
    const { signal } = options
    this.#options = {
      ...options,
      signal: signal ? AbortSignal.any([signal, this.#closed.signal]) : this.#closed.signal,
    }
  }

  /** Nobody reads on: what was asked for ahead is not to come. */
  close(): void {
    this.#closed.abort(new OsError('ECANCELED', 'the file was closed'))
  }

  leaves(): Promise<Leaf[]> {
    this.#leaves ??= this.#walk()
    return this.#leaves
  }

  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    for (let at = start; at < Math.min(end, this.#root.size); ) {
      const { bytes } = await this.readAt(at, Math.min(end - at, BLOCK_BYTES), end)
      at += bytes.byteLength
      yield bytes
    }
  }

  /**
   * Up to `length` bytes at `offset`, short only at the end of the file or of a leaf.
   * @param until up to where (not including) the reader goes on from there; undefined: it has not said.
   */
  async readAt(offset: number, length: number, until?: number): Promise<Piece> {
    if (offset >= this.#root.size || length === 0) return { bytes: new Uint8Array(0), own: true }
    const leaves = await this.leaves()
    const index = findLeaf(leaves, offset)
    const { start, size } = leaves[index] as Leaf
    const again = index === this.#last // who comes back is spared the disk the next time
    const leafAt = (end: number) => findLeaf(leaves, end - 1)
    const leaf = this.#leaf(leaves, index, {
      last: leafAt(offset + length),
      goesOn: until === undefined ? undefined : leafAt(Math.max(offset + length, until)),
    })
    const { bytes, own } = await leaf.piece
    if (offset > start || length < size)
      return { bytes: bytes.subarray(offset - start, offset - start + length), own: false }
    // All of it: whoever alone has asked for it may have it, and who asks again gets another.
    const mine = own && !again && leaf.readers === 1 && this.#ahead.get(index) === leaf
    if (mine) this.#ahead.delete(index)
    return { bytes, own: mine }
  }

  /** @param last the leaf up to which it is read now, and up to which the reader goes on, where it has said so. */
  #leaf(leaves: Leaf[], index: number, { last, goesOn }: { last: number; goesOn: number | undefined }): LeafAhead {
    const held = this.#ahead.get(index)
    const window = this.#window(leaves)
    const sequential = held !== undefined || (this.#last >= 0 && index === this.#last + 1)
    if (index !== this.#last) this.#run = sequential ? this.#run + 1 : 1
    const count = goesOn === undefined ? Math.min(window, Math.max(this.#run, last + 1 - index)) : window
    // The next few are asked for while those before come: where each batch waited for the last, the line was idle between.
    if (!held || index + count > this.#lastAhead()) this.#fetchAhead(leaves, index, count, goesOn)
    for (const old of this.#ahead.keys()) if (old < index - 1 || old > index + 2 * window) this.#ahead.delete(old)
    this.#last = index
    const leaf = this.#ahead.get(index) as LeafAhead
    leaf.readers++
    return leaf
  }

  /** Leaves to fetch ahead: some mebibytes, whatever their size. */
  #window(leaves: readonly Leaf[]): number {
    const each = Math.max(1, this.#root.size / leaves.length)
    return Math.min(MAX_READAHEAD_BLOCKS, Math.ceil((READAHEAD_BLOCKS * BLOCK_BYTES) / each))
  }

  #lastAhead(): number {
    return Math.max(-1, ...this.#ahead.keys())
  }

  #fetchAhead(leaves: Leaf[], index: number, count: number, last = leaves.length - 1): void {
    const wanted: number[] = []
    for (let i = index; i <= last && wanted.length < count; i++) if (!this.#ahead.has(i)) wanted.push(i)
    if (wanted.length === 0) return
    const cids = wanted.map((i) => (leaves[i] as Leaf).cid)
    const known = this.#sources.size > 0 && (this.#asked || cids.length === 1)
    const blocks = this.#blocks.getEach(cids, {
      keep: 'wanted',
      ...this.#options,
      // The next are asked for while these come.
      batches: leaves.length > cids.length && cids.length > 1 ? 2 : 1,
      ...(known ? { hints: [...this.#sources] } : {}),
      onSource: (peer) => this.#sources.add(peer),
      onSlow: (peer) => this.#sources.delete(peer),
    })
    if (cids.length > 1) void this.#learnSources(blocks)
    for (const [k, i] of wanted.entries()) {
      const piece = (blocks[k] as Promise<Piece>).then(({ bytes, own }) => {
        const content = leafContent(leaves[i] as Leaf, bytes)
        return { bytes: content, own: own && content === bytes }
      })
      const ahead = { piece, readers: 0 }
      this.#ahead.set(i, ahead)
      // Reported to whoever waits for it; who comes later asks anew.
      piece.catch(() => this.#ahead.get(i) === ahead && this.#ahead.delete(i))
    }
  }

  /** Only when several are here is it known who sends them. */
  async #learnSources(blocks: readonly Promise<Piece>[]): Promise<void> {
    await Promise.allSettled(blocks)
    this.#asked = true
  }

  /** All leaves in order, level by level. Bounded by depth and by their number, whatever size the file claims. */
  async #walk(): Promise<Leaf[]> {
    if (isRawCid(this.#root.cid)) return [{ cid: this.#root.cid, size: this.#root.size, start: 0 }]
    let level: { cid: CidText; size: number }[] = [{ cid: this.#root.cid, size: this.#root.size }]
    for (let depth = 0; ; depth++) {
      if (depth > MAX_DAG_DEPTH) throw new MalformedDag(`the DAG of ${this.#root.cid} is too deep`)
      const next: { cid: CidText; size: number }[] = []
      /** Of this level's nodes, each once; undefined for one that is a leaf. */
      const known = new Map<CidText, { cid: CidText; size: number }[] | undefined>()
      let interior = false
      for (let at = 0; at < level.length; at += HOLD_BATCH_BLOCKS) {
        const part = level.slice(at, at + HOLD_BATCH_BLOCKS)
        await this.#expand(part, known)
        for (const child of part) {
          const children = known.get(child.cid)
          if (children) {
            interior = true
            if (children.reduce((sum, each) => sum + each.size, 0) !== child.size) {
              throw notOfSize(child.cid)
            }
          }
          for (const each of children ?? [child]) next.push(each)
          if (next.length > MAX_DAG_LEAVES) throw tooManyLeaves(this.#root.cid)
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
    const nodes = cids.filter((cid) => !known.has(cid) && !isRawCid(cid))
    if (nodes.length === 0) return
    const children = await childrenOf(this.#blocks, nodes, this.#options)
    for (const [i, cid] of nodes.entries()) known.set(cid, children[i])
  }
}

/** What a leaf holds of its file. @throws {OsError} EIO. */
export function leafContent({ cid, size }: { cid: CidText; size: number }, block: Uint8Array): Uint8Array {
  const content = isRawCid(cid) ? block : (decodeNode(cid, block).unixfs.data ?? new Uint8Array(0))
  if (content.byteLength !== size) throw new MalformedDag(`block ${cid} is not of the size its file says`)
  return content
}

/** @param leaves by where they start. @returns the number of the one that `offset` is in. */
export function findLeaf(leaves: readonly { start: number }[], offset: number): number {
  let low = 0
  let high = leaves.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((leaves[middle] as { start: number }).start <= offset) low = middle
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

/** Children of a file's node; undefined when it is a leaf that holds its data itself. @throws {OsError} EIO. */
export function fileChildren(cid: CidText, bytes: Uint8Array): { cid: CidText; size: number }[] | undefined {
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

type NodeSource = Pick<Blocks, 'get'> & Partial<Pick<Blocks, 'getMany'>>
type Children = { cid: CidText; size: number }[]

/** Nodes of files, decoded, by where they were read: each change of a file reads all of its nodes, which hardly differ. */
const decoded = new WeakMap<NodeSource, { nodes: Map<CidText, Children | undefined>; children: number }>()

/** Of nodes that are dag-pb. */
async function childrenOf(
  blocks: NodeSource,
  cids: readonly CidText[],
  options: FetchOptions,
): Promise<(Children | undefined)[]> {
  const cache = decoded.get(blocks) ?? { nodes: new Map(), children: 0 }
  decoded.set(blocks, cache)
  const unknown = cids.filter((cid) => !cache.nodes.has(cid))
  const contents = blocks.getMany
    ? await blocks.getMany(unknown, options)
    : await Promise.all(unknown.map((cid) => blocks.get(cid, options)))
  const read = new Map(unknown.map((cid, i) => [cid, fileChildren(cid, contents[i] as Uint8Array)]))
  const found = cids.map((cid) => (read.has(cid) ? read.get(cid) : cache.nodes.get(cid)))
  for (const [cid, children] of read) {
    const count = children?.length ?? 1
    if (cache.children + count > MAX_CACHED_CHILDREN) {
      cache.nodes.clear()
      cache.children = 0
    }
    cache.nodes.set(cid, children)
    cache.children += count
  }
  return found
}

/**
 * Leaves of a file, each once, and their bytes. Every node is looked at once a level: a few hostile ones that stand in each
 * other many times unfold into billions of leaves, and every node that keeps the tree wants to know of all of its files.
 * @throws {OsError} EIO.
 */
export async function leafSizes(
  blocks: NodeSource,
  root: FileRoot,
  options: FetchOptions,
): Promise<Map<CidText, number>> {
  const leaves = new Map<CidText, number>()
  let level = new Map([[root.cid, root.size]])
  for (let depth = 0; level.size > 0; depth++) {
    if (depth > MAX_DAG_DEPTH) throw new MalformedDag(`the DAG of ${root.cid} is too deep`)
    const next = new Map<CidText, number>()
    const nodes: CidText[] = []
    for (const [cid, size] of level) {
      if (isRawCid(cid)) addSized(leaves, cid, size)
      else nodes.push(cid)
    }
    for (let at = 0; at < nodes.length; at += HOLD_BATCH_BLOCKS) {
      const part = nodes.slice(at, at + HOLD_BATCH_BLOCKS)
      for (const [i, children] of (await childrenOf(blocks, part, options)).entries()) {
        const cid = part[i] as CidText
        const size = level.get(cid) as number
        for (const child of children ?? []) addSized(next, child.cid, child.size)
        if (!children) addSized(leaves, cid, size)
        else if (children.reduce((sum, child) => sum + child.size, 0) !== size) throw notOfSize(cid)
        if (leaves.size + next.size > MAX_DAG_LEAVES) throw tooManyLeaves(root.cid)
      }
    }
    level = next
  }
  return leaves
}

function addSized(sizes: Map<CidText, number>, cid: CidText, size: number): void {
  if ((sizes.get(cid) ?? size) !== size) throw notOfSize(cid)
  sizes.set(cid, size)
}

function notOfSize(cid: CidText): MalformedDag {
  return new MalformedDag(`the DAG node ${cid} is not of the size that its parent says`)
}

function tooManyLeaves(cid: CidText): MalformedDag {
  return new MalformedDag(`the DAG of ${cid} has more than ${MAX_DAG_LEAVES} leaves`)
}

/** Every block of the file, interior nodes first: for copying it whole to another node. */
export async function allCids(blocks: NodeSource, root: FileRoot, options: FetchOptions): Promise<CidText[]> {
  if (isRawCid(root.cid)) return [root.cid]
  const seen = new Set<CidText>()
  let level = new Set([root.cid])
  for (let depth = 0; level.size > 0; depth++) {
    if (depth > MAX_DAG_DEPTH) throw new MalformedDag(`the DAG of ${root.cid} is too deep`)
    const next = new Set<CidText>()
    const nodes: CidText[] = []
    for (const cid of level) {
      seen.add(cid)
      if (!isRawCid(cid)) nodes.push(cid)
    }
    for (let at = 0; at < nodes.length; at += HOLD_BATCH_BLOCKS) {
      const part = nodes.slice(at, at + HOLD_BATCH_BLOCKS)
      for (const children of await childrenOf(blocks, part, options)) {
        for (const child of children ?? []) next.add(child.cid)
        if (seen.size + next.size > 2 * MAX_DAG_LEAVES) throw new MalformedDag(`the DAG of ${root.cid} is too large`)
      }
    }
    level = next
  }
  return [...seen]
}

/** Size of the file whose root block this is. @throws {OsError} EIO. */
export function rootSize(cid: CidText, block: Uint8Array): number {
  if (isRawCid(cid)) return block.byteLength
  return Number(decodeNode(cid, block).unixfs.fileSize())
}
