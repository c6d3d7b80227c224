// A network of simulated nodes: latency, splitting of chunks, partitions, crashes, a relay that can die.
// Implements ports/network.ts and ports/dht.ts. Delivery always takes a timer of the clock, so that nothing
// arrives synchronously and hides a reordering.
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Dht, DhtRules } from '../../ports/dht.ts'
import type { ByteStream, Network, NetworkEvent, StreamKind } from '../../ports/network.ts'
import type { Gate } from './clock.ts'
import type { SeededRandom } from './random.ts'
import { MemoryWitness, type WitnessHost } from './witness.ts'

export interface HubOptions {
  clock: Clock
  random: SeededRandom
  /** One-way latency bounds in ms. */
  latencyMs: readonly [number, number]
  /** Cut chunks at random places, as real streams do. */
  split?: boolean
}

/** Everything between the nodes. */
export class MemoryHub {
  readonly #options: HubOptions
  readonly #nodes = new Map<NodeId, MemoryNetwork>()
  readonly #links = new Map<string, Link>()
  readonly #cut = new Set<string>()
  relayUp = true
  /** Who plays the relay as a witness, if anybody does. */
  witness: WitnessHost | undefined

  constructor(options: HubOptions) {
    this.#options = options
  }

  get clock(): Clock {
    return this.#options.clock
  }

  latency(): number {
    const [least, most] = this.#options.latencyMs
    return least + this.#options.random.float() * (most - least)
  }

  /** Where to cut a chunk; its length for not at all. */
  cutAt(length: number): number {
    const { split, random } = this.#options
    return split && length > 1 && random.float() < 0.2 ? 1 + random.below(length - 1) : length
  }

  join(node: MemoryNetwork): void {
    this.#nodes.set(node.self, node)
    if (!this.relayUp) return node.deliver({ type: 'relay', state: 'offline', detail: 'the relay does not answer' })
    this.#greet(node)
  }

  #greet(node: MemoryNetwork): void {
    const others = [...this.#nodes.values()].filter((other) => other !== node && other.registered)
    node.registered = true
    node.deliver({ type: 'relay', state: 'connected', detail: 'simulated relay' })
    for (const other of others) {
      node.deliver({ type: 'found', peer: other.self, via: 'relay' })
      other.deliver({ type: 'found', peer: node.self, via: 'relay' })
    }
    node.deliver({ type: 'listed', peers: others.length })
  }

  /** @param crash true: its peers are told nothing; the relay still sees its connection close. */
  leave(node: MemoryNetwork, crash: boolean): void {
    if (this.#nodes.get(node.self) !== node) return
    this.#nodes.delete(node.self)
    for (const [key, link] of this.#links) {
      if (!link.has(node.self)) continue
      if (!crash) link.close('closed')
      else {
        this.#links.delete(key)
        link.silence()
      }
    }
    if (!this.relayUp || !node.registered) return
    node.registered = false
    for (const other of this.#nodes.values())
      if (other.registered) other.deliver({ type: 'hint-gone', peer: node.self })
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

  setRelay(up: boolean): void {
    if (this.relayUp === up) return
    this.relayUp = up
    for (const node of this.#nodes.values()) {
      if (up) this.#greet(node)
      else {
        node.registered = false
        node.deliver({ type: 'relay', state: 'offline', detail: 'the relay does not answer' })
      }
    }
  }

  /** Cuts (or mends) everything between two nodes: bytes already sent arrive, later ones do not. */
  setPartition(a: NodeId, b: NodeId, cut: boolean): void {
    const key = pairKey(a, b)
    if (cut) this.#cut.add(key)
    else this.#cut.delete(key)
    if (cut) this.#links.get(key)?.close('partitioned')
  }

  connect(from: MemoryNetwork, to: NodeId): void {
    const target = this.#nodes.get(to)
    const key = pairKey(from.self, to)
    if (this.#nodes.get(from.self) !== from) throw new OsError('EHOSTUNREACH', 'this node is down')
    if (this.#links.has(key)) return
    if (!target || this.#cut.has(key)) throw new OsError('EHOSTUNREACH', `node ${to} does not answer`)
    if (!this.relayUp) throw new OsError('EHOSTUNREACH', 'there is no relay to signal through')
    this.#links.set(key, new Link(this, from, target))
    from.deliver({ type: 'connected', peer: to, direct: true })
    target.deliver({ type: 'connected', peer: from.self, direct: true })
  }

  disconnect(a: NodeId, b: NodeId): void {
    const key = pairKey(a, b)
    this.#links.get(key)?.close('disconnected')
  }

  /** An old link is still carrying what was sent: a new one comes after it. */
  closing(a: NodeId, b: NodeId): boolean {
    return this.#links.get(pairKey(a, b))?.closed ?? false
  }

  /** There is room for a new link. */
  closed(link: Link): void {
    for (const [key, each] of this.#links) if (each === link) this.#links.delete(key)
  }

  link(a: NodeId, b: NodeId): Link | undefined {
    const link = this.#links.get(pairKey(a, b))
    return link?.closed ? undefined : link
  }

  node(id: NodeId): MemoryNetwork | undefined {
    return this.#nodes.get(id)
  }

  nodes(): MemoryNetwork[] {
    return [...this.#nodes.values()]
  }
}

function pairKey(a: NodeId, b: NodeId): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`
}

/** When Chromium's ICE gives a peer up that says nothing any more. */
const ICE_LOST_MS = 5_050

class Link {
  readonly #hub: MemoryHub
  readonly #ends: readonly [MemoryNetwork, MemoryNetwork]
  readonly #streams: (readonly [End, End])[] = []
  /** The other end is gone and nobody was told. */
  silent = false
  /** Nothing more is sent. */
  closed = false

  constructor(hub: MemoryHub, a: MemoryNetwork, b: MemoryNetwork) {
    this.#hub = hub
    this.#ends = [a, b]
  }

  has(id: NodeId): boolean {
    return this.#ends.some((end) => end.self === id)
  }

  open(from: NodeId, kind: StreamKind): ByteStream {
    const [a, b] = this.#ends
    const to = a.self === from ? b : a
    const near = new End(this.#hub, this, a.self === from ? a : b)
    const far = new End(this.#hub, this, to)
    near.peer = far
    far.peer = near
    this.#streams.push([near, far])
    this.#hub.clock.setTimer(
      () => !this.silent && to.pass(() => to.receive(from, kind, far)),
      this.#hub.latency(),
      'open stream',
    )
    return near
  }

  silence(): void {
    this.silent = true
    // The survivor's network stack stops hearing the other after a while, as ICE consent does.
    for (const end of this.#ends) {
      const [a, b] = this.#ends
      const other = end === a ? b : a
      const lost = () => {
        // A tab that came back has a link of its own, which is heard.
        if (this.#hub.link(end.self, other.self)) return
        end.deliver({ type: 'reachable', peer: other.self, reachable: false })
      }
      this.#hub.clock.setTimer(lost, ICE_LOST_MS, 'ice')
    }
  }

  /** What was sent arrives, then both ends hear that the link closed. */
  close(reason: string): void {
    if (this.silent || this.closed) return
    this.closed = true
    const nowMs = this.#hub.clock.nowMs()
    let lastMs = nowMs + this.#hub.latency()
    for (const end of this.#streams.flat()) lastMs = Math.max(lastMs, end.lastArrivalMs)
    const over = () => {
      if (this.silent) return // crashed meanwhile
      this.silent = true
      this.#hub.closed(this)
      for (const end of this.#streams.flat()) end.linkClosed()
      const [a, b] = this.#ends
      a.deliver({ type: 'disconnected', peer: b.self, reason })
      b.deliver({ type: 'disconnected', peer: a.self, reason })
    }
    this.#hub.clock.setTimer(over, lastMs - nowMs + ORDER_MS, 'link closes')
  }
}

/** Keeps arrivals of one stream apart, so that rounding cannot reorder them. */
const ORDER_MS = 0.001

class End implements ByteStream {
  peer!: End
  readonly #hub: MemoryHub
  readonly #link: Link
  readonly #owner: MemoryNetwork
  #onData: ((chunk: Uint8Array) => void) | undefined
  #onClose: ((error: Error | undefined) => void) | undefined
  #early: Uint8Array[] = []
  lastArrivalMs = 0
  #closed = false
  #over = false
  bufferedBytes = 0

  constructor(hub: MemoryHub, link: Link, owner: MemoryNetwork) {
    this.#hub = hub
    this.#link = link
    this.#owner = owner
  }

  send(bytes: Uint8Array): void {
    if (this.#closed) throw new OsError('EPIPE', 'the stream is closed')
    if (this.#link.closed) return
    for (let at = 0; at < bytes.byteLength; ) {
      const length = this.#hub.cutAt(bytes.byteLength - at)
      const chunk = bytes.slice(at, at + length)
      at += length
      this.#later(() => this.peer.#take(chunk))
    }
  }

  /** In order: nothing overtakes what was sent before on the same stream. */
  #later(action: () => void, here: () => void = () => undefined): void {
    const nowMs = this.#hub.clock.nowMs()
    this.lastArrivalMs = Math.max(this.lastArrivalMs + ORDER_MS, nowMs + this.#hub.latency())
    const arrive = () => {
      if (!this.#link.silent) this.peer.#owner.pass(action)
      here()
    }
    this.#hub.clock.setTimer(arrive, this.lastArrivalMs - nowMs, 'delivery')
  }

  drained(): Promise<void> {
    return Promise.resolve()
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    this.#onData = listener
    for (const chunk of this.#early.splice(0)) listener(chunk)
  }

  onClose(listener: (error: Error | undefined) => void): void {
    this.#onClose = listener
  }

  close(): void {
    if (this.#closed) return
    this.#later(
      () => this.peer.ended(undefined),
      () => this.ended(undefined),
    )
    this.#closed = true
  }

  abort(reason: string): void {
    if (this.#closed) return
    const error = new OsError('ECONNRESET', `the stream was aborted: ${reason}`)
    this.#later(
      () => this.peer.ended(error),
      () => this.ended(error),
    )
    this.#closed = true
  }

  linkClosed(): void {
    this.ended(new OsError('ECONNRESET', 'the link closed'))
  }

  /** The owner hears of the end once, whichever comes first: its own close, the other's, or the link's. */
  ended(error: Error | undefined): void {
    this.#closed = true
    if (this.#over) return
    this.#over = true
    this.#owner.pass(() => this.#onClose?.(error))
  }

  #take(chunk: Uint8Array): void {
    if (this.#closed) return
    if (this.#onData) this.#onData(chunk)
    else this.#early.push(chunk)
  }
}

/** One node's place in the hub. */
export class MemoryNetwork implements Network, Dht {
  readonly self: NodeId
  readonly witness: MemoryWitness
  readonly #hub: MemoryHub
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  readonly #values = new Map<string, Uint8Array>()
  #onStream: ((peer: NodeId, kind: StreamKind, stream: ByteStream) => void) | undefined
  #rules: DhtRules | undefined
  #down = false
  #lastEventMs = 0
  /** The relay knows this node. */
  registered = false

  readonly #gate: Gate | undefined

  constructor(hub: MemoryHub, self: NodeId, gate?: Gate) {
    this.#hub = hub
    this.self = self
    this.#gate = gate
    this.witness = new MemoryWitness({
      id: () => (this.#down ? undefined : hub.witnessOf(this)),
      send: (frame) => hub.tellWitness(this, frame),
    })
  }

  /** Whatever reaches this node waits while its tab stands still. */
  pass(action: () => void): void {
    if (this.#gate) this.#gate.pass(action)
    else action()
  }

  on(listener: (event: NetworkEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  onStream(listener: (peer: NodeId, kind: StreamKind, stream: ByteStream) => void): void {
    this.#onStream = listener
  }

  async start(): Promise<void> {
    this.#hub.join(this)
  }

  async connect(peer: NodeId, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    do await this.#latency()
    while (this.#hub.closing(this.self, peer))
    if (signal?.aborted) throw new OsError('ECANCELED', 'the dial was cancelled')
    this.#hub.connect(this, peer)
  }

  disconnect(peer: NodeId): void {
    if (!this.#down) this.#hub.disconnect(this.self, peer)
  }

  async open(peer: NodeId, kind: StreamKind): Promise<ByteStream> {
    const link = this.#hub.link(this.self, peer)
    if (!link || this.#down) throw new OsError('EHOSTUNREACH', `not connected to ${peer}`)
    return link.open(this.self, kind)
  }

  wake(): void {}

  async close(): Promise<void> {
    this.#down = true
    this.#hub.leave(this, false)
  }

  /** The tab is killed: nobody is told, and nothing of it runs any more. */
  crash(): void {
    this.#down = true
    this.#listeners.clear()
    this.#hub.leave(this, true)
  }

  /** Called by the hub; events arrive later, in order, never within the call that caused them. */
  deliver(event: NetworkEvent): void {
    const nowMs = this.#hub.clock.nowMs()
    this.#lastEventMs = Math.max(this.#lastEventMs + ORDER_MS, nowMs + this.#hub.latency())
    this.#hub.clock.setTimer(
      () => {
        this.pass(() => {
          if (this.#down) return
          for (const listener of [...this.#listeners]) listener(event)
          if (event.type === 'relay') this.witness.changed()
        })
      },
      this.#lastEventMs - nowMs,
      `network ${event.type}`,
    )
  }

  takeFrame(frame: Uint8Array): void {
    this.pass(() => {
      if (!this.#down) this.witness.take(frame)
    })
  }

  receive(peer: NodeId, kind: StreamKind, stream: ByteStream): void {
    if (!this.#down) this.#onStream?.(peer, kind, stream)
  }

  setRules(rules: DhtRules): void {
    this.#rules = rules
  }

  /** Stored at every node that this one can reach; a real DHT picks the nearest. */
  async put(key: string, value: Uint8Array): Promise<number> {
    await this.store(key, value)
    const holders = this.#reachable()
    await this.#latency()
    for (const node of holders) await node.store(key, value)
    return holders.length
  }

  async *get(key: string): AsyncIterable<Uint8Array> {
    const seen: Uint8Array[] = []
    for (const node of [this, ...this.#reachable()]) {
      if (node !== this) await this.#latency()
      const value = node.#values.get(key)
      if (!value || seen.some((other) => other === value)) continue
      seen.push(value)
      try {
        await this.#rules?.validate(key, value)
      } catch {
        continue // as the port says: only valid values come out
      }
      yield value
    }
  }

  async store(key: string, value: Uint8Array): Promise<void> {
    await this.#rules?.validate(key, value)
    const before = this.#values.get(key)
    if (!before || this.#rules?.select(key, [before, value]) === 1) this.#values.set(key, value)
  }

  #reachable(): MemoryNetwork[] {
    return this.#hub.nodes().filter((node) => node !== this && this.#hub.link(this.self, node.self))
  }

  #latency(): Promise<void> {
    return new Promise((resolve) => {
      this.#hub.clock.setTimer(resolve, this.#hub.latency(), 'round trip')
    })
  }
}
