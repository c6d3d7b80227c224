// The blocks of a file's DAG. Cut as fixed, the balanced layout of the unixfs-v1-2025 profile (1 MiB raw leaves, 1024
// links a node, CIDv1, sha2-256), so that a plain file has the CID that any IPFS tool gives it. Above: dag-writer.ts.
// Below: chunker.ts, blocks.
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import type { Blocks, OwnBlocks } from '../blocks/blocks.ts'
import { type CidText, DAG_PB, parseCid, RAW } from '../blocks/cid.ts'
import {
  BLOCK_BYTES,
  HOLD_BATCH_BLOCKS,
  MAX_CACHED_CHILDREN,
  WRITE_BATCH_BLOCKS,
  WRITE_BATCH_SMALL_BLOCKS,
} from '../limits.ts'
import type { Chunker } from './chunker.ts'
import type { FileRoot } from './dag.ts'

/** A part of a file that is stored, or about to be. */
export interface Child {
  cid: CidText
  /** Bytes of content. */
  size: number
  /** Encoded bytes of the whole subtree, for dag-pb's Tsize. */
  totalBytes: number
}

/** Batches that are being stored at a time: while the disk writes one, the next is handed to it. */
const MAX_STORING = 2

interface Storing {
  batch: ReadonlyMap<CidText, Uint8Array>
  /** With all before it. */
  done: Promise<void>
}

/** Nodes that were built lately. */
interface Built {
  nodes: Map<string, { children: readonly Child[]; node: Child }>
  /** Of all of them. */
  children: number
}

/** By where they are stored, as long as a tab runs. */
const builtIn = new WeakMap<Blocks, Built>()

/** Holds at most three batches in memory: one that is gathered, and two that are being stored. */
export class DagBuilder {
  readonly #blocks: Blocks
  #batch = new Map<CidText, Uint8Array>()
  #batchBytes = 0
  /** The batches that are being stored, the older one first. */
  readonly #storing: Storing[] = []
  /** The first block that had to be stored: what comes before it was here already. */
  #firstNew: CidText | undefined

  readonly #known: Built
  readonly #own: OwnBlocks = new Map()

  constructor(blocks: Blocks) {
    this.#blocks = blocks
    this.#known = builtIn.get(blocks) ?? { nodes: new Map(), children: 0 }
    builtIn.set(blocks, this.#known)
  }

  /** What was given to it and is perhaps not stored yet. */
  pending(cid: CidText): Uint8Array | undefined {
    return this.#batch.get(cid) ?? this.#storing.findLast(({ batch }) => batch.has(cid))?.batch.get(cid)
  }

  /** @param bytes must not change any more. @throws {OsError} ENOSPC: what went wrong with an earlier batch. */
  async leaf(bytes: Uint8Array): Promise<Child> {
    const [child] = await this.leaves([bytes])
    return child as Child
  }

  /** The same of several, whose hashes are worked out together. */
  async leaves(parts: readonly Uint8Array[]): Promise<Child[]> {
    const cids = await this.#store(RAW, parts)
    return parts.map(({ byteLength }, i) => ({ cid: cids[i] as CidText, size: byteLength, totalBytes: byteLength }))
  }

  /** Stores the nodes above the leaves. Resolves when all is on the disk. @param leaves at least one. */
  async finish(leaves: readonly Child[], chunker: Chunker): Promise<FileRoot> {
    let level = leaves
    while (level.length > 1) {
      const groups: (readonly Child[])[] = []
      for (let at = 0; at < level.length; at += groups.at(-1)?.length ?? 1) {
        groups.push(level.slice(at, at + chunker.node(level, at)))
      }
      const parents: Child[] = []
      for (let at = 0; at < groups.length; at += HOLD_BATCH_BLOCKS) {
        parents.push(...(await this.#nodes(groups.slice(at, at + HOLD_BATCH_BLOCKS))))
      }
      level = parents
    }
    await this.#flush()
    await this.#storing.at(-1)?.done
    this.#storing.length = 0
    const [root] = level as [Child]
    return { cid: root.cid, size: root.size }
  }

  named(): void {
    this.#own.clear()
  }

  /** Frees what was stored since, which nobody will name. @throws {OsError} EIO. */
  async takeBack(): Promise<void> {
    await Promise.allSettled(this.#storing.map(({ done }) => done))
    await this.#blocks.takeBack(this.#own)
  }

  /** Bytes at the beginning of the file that were here before it was written. @param leaves all of them, which are stored. */
  alreadyHere(leaves: readonly Child[]): number {
    let bytes = 0
    for (const { cid, size } of leaves) {
      if (cid === this.#firstNew) break
      bytes += size
    }
    return bytes
  }

  async #nodes(groups: readonly (readonly Child[])[]): Promise<Child[]> {
    const encoded = groups.map((children) => this.#built(children) ?? encodeNode(children))
    const fresh = encoded.filter((each) => each instanceof Uint8Array)
    const cids = await this.#store(DAG_PB, fresh)
    let next = 0
    return groups.map((children, i) => {
      const bytes = encoded[i]
      if (!(bytes instanceof Uint8Array)) return bytes as Child
      const node = {
        cid: cids[next++] as CidText,
        size: sum(children, ({ size }) => size),
        totalBytes: bytes.byteLength + sum(children, ({ totalBytes }) => totalBytes),
      }
      this.#remember(children, node)
      return node
    })
  }

  /** A node with these children, if it was built lately and is still here: most nodes of a file that changes are as before. */
  #built(children: readonly Child[]): Child | undefined {
    const known = this.#known.nodes.get(keyOf(children))
    const same = known?.children.every(({ cid, size, totalBytes }, i) => {
      const other = children[i]
      return cid === other?.cid && size === other.size && totalBytes === other.totalBytes
    })
    return known && same && this.#blocks.reuse(known.node.cid) ? known.node : undefined
  }

  #remember(children: readonly Child[], node: Child): void {
    const known = this.#known
    if (known.children > MAX_CACHED_CHILDREN) {
      known.nodes.clear()
      known.children = 0
    }
    known.nodes.set(keyOf(children), { children, node })
    known.children += children.length
  }

  async #store(codec: typeof RAW | typeof DAG_PB, blocks: readonly Uint8Array[]): Promise<CidText[]> {
    const cids = await Promise.all(blocks.map((bytes) => this.#blocks.cidOf(codec, bytes)))
    // One after the other: a batch that is full is waited for.
    for (const [i, cid] of cids.entries()) {
      const bytes = blocks[i] as Uint8Array
      if (!this.#batch.has(cid)) this.#batchBytes += bytes.byteLength
      this.#batch.set(cid, bytes)
      const full = this.#batchBytes >= WRITE_BATCH_BLOCKS * BLOCK_BYTES || this.#batch.size >= WRITE_BATCH_SMALL_BLOCKS
      if (full) await this.#flush()
    }
    return cids
  }

  /** Begins to store the batch, once there is room for another. @throws {OsError} what went wrong with an earlier one. */
  async #flush(): Promise<void> {
    if (this.#storing.length === MAX_STORING) {
      await this.#storing[0]?.done
      this.#storing.shift()
    }
    const batch = this.#batch
    this.#batch = new Map()
    this.#batchBytes = 0
    const before = this.#storing.at(-1)?.done
    const done = this.#blocks.putNew([...batch], this.#own).then(async ([first]) => {
      await before
      this.#firstNew ??= first
    })
    done.catch(() => undefined) // thrown by a later flush, or at the end
    this.#storing.push({ batch, done })
  }
}

/** Where to look; whether all children are the same is compared. */
function keyOf(children: readonly Child[]): string {
  return `${children.length} ${children[0]?.cid} ${children.at(-1)?.cid}`
}

function encodeNode(children: readonly Child[]): Uint8Array {
  const file = new UnixFS({ type: 'file', blockSizes: children.map((child) => BigInt(child.size)) })
  return dagPb.encode({
    Data: file.marshal(),
    Links: children.map((child) => ({ Name: '', Hash: parseCid(child.cid), Tsize: child.totalBytes })),
  })
}

function sum(children: readonly Child[], of: (child: Child) => number): number {
  return children.reduce((all, child) => all + of(child), 0)
}
