// Room on all nodes, shared among the processes at home here: who has leased what where, and whose turn it is.
// Placement itself is schedule.ts.
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import { BELIEVED_SLOTS } from '../limits.ts'
import { unfit } from '../membership/member.ts'
import { type NodeLoad, type Placement, place } from './schedule.ts'

/** A process that wants room. */
export interface Lessee {
  readonly wantsRoom: boolean
  /** Whether it may have an event run there. */
  allows(node: NodeId): boolean
  lease(placement: Placement): void
}

export class Leases {
  readonly #nodes: () => Omit<NodeLoad, 'leased'>[]
  readonly #clock: Clock
  readonly #lessees = new Set<Lessee>()
  readonly #leased = new Map<NodeId, number>()
  readonly #avoided = new Map<NodeId, Timer>()
  /** Events that each node has completed for processes at home here. */
  readonly #completed = new Map<NodeId, number>()
  #pumping = false

  constructor(options: { nodes: () => Omit<NodeLoad, 'leased'>[]; clock: Clock }) {
    this.#nodes = options.nodes
    this.#clock = options.clock
  }

  add(lessee: Lessee): void {
    this.#lessees.add(lessee)
  }

  remove(lessee: Lessee): void {
    this.#lessees.delete(lessee)
  }

  took(node: NodeId): void {
    this.#leased.set(node, (this.#leased.get(node) ?? 0) + 1)
  }

  gaveBack(node: NodeId): void {
    const count = (this.#leased.get(node) ?? 1) - 1
    if (count > 0) this.#leased.set(node, count)
    else this.#leased.delete(node)
    this.pump()
  }

  /** That node has completed an event. */
  completed(node: NodeId): void {
    this.#completed.set(node, this.#completedBy(node) + 1)
  }

  /** Whether that node has ever completed an event that it was given here. */
  hasCompleted(node: NodeId): boolean {
    return this.#completedBy(node) > 0
  }

  /** It left. */
  forget(node: NodeId): void {
    this.#completed.delete(node)
  }

  #completedBy(node: NodeId): number {
    return this.#completed.get(node) ?? 0
  }

  /** That node has trouble of its own: nothing new goes there for a while. */
  avoid(node: NodeId, forMs: number): void {
    this.#avoided.get(node)?.cancel()
    const again = () => {
      this.#avoided.delete(node)
      this.pump()
    }
    this.#avoided.set(node, this.#clock.setTimer(again, forMs, 'avoid node'))
  }

  /** Hands out all room there is, in turn. Safe to call at any time. */
  pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#handOut()
    })
  }

  close(): void {
    for (const timer of this.#avoided.values()) timer.cancel()
    this.#lessees.clear()
  }

  /** Nodes that are frozen or silent. */
  still(): ReadonlySet<NodeId> {
    return new Set(this.#nodes().flatMap(({ id, state }) => (unfit(state) ? [id] : [])))
  }

  /** A node other than `not`, if that is given, which has a slot without work. */
  spare(lessee: Lessee, not: NodeId | undefined): Placement | undefined {
    const idle = ({ id, slots, leased, running }: NodeLoad) => id !== not && Math.max(leased, running) < slots
    return place(this.#loads().filter((load) => idle(load) && lessee.allows(load.id)))
  }

  #loads(): NodeLoad[] {
    return this.#nodes()
      .filter(({ id }) => !this.#avoided.has(id))
      .map((node) => ({
        ...node,
        slots: Math.min(node.slots, BELIEVED_SLOTS + this.#completedBy(node.id)),
        leased: this.#leased.get(node.id) ?? 0,
      }))
  }

  #handOut(): void {
    const loads = this.#loads()
    for (let given = true; given; ) {
      given = false
      for (const lessee of [...this.#lessees]) {
        if (!lessee.wantsRoom) continue
        const placement = place(loads.filter(({ id }) => lessee.allows(id)))
        if (!placement) continue
        const load = loads.find(({ id }) => id === placement.node)
        if (load) load.leased++
        lessee.lease(placement)
        given = true
      }
    }
  }
}
