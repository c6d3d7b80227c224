// The blocks of a file's DAG. Cut as fixed, the balanced layout of the unixfs-v1-2025 profile (1 MiB raw leaves, 1024
// links a node, CIDv1, sha2-256), so that a plain file has the CID that any IPFS tool gives it. Above: dag-writer.ts.
// Below: chunker.ts, blocks.
import * as dagPb from '@ipld/dag-pb'
import { UnixFS } from 'ipfs-unixfs'
import type { Blocks } from '../blocks/blocks.ts'
import { type CidText, DAG_PB, parseCid, RAW } from '../blocks/cid.ts'
import { BLOCK_BYTES, WRITE_BATCH_BLOCKS, WRITE_BATCH_SMALL_BLOCKS } from '../limits.ts'
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

/** Holds at most two batches in memory: one that is gathered, and one that is being stored. */
export class DagBuilder {
  readonly #blocks: Blocks
  #batch = new Map<CidText, Uint8Array>()
  #batchBytes = 0
  #storing: Promise<void> = Promise.resolve()
  #onTheWay: ReadonlyMap<CidText, Uint8Array> = new Map()

  constructor(blocks: Blocks) {
    this.#blocks = blocks
  }

  /** What was given to it and is perhaps not stored yet. */
  pending(cid: CidText): Uint8Array | undefined {
    return this.#batch.get(cid) ?? this.#onTheWay.get(cid)
  }

  /** @param bytes must not change any more. @throws {OsError} ENOSPC: what went wrong with an earlier batch. */
  async leaf(bytes: Uint8Array): Promise<Child> {
    const cid = await this.#store(RAW, bytes)
    return { cid, size: bytes.byteLength, totalBytes: bytes.byteLength }
  }

  /** Stores the nodes above the leaves. Resolves when all is on the disk. @param leaves at least one. */
  async finish(leaves: readonly Child[], chunker: Chunker): Promise<FileRoot> {
    let level = leaves
    while (level.length > 1) {
      const parents: Child[] = []
      for (let at = 0; at < level.length; ) {
        const children = level.slice(at, at + chunker.node(level, at))
        parents.push(await this.#node(children))
        at += children.length
      }
      level = parents
    }
    await this.#flush()
    await this.#storing
    const [root] = level as [Child]
    return { cid: root.cid, size: root.size }
  }

  async #node(children: readonly Child[]): Promise<Child> {
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
    if (!this.#batch.has(cid)) this.#batchBytes += bytes.byteLength
    this.#batch.set(cid, bytes)
    const full = this.#batchBytes >= WRITE_BATCH_BLOCKS * BLOCK_BYTES || this.#batch.size >= WRITE_BATCH_SMALL_BLOCKS
    if (full) await this.#flush()
    return cid
  }

  /** Begins to store the batch once the one before is stored. @throws {OsError} what went wrong with that one. */
  async #flush(): Promise<void> {
    const batch = this.#batch
    this.#batch = new Map()
    this.#batchBytes = 0
    await this.#storing
    this.#onTheWay = batch
    this.#storing = this.#blocks.putMany([...batch])
    this.#storing.catch(() => undefined) // thrown by the next flush, or at the end
  }
}
