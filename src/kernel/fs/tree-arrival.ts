// How long a node that has come may not take its own tree, which nobody has written, for `/`: until everybody who was here
// has said what they know. Above: tree-in-use.ts. Below: membership.
import type { NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import * as limits from '../limits.ts'
import type { Arrival } from '../membership/arrival.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeNews } from './tree-news.ts'

export interface TreeArrivalOptions {
  arrival: Arrival
  membership: Pick<Membership, 'linked'>
  clock: Clock
  news: TreeNews
}

export class TreeArrival {
  readonly #options: TreeArrivalOptions
  /** Linked peers that have said which trees they know of, or that they know of none. */
  readonly #said = new Set<NodeId>()
  #settled = false
  #untilMs = 0

  constructor(options: TreeArrivalOptions) {
    this.#options = options
  }

  /** There is nobody to wait for any more. */
  get settled(): boolean {
    return this.#settled
  }

  start(): void {
    this.#untilMs = this.#options.clock.nowMs() + limits.TREE_EXPECT_MS
    this.#look()
  }

  /** A peer's word of trees, which each gives as soon as it is linked. */
  said(peer: NodeId): void {
    if (this.#settled) return
    this.#said.add(peer)
    if (this.#heardAll()) this.settle()
  }

  left(peer: NodeId): void {
    this.#said.delete(peer)
  }

  /** A tree is known, or nobody else is here. */
  settle(): void {
    if (this.#settled) return
    this.#settled = true
    this.#said.clear()
    this.#options.news.wake()
  }

  #heardAll(): boolean {
    const { arrival, membership } = this.#options
    return !arrival.unmet && membership.linked().every((peer) => this.#said.has(peer))
  }

  #look(): void {
    const { clock, news } = this.#options
    if (this.#settled || news.closed) return
    if (this.#heardAll() || clock.nowMs() >= this.#untilMs) this.settle()
    else news.timer(() => this.#look(), limits.TREE_RETRY_MS, 'tree arrival')
  }
}
