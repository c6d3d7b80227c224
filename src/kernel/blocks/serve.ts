// Blocks for other nodes: from memory or the store, sent in pieces, at the pace of whoever asked. Above: blocks.ts. Below: the
// block store port, rpc.
import type { BlockStore } from '../../ports/blockstore.ts'
import * as limits from '../limits.ts'
import type { ServeContext } from '../rpc/session.ts'
import type { BlockCache } from './cache.ts'
import type { CidText } from './cid.ts'
import { type Demand, isLarge } from './demand.ts'

export class BlockServer {
  readonly #store: BlockStore
  readonly #cache: BlockCache
  readonly #demand: Demand

  constructor({ store, cache, demand }: { store: BlockStore; cache: BlockCache; demand: Demand }) {
    this.#store = store
    this.#cache = cache
    this.#demand = demand
  }

  /**
   * Sends those that are here, as `blocks.get` says. The next block, or small ones together, are read from the store while those
   * before are being sent.
   * @throws {OsError} EIO; ECANCELED, ECONNRESET when the caller has gone.
   */
  async serve(cids: readonly CidText[], context: ServeContext, { reading }: { reading: boolean }): Promise<void> {
    const read = (from: number, count: number) => this.#read(cids.slice(from, from + count))
    let count = 1
    let next = read(0, count)
    for (let from = 0; from < cids.length; ) {
      const some = await next
      const first = from
      from += some.length
      const bytes = some.reduce((sum, block) => sum + (block?.byteLength ?? 0), 0)
      // So many as make one large block, if they are like the last.
      const fit = Math.floor((limits.MAX_BLOCK_BYTES * some.length) / Math.max(1, bytes))
      count = Math.min(limits.HOLD_BATCH_BLOCKS, Math.max(1, fit))
      next = read(from, count)
      next.catch(() => undefined) // thrown when its turn comes, unless the caller has gone
      // Whoever reads what others have read keeps a copy: it is told before it comes. And here the next will find it in memory.
      for (const [i, block] of some.entries()) {
        const cid = cids[first + i] as CidText
        if (!reading || !block || !isLarge(block) || !this.#demand.read(cid)) continue
        this.#cache.add(cid, block)
        await context.item(first + i)
      }
      await this.#sendAll(context, first, some)
    }
  }

  /** From memory, or else from the store: not to be changed. */
  async #read(cids: readonly CidText[]): Promise<(Uint8Array | undefined)[]> {
    const cached = cids.map((cid) => this.#cache.get(cid))
    const others = cids.filter((_cid, i) => !cached[i])
    const stored = others.length > 0 ? await this.#store.getMany(others) : []
    return cached.map((bytes) => bytes ?? stored.shift())
  }

  /** Small ones together: a message costs both sides as much as some kilobytes in it. */
  async #sendAll(context: ServeContext, first: number, blocks: readonly (Uint8Array | undefined)[]): Promise<void> {
    let small: (number | Uint8Array)[] = []
    let bytes = 0
    const flush = async () => {
      if (small.length > 0) await context.item(small)
      small = []
      bytes = 0
    }
    for (const [i, block] of blocks.entries()) {
      if (!block) continue
      const total = block.byteLength
      if (bytes + total + limits.BLOCK_PIECE_BYTES > limits.BLOCK_ITEM_BYTES) await flush()
      if (total > limits.SMALL_BLOCK_BYTES) {
        await flush()
        await this.#send(context, first + i, block)
        continue
      }
      small.push(first + i, 0, total, block)
      bytes += total + limits.BLOCK_PIECE_BYTES
    }
    await flush()
  }

  async #send(context: ServeContext, index: number, block: Uint8Array): Promise<void> {
    const total = block.byteLength
    for (let at = 0; at < total || at === 0; at += limits.BLOCK_ITEM_BYTES) {
      await context.item([index, at, total, block.subarray(at, at + limits.BLOCK_ITEM_BYTES)])
    }
  }
}
