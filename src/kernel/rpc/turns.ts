// Work for others of which each may have so much under way at a time: what one asks for beyond waits, and holds up nobody else.
// Above: blocks, processes.
import { orAborted } from '../../base/abort.ts'
import { toOsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'

interface Peer {
  running: number
  /** In the order in which they came. */
  readonly waiting: Set<() => void>
}

export class Turns {
  readonly #most: number
  readonly #peers = new Map<NodeId, Peer>()

  /** @param most of one peer at a time. */
  constructor(most: number) {
    this.#most = most
  }

  /** Does `work` when it has its turn. @throws {OsError} the signal's reason, when that aborts before. */
  async take<T>(id: NodeId, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const peer = this.#peers.get(id) ?? { running: 0, waiting: new Set() }
    this.#peers.set(id, peer)
    if (peer.running < this.#most) peer.running++
    else await this.#wait(id, peer, signal)
    try {
      return await work()
    } finally {
      this.#next(id, peer)
    }
  }

  async #wait(id: NodeId, peer: Peer, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    peer.waiting.add(resolve)
    try {
      await orAborted(promise, signal, () => toOsError(signal.reason))
    } catch (error) {
      if (!peer.waiting.delete(resolve)) this.#next(id, peer) // it was its turn already
      throw error
    }
  }

  /** The turn of one goes to the next. */
  #next(id: NodeId, peer: Peer): void {
    const [next] = peer.waiting
    if (next) {
      peer.waiting.delete(next)
      return next()
    }
    peer.running--
    if (peer.running === 0) this.#peers.delete(id)
  }
}
