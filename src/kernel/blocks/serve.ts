// Blocks for other nodes: from memory or the store, sent in pieces, at the pace of whoever asked. Above: blocks.ts. Below: cache.ts,
// packing.ts, rpc.
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import type { ServeContext } from '../rpc/session.ts'
import { Turns } from '../rpc/turns.ts'
import type { BlockCache } from './cache.ts'
import type { CidText } from './cid.ts'
import { type Demand, isLarge } from './demand.ts'
import { createPack } from './packing.ts'

export interface BlockServerOptions {
  cache: BlockCache
  demand: Demand
  log: LogSink
  /** Whether what the store gave is that block. */
  isGood: (cid: CidText, bytes: Uint8Array) => Promise<boolean>
  /** The disk has corrupted it. */
  onCorrupt: (cid: CidText) => void
}

/** What a caller says of its wishes: it reads them, and does not keep them in any case; it takes none that are packed. */
interface Asked {
  read?: boolean | undefined
  plain?: boolean | undefined
}

/** @param wanted others have read it before, lately. */
type Found = { bytes: Uint8Array; wanted: boolean } | undefined

export class BlockServer {
  readonly #options: BlockServerOptions
  readonly #turns = new Turns(limits.MAX_PEER_GETS)
  readonly #pack = createPack()

  constructor(options: BlockServerOptions) {
    this.#options = options
  }

  /**
   * Sends those that are here, as `blocks.get` says. The next block, or small ones together, are read from the store while those
   * before are being sent.
   * @throws {OsError} EIO; ECANCELED, ECONNRESET when the caller has gone.
   */
  serve(cids: readonly CidText[], context: ServeContext, asked: Asked): Promise<void> {
    return this.#turns.take(context.peer, context.signal, () => this.#serve(cids, context, asked))
  }

  async #serve(
    cids: readonly CidText[],
    context: ServeContext,
    { read: reading = false, plain = false }: Asked,
  ): Promise<void> {
    const read = (from: number, count: number) => this.#read(cids.slice(from, from + count), reading)
    let count = 1
    let next = read(0, count)
    for (let from = 0; from < cids.length; ) {
      const some = await next
      const first = from
      from += some.length
      const bytes = some.reduce((sum, block) => sum + (block?.bytes.byteLength ?? 0), 0)
      // So many as make one large block, if they are like the last.
      const fit = Math.floor((limits.MAX_BLOCK_BYTES * some.length) / Math.max(1, bytes))
      count = Math.min(limits.HOLD_BATCH_BLOCKS, Math.max(1, fit))
      next = read(from, count)
      next.catch(() => undefined) // thrown when its turn comes, unless the caller has gone
      // Whoever reads what others have read keeps a copy: it is told before it comes.
      for (const [i, block] of some.entries()) if (block?.wanted) await context.item(first + i)
      await this.#sendAll(context, first, some, plain)
    }
  }

  /**
   * Bytes are not to be changed. What several read of the store is kept in memory. Whoever is sent wrong bytes takes nothing more
   * from here, of whatever else only this node has: a checksum is cheap.
   */
  async #read(cids: readonly CidText[], reading: boolean): Promise<Found[]> {
    const { cache, demand, log, isGood, onCorrupt } = this.#options
    const fill = cache.filling()
    const found = await cache.read(cids)
    return Promise.all(
      found.map(async (block, i) => {
        if (!block) return undefined
        const [cid, { bytes, lent }] = [cids[i] as CidText, block]
        const wanted = reading && isLarge(bytes) && demand.read(cid)
        if (lent) return { bytes, wanted }
        if (!(await isGood(cid, bytes))) {
          log.log('error', 'blocks', `the stored block ${cid} is corrupt; it is not sent`)
          onCorrupt(cid)
          return undefined
        }
        if (wanted) fill(cid, bytes)
        return { bytes, wanted }
      }),
    )
  }

  /** Small ones together: a message costs both sides as much as some kilobytes in it. */
  async #sendAll(context: ServeContext, first: number, blocks: readonly Found[], plain: boolean): Promise<void> {
    let small: (number | Uint8Array)[] = []
    let bytes = 0
    const flush = async () => {
      if (small.length > 0) await context.item(small)
      small = []
      bytes = 0
    }
    for (const [i, block] of blocks.entries()) {
      if (!block) continue
      const { bytes: content } = block
      const total = content.byteLength
      if (bytes + total + limits.BLOCK_PIECE_BYTES > limits.BLOCK_ITEM_BYTES) await flush()
      if (total > limits.SMALL_BLOCK_BYTES) {
        await flush()
        await this.#send(context, first + i, content, plain)
        continue
      }
      small.push(first + i, 0, total, content)
      bytes += total + limits.BLOCK_PIECE_BYTES
    }
    await flush()
  }

  /** Packed as long as that makes it smaller: what does not begin so is not tried further. */
  async #send(context: ServeContext, index: number, block: Uint8Array, plain: boolean): Promise<void> {
    const total = block.byteLength
    let packs = !plain
    for (let at = 0; at < total; at += limits.BLOCK_ITEM_BYTES) {
      const piece = block.subarray(at, at + limits.BLOCK_ITEM_BYTES)
      const packed: Uint8Array | undefined = packs ? this.#pack(piece) : undefined
      packs = packed !== undefined
      await context.item(packed ? [index, at, total, piece.byteLength, packed] : [index, at, total, piece])
    }
  }
}
