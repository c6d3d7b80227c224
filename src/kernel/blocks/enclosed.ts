// Small blocks go ahead of what names them: who sends a change sends its small files before it, so that whoever has to have
// them before it answers need not ask. Nobody is believed: what came is hashed when it is needed, and forgotten when it is not.
// Above: blocks.ts. Below: rpc.
import type { NodeId } from '../../base/ids.ts'
import { Latest } from '../../base/latest.ts'
import * as limits from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { BlockCache } from './cache.ts'
import { type CidText, isRawCid, isStoredCid } from './cid.ts'

/** What one message takes for a block beside its bytes. */
const ROW_BYTES = 128

/** A block that a peer sent. */
interface Sent {
  peer: NodeId
  bytes: Uint8Array
}

export class Enclosed {
  readonly #rpc: RpcNode
  readonly #cache: BlockCache
  /** What peers sent, by peer and CID. */
  readonly #came = new Latest<Uint8Array>(limits.ENCLOSED_KEPT_BYTES, costOf)

  constructor(rpc: RpcNode, cache: BlockCache) {
    this.#rpc = rpc
    this.#cache = cache
    rpc.onNote('blocks.enclosed', (peer, { blocks }) => {
      for (const [cid, bytes] of blocks) if (isStoredCid(cid)) this.#came.set(keyOf(peer, cid), bytes.slice())
    })
  }

  /** Sends leaves that are in memory and small; the peer has to ask for the others, and for all where its link is slow. */
  send(peer: NodeId, cids: readonly CidText[]): void {
    if (this.#rpc.queuedBytes(peer) > limits.ENCLOSED_QUEUE_BYTES) return
    let blocks: [CidText, Uint8Array][] = []
    let bytes = 0
    let sent = 0
    const flush = () => {
      if (blocks.length > 0) this.#rpc.note(peer, 'blocks.enclosed', { blocks })
      blocks = []
      sent += bytes
      bytes = 0
    }
    for (const cid of new Set(cids)) {
      const block = isRawCid(cid) ? this.#cache.peek(cid) : undefined
      if (!block || block.byteLength > limits.SMALL_BLOCK_BYTES) continue
      const size = costOf(block)
      if (sent + bytes + size > limits.ENCLOSED_BYTES) break
      if (bytes + size > limits.BLOCK_ITEM_BYTES || blocks.length === limits.MAX_CIDS_PER_CALL) flush()
      blocks.push([cid, block])
      bytes += size
    }
    flush()
  }

  /** What one of these peers sent for it, once. */
  take(peers: readonly NodeId[], cid: CidText): Sent | undefined {
    for (const peer of peers) {
      const bytes = this.#came.take(keyOf(peer, cid))
      if (bytes) return { peer, bytes }
    }
    return undefined
  }
}

function keyOf(peer: NodeId, cid: CidText): string {
  return `${peer} ${cid}`
}

function costOf(bytes: Uint8Array): number {
  return bytes.byteLength + ROW_BYTES
}
