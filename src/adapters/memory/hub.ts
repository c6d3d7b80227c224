// Everything between the simulated nodes: their links, the relay, partitions. Above: network.ts, one node's place in it.
// Below: link.ts, conditions.ts. Delivery always takes a timer of the clock, so that nothing arrives synchronously and
// hides a reordering.
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import { Conditions, type Slowness } from './conditions.ts'
import { Link, type LinkHost } from './link.ts'
import type { MemoryNetwork } from './network.ts'
import type { SeededRandom } from './random.ts'
import type { WitnessHost } from './witness.ts'

export interface HubOptions {
  clock: Clock
  random: SeededRandom
  /** One-way latency bounds in ms. */
  latencyMs: readonly [number, number]
  /** Cut chunks at random places, as real streams do. */
  split?: boolean
}

export class MemoryHub implements LinkHost {
  readonly #options: HubOptions
  readonly conditions: Conditions
  readonly #nodes = new Map<NodeId, MemoryNetwork>()
  readonly #links = new Map<string, Link>()
  /** The links of each node. */
  readonly #linksOf = new Map<NodeId, Map<NodeId, Link>>()
  /** Links that are over, of which one end has not heard that yet. */
  readonly #fading = new Map<string, Link>()
  readonly #cut = new Set<string>()
  /** Nodes that do not reach the relay. */
  readonly #unrelayed = new Set<NodeId>()
  /** Nodes that the relay keeps waiting. */
  readonly #waiting = new Set<NodeId>()
  relayUp = true
  /** What was sent over links so far: calls of `send`, each of which is one or more frames, and their bytes. */
  readonly traffic = { messages: 0, bytes: 0 }
  /** Who plays the relay as a witness, if anybody does. */
  witness: WitnessHost | undefined

  constructor(options: HubOptions) {
    this.#options = options
    this.conditions = new Conditions(options.random, options.latencyMs)
  }

  get clock(): Clock {
    return this.#options.clock
  }

  latency(): number {
    return this.conditions.latency()
  }

  cutAt(length: number): number {
    const { split, random } = this.#options
    return split && length > 1 && random.float() < 0.2 ? 1 + random.below(length - 1) : length
  }

  sent(bytes: number): void {
    this.traffic.messages++
    this.traffic.bytes += bytes
  }

  // --- the relay -------------------------------------------------------------------------------------------

  join(node: MemoryNetwork): void {
    this.#nodes.set(node.self, node)
    if (this.#waiting.has(node.self)) node.deliver({ type: 'relay', state: 'connecting', detail: 'dialling' })
    else if (this.#relayed(node.self)) this.#greet(node)
    else node.deliver({ type: 'relay', state: 'offline', detail: 'the relay does not answer' })
  }

  #relayed(id: NodeId): boolean {
    return this.relayUp && !this.#unrelayed.has(id) && !this.#waiting.has(id)
  }

  #greet(node: MemoryNetwork): void {
    const others = [...this.#nodes.values()].filter((other) => other !== node && other.registered)
    node.registered = true
    node.deliver({ type: 'relay', state: 'connected', detail: 'simulated relay' })
    for (const other of others) {
      node.deliver({ type: 'found', peer: other.self, via: 'relay' })
      other.deliver({ type: 'found', peer: node.self, via: 'relay' })
    }
    node.deliver({ type: 'listed', peers: others.map(({ self }) => self) })
  }

  /** @param crash true: its peers are told nothing; the relay still sees its connection close. */
  leave(node: MemoryNetwork, crash: boolean): void {
    if (this.#nodes.get(node.self) !== node) return
    this.#nodes.delete(node.self)
    for (const link of [...(this.#linksOf.get(node.self)?.values() ?? [])]) {
      if (!crash) link.close('closed', node.self)
      else {
        this.closed(link)
        link.silence()
      }
    }
    this.#unregister(node)
  }

  /** The relay sees its connection close, and tells the others. */
  #unregister(node: MemoryNetwork): void {
    if (!node.registered) return
    node.registered = false
    if (!this.relayUp) return
    for (const other of this.#nodes.values())
      if (other.registered) other.deliver({ type: 'hint-gone', peer: node.self })
  }

  setRelay(up: boolean): void {
    if (this.relayUp === up) return
    this.relayUp = up
    for (const node of this.#nodes.values()) {
      if (this.#relayed(node.self)) this.#greet(node)
      else if (!up) this.#offline(node)
    }
  }

  /** When this node comes, the relay does not answer it before `setRelayFor`. */
  delayRelayFor(id: NodeId): void {
    this.#waiting.add(id)
  }

  /** One node loses its way to the relay, or finds it again. */
  setRelayFor(id: NodeId, up: boolean): void {
    this.#waiting.delete(id)
    if (up) this.#unrelayed.delete(id)
    else this.#unrelayed.add(id)
    const node = this.#nodes.get(id)
    if (!node || !this.relayUp || node.registered === up) return
    if (up) return this.#greet(node)
    this.#unregister(node)
    this.#offline(node)
  }

  #offline(node: MemoryNetwork): void {
    node.registered = false
    node.deliver({ type: 'relay', state: 'offline', detail: 'the relay does not answer' })
  }

  /** The relay as this node's witness, while both know each other. */
  witnessOf(node: MemoryNetwork): NodeId | undefined {
    return this.relayUp && node.registered ? this.witness?.id : undefined
  }

  tellWitness(from: MemoryNetwork, frame: Uint8Array): void {
    const alive = (id: NodeId) => this.#nodes.get(id)?.registered === true
    this.#later('frame to the witness', () => {
      if (this.witnessOf(from) === undefined) return
      for (const answer of this.witness?.receive(from.self, frame, alive) ?? []) {
        this.#later('frame of the witness', () => this.#nodes.get(answer.to)?.takeFrame(answer.frame))
      }
    })
  }

  #later(label: string, action: () => void): void {
    this.clock.setTimer(action, this.latency(), label)
  }

  // --- links -----------------------------------------------------------------------------------------------

  /** Cuts (or mends) everything between two nodes: bytes already sent arrive, later ones do not; both are told. */
  setPartition(a: NodeId, b: NodeId, cut: boolean): void {
    const key = pairKey(a, b)
    if (cut) this.#cut.add(key)
    else this.#cut.delete(key)
    if (cut) this.#links.get(key)?.close('partitioned')
  }

  /** Nothing that `from` sends arrives at `to` any more, and nobody is told. */
  setSilent(from: NodeId, to: NodeId, silent: boolean): void {
    if (this.conditions.silent(from, to) === silent) return
    this.conditions.setSilent(from, to, silent)
    const link = this.#links.get(pairKey(from, to))
    if (silent) link?.fellSilent(to)
    else link?.heardAgain(to)
  }

  /** @param slowness undefined: what this node sends and is sent is as fast as any again. */
  setSlow(id: NodeId, slowness: Slowness | undefined): void {
    this.conditions.setSlow(id, slowness)
    for (const link of this.#linksOf.get(id)?.values() ?? []) link.speedChanged()
  }

  /** Neither can set up a connection while one of them does not hear the other. */
  deaf(a: NodeId, b: NodeId): boolean {
    return this.conditions.silent(a, b) || this.conditions.silent(b, a)
  }

  /** The link between the two, if there is one, is gone with everything that was under way. */
  breakLink(a: NodeId, b: NodeId): void {
    this.#links.get(pairKey(a, b))?.breaks('broken')
  }

  connect(from: MemoryNetwork, to: NodeId): void {
    const target = this.#nodes.get(to)
    const key = pairKey(from.self, to)
    if (this.#nodes.get(from.self) !== from) throw new OsError('EHOSTUNREACH', 'this node is down')
    if (this.#links.has(key)) return
    if (!target || this.#cut.has(key) || this.deaf(from.self, to)) {
      throw new OsError('EHOSTUNREACH', `node ${to} does not answer`)
    }
    if (!this.#relayed(from.self) || !this.#relayed(to)) {
      throw new OsError('EHOSTUNREACH', 'there is no relay to signal through')
    }
    this.#fading.get(key)?.tellAll()
    this.#fading.delete(key)
    const link = new Link(this, from, target)
    this.#links.set(key, link)
    for (const [a, b] of [
      [from.self, to],
      [to, from.self],
    ] as const) {
      const links = this.#linksOf.get(a) ?? new Map<NodeId, Link>()
      this.#linksOf.set(a, links.set(b, link))
    }
    from.deliver({ type: 'connected', peer: to, direct: true })
    target.deliver({ type: 'connected', peer: from.self, direct: true })
  }

  /** @param a who wants it. */
  disconnect(a: NodeId, b: NodeId): void {
    const key = pairKey(a, b)
    this.#links.get(key)?.close('disconnected', a)
  }

  /** An old link is still carrying what was sent: a new one comes after it. */
  closing(a: NodeId, b: NodeId): boolean {
    return this.#links.get(pairKey(a, b))?.closed ?? false
  }

  closed(link: Link): void {
    const [a, b] = link.ends
    const key = pairKey(a.self, b.self)
    if (this.#links.get(key) !== link) return
    this.#links.delete(key)
    this.#linksOf.get(a.self)?.delete(b.self)
    this.#linksOf.get(b.self)?.delete(a.self)
    if (link.fading) this.#fading.set(key, link)
  }

  linked(a: NodeId, b: NodeId): boolean {
    return this.link(a, b) !== undefined
  }

  link(a: NodeId, b: NodeId): Link | undefined {
    const link = this.#links.get(pairKey(a, b))
    return link?.closed ? undefined : link
  }

  /** Nodes that this one has a link to. */
  neighbours(id: NodeId): MemoryNetwork[] {
    const linked = [...(this.#linksOf.get(id)?.entries() ?? [])].filter(([, { closed }]) => !closed)
    return linked.flatMap(([other]) => this.#nodes.get(other) ?? [])
  }

  node(id: NodeId): MemoryNetwork | undefined {
    return this.#nodes.get(id)
  }
}

function pairKey(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}
