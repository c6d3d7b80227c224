// What others say of trees that are not their own. Asks nodes of which somebody says that they lead one: in a large
// cluster not everybody is the leader's neighbour. Remembers who knows of a written one: a newcomer must not take the
// cluster's tree for empty because it does not reach who leads it.
// Above: tree-in-use.ts. Below: rpc, membership.
import { errorLine } from '../../base/errors.ts'
import { type Kid, type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import { ofKeg } from './tree-head.ts'

export interface TreeHearsayOptions {
  /** The keg whose trees these are; undefined for `/`. */
  keg?: Kid | undefined
  rpc: RpcNode
  membership: Membership
  clock: Clock
  log: LogSink
  /** Tells of nodes that may lead a keg that nobody here knows of. */
  homesOf(keg: Kid): Promise<readonly NodeId[]>
  /** Told what such a node says itself. */
  answered(home: NodeId, head: TreeHead | null): void
}

export class TreeHearsay {
  readonly #options: TreeHearsayOptions
  /** When each was asked. */
  readonly #asked = new Map<NodeId, number>()
  #asking = false
  /** Heard of while another was asked. Who leads is told once: nobody may say it again. */
  readonly #next = new Set<NodeId>()
  #written = false
  /** Linked peers that know of a tree that was written. */
  readonly #knowing = new Set<NodeId>()
  /** When everybody was asked for the keg. */
  #soughtMs = Number.NEGATIVE_INFINITY

  constructor(options: TreeHearsayOptions) {
    this.#options = options
  }

  /** Somebody who is here, or was, knows of a tree that was written. */
  get written(): boolean {
    return this.#written
  }

  /** Somebody who is here knows of one. */
  get knownHere(): boolean {
    return this.#knowing.size > 0
  }

  isKnownTo(peer: NodeId): boolean {
    return this.#knowing.has(peer)
  }

  knows(peer: NodeId): void {
    this.#written = true
    if (this.#options.membership.has(peer)) this.#knowing.add(peer)
  }

  left(peer: NodeId): void {
    this.#knowing.delete(peer)
  }

  /** A node that has found nobody so far asks those again of which it heard. */
  askAgain(): void {
    for (const home of [...this.#asked.keys()]) this.ask(home)
  }

  /** Whoever is here may know who leads a keg, and so may the directory. @param name what people call it. */
  seek(name: string): void {
    const { membership, homesOf, log, rpc, clock, keg } = this.#options
    if (!keg || clock.nowMs() - this.#soughtMs < limits.TREE_ASK_AGAIN_MS) return
    this.#soughtMs = clock.nowMs()
    for (const peer of membership.answering()) this.ask(peer)
    homesOf(keg)
      .then((homes) => {
        for (const home of homes) if (home !== rpc.self) this.ask(home)
      })
      .catch((error: unknown) => log.log('debug', 'fs', `nobody knows who leads ${name}: ${errorLine(error)}`))
  }

  /** What it led when its link broke, it may have given up meanwhile, and its word of that was lost with the link. */
  confirm(peer: NodeId): void {
    const { rpc, log, keg, answered } = this.#options
    rpc
      .call(peer, 'tree.head', ofKeg({ tree: null }, keg))
      .then((head) => answered(peer, head))
      .catch((error: unknown) =>
        log.log('debug', 'fs', `${shortNode(peer)} does not say what it leads: ${errorLine(error)}`),
      )
  }

  /** One node at a time, and none again at once: hearsay may be of nodes that are gone, or that never were. */
  ask(home: NodeId): void {
    const { membership, rpc, clock, log, answered, keg } = this.#options
    const nowMs = clock.nowMs()
    if (this.#asking && this.#next.size < limits.MAX_TREE_CLAIMS) this.#next.add(home)
    if (this.#asking || nowMs - (this.#asked.get(home) ?? -Infinity) < limits.TREE_ASK_AGAIN_MS) return
    if (this.#asked.size >= limits.MAX_TREE_CLAIMS * 8) this.#asked.clear()
    this.#asked.set(home, nowMs)
    this.#asking = true
    membership
      .reach(home)
      .then(() => rpc.call(home, 'tree.head', ofKeg({ tree: null }, keg)))
      .then((head) => answered(home, head))
      .catch((error: unknown) => log.log('debug', 'fs', `${shortNode(home)} leads no tree: ${errorLine(error)}`))
      .finally(() => {
        this.#asking = false
        const waiting = [...this.#next]
        this.#next.clear()
        for (const each of waiting) this.ask(each)
      })
  }
}
