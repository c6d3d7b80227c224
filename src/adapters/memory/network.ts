// One node's place in a network of simulated nodes. Implements ports/network.ts and ports/dht.ts. Below: hub.ts.
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Dht, DhtRules } from '../../ports/dht.ts'
import type { ByteStream, Network, NetworkEvent, StreamKind } from '../../ports/network.ts'
import type { Gate } from './clock.ts'
import type { MemoryHub } from './hub.ts'
import { type LinkEnd, ORDER_MS } from './link.ts'
import { MemoryWitness } from './witness.ts'

/** How long a dial goes on that nobody answers, because nothing arrives on one of its ways. */
const DIAL_LOST_MS = 10_000

/** One node's place in the hub. */
export class MemoryNetwork implements Network, Dht, LinkEnd {
  readonly self: NodeId
  readonly witness: MemoryWitness
  readonly #hub: MemoryHub
  readonly #listeners = new Set<(event: NetworkEvent) => void>()
  readonly #values = new Map<string, Uint8Array>()
  #onStream: ((peer: NodeId, kind: StreamKind, stream: ByteStream) => void) | undefined
  #rules: DhtRules | undefined
  #down = false
  #lastEventMs = 0
  /** Packets of the network stack of each that is connected, as they were counted last. */
  readonly #heard = new Map<NodeId, number>()
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
    if (this.#hub.deaf(this.self, peer)) await this.#lost(signal)
    if (signal?.aborted) throw new OsError('ECANCELED', 'the dial was cancelled')
    this.#hub.connect(this, peer)
  }

  /** Nobody answers, for as long as anybody asks. */
  #lost(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#hub.clock.setTimer(resolve, DIAL_LOST_MS, 'dial without an answer')
      const onAbort = () => {
        timer.cancel()
        resolve()
      }
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }

  /** A stack that is there is heard all the time; of one that is not, what was counted last is told. */
  async heardPackets(peer: NodeId): Promise<number | undefined> {
    await this.#latency()
    const { clock, conditions } = this.#hub
    const there = this.#hub.link(this.self, peer) !== undefined && !conditions.silent(peer, this.self)
    if (there) this.#heard.set(peer, Math.ceil(clock.nowMs()))
    return this.#heard.get(peer)
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
          if (event.type === 'connected') this.#heard.set(event.peer, Math.ceil(this.#hub.clock.nowMs()))
          else if (event.type === 'disconnected') this.#heard.delete(event.peer)
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
    return this.#hub.neighbours(this.self)
  }

  #latency(): Promise<void> {
    return new Promise((resolve) => {
      this.#hub.clock.setTimer(resolve, this.#hub.latency(), 'round trip')
    })
  }
}
