// What the kernel's tests share: virtual time that runs until something has happened, kernels' parts over the
// simulated network, and a peer that says whatever a test wants. Nothing here is part of the product.
import { VirtualClock } from '../adapters/memory/clock.ts'
import { MemoryHasher } from '../adapters/memory/crypto.ts'
import { MemoryHub } from '../adapters/memory/hub.ts'
import { MemoryNetwork } from '../adapters/memory/network.ts'
import { SeededRandom } from '../adapters/memory/random.ts'
import { Disk, MemoryBlockStore, MemoryLogStore } from '../adapters/memory/stores.ts'
import type { DeviceId, NodeId } from '../base/ids.ts'
import type { LogLevel, LogSink } from '../ports/log.ts'
import type { ByteStream, StreamKind } from '../ports/network.ts'
import { Blocks } from './blocks/blocks.ts'
import type { DeviceBlocksOptions } from './blocks/device.ts'
import { Reserve } from './blocks/reserve.ts'
import { decodeFrame, encodeFrame, FRAME, type Frame, FrameReader, type Hello, PROTOCOL_VERSION } from './rpc/frames.ts'
import { type LinkEvents, RpcNode } from './rpc/node.ts'

export const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Node ids sort by `name`, so that a test decides who opens the lanes. */
export const nodeId = (name: string) => `12D3KooW${name.padEnd(8, 'z')}` as NodeId
export const DEVICE = 'd'.repeat(32) as DeviceId

/** Virtual time that passes only while somebody waits for something. */
export class Ticker {
  readonly clock: VirtualClock

  constructor(clock = new VirtualClock()) {
    this.clock = clock
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.clock.nowMs() + ms
    await settle()
    while (this.clock.step(untilMs)) await settle()
    this.clock.jump(untilMs - this.clock.nowMs())
  }

  /** @throws when the promise has not settled within `limitMs` of virtual time. */
  async run<T>(promise: Promise<T>, limitMs = 120_000): Promise<T> {
    let settled = false
    const done = () => {
      settled = true
    }
    promise.then(done, done)
    const untilMs = this.clock.nowMs() + limitMs
    for (;;) {
      await settle()
      if (settled) return promise
      if (!this.clock.step(untilMs)) throw new Error(`nothing more happens within ${limitMs} ms of virtual time`)
    }
  }

  /** @returns virtual ms until the condition held. */
  async until(condition: () => boolean, limitMs = 60_000): Promise<number> {
    const startMs = this.clock.nowMs()
    for (;;) {
      await settle()
      if (condition()) return this.clock.nowMs() - startMs
      if (!this.clock.step(startMs + limitMs)) throw new Error(`not within ${limitMs} ms: ${condition}`)
    }
  }
}

export class TestLog implements LogSink {
  readonly lines: string[] = []
  log(level: LogLevel, area: string, message: string): void {
    this.lines.push(`${level} ${area}: ${message}`)
  }
  has(text: string): boolean {
    return this.lines.some((line) => line.includes(text))
  }
}

export const helloOf = (change: Partial<Hello> = {}): Hello => ({
  v: PROTOCOL_VERSION,
  cluster: 'test',
  device: DEVICE,
  session: '0123456789abcdef',
  slots: 2,
  storage: 2,
  ...change,
})

/** Nodes that consist of a network and an rpc layer. */
export class Lab extends Ticker {
  readonly hub: MemoryHub

  constructor(options: { seed?: number; split?: boolean; latencyMs?: readonly [number, number] } = {}) {
    super()
    this.hub = new MemoryHub({
      clock: this.clock,
      random: new SeededRandom(options.seed ?? 1),
      latencyMs: options.latencyMs ?? [1, 2],
      split: options.split ?? false,
    })
  }

  async node(name: string, hello: Partial<Hello> = {}): Promise<LabNode> {
    const node = new LabNode(this, nodeId(name), hello)
    await node.network.start()
    return node
  }

  /** A peer without a kernel, connected to `victim`. */
  async raw(name: string, victim: LabNode | NodeId): Promise<RawPeer> {
    const network = new MemoryNetwork(this.hub, nodeId(name))
    const peer = new RawPeer(network, typeof victim === 'string' ? victim : victim.id)
    await network.start()
    await this.run(network.connect(peer.victim))
    return peer
  }

  async link(a: LabNode, b: LabNode): Promise<void> {
    await this.run(a.network.connect(b.id))
    await this.until(() => a.rpc.linked(b.id) && b.rpc.linked(a.id))
  }

  async pair(): Promise<[LabNode, LabNode]> {
    const [a, b] = [await this.node('a'), await this.node('b')]
    await this.link(a, b)
    return [a, b]
  }
}

export class LabNode {
  readonly id: NodeId
  readonly network: MemoryNetwork
  readonly log = new TestLog()
  readonly rpc: RpcNode
  /** What the rpc layer told membership. */
  readonly events: string[] = []

  constructor(lab: Lab, id: NodeId, hello: Partial<Hello>) {
    this.id = id
    this.network = new MemoryNetwork(lab.hub, id)
    this.rpc = new RpcNode({ network: this.network, clock: lab.clock, log: this.log, hello: () => helloOf(hello) })
    const links: LinkEvents = {
      onUp: (peer) => this.events.push(`up ${peer}`),
      onDown: (peer, _reason, said) => this.events.push(`down ${peer}${said === undefined ? '' : `: ${said}`}`),
      onHeard: () => undefined,
      onPing: (peer, pulse) => this.events.push(`ping ${peer} ${pulse.state}`),
      onPong: (peer, n) => this.events.push(`pong ${peer} ${n}`),
      onHostile: (peer) => this.events.push(`hostile ${peer}`),
    }
    this.rpc.setLinkEvents(links)
  }
}

export class RawStream {
  readonly #stream: ByteStream
  readonly frames: Frame[] = []
  closed = false

  constructor(stream: ByteStream) {
    this.#stream = stream
    const reader = new FrameReader()
    stream.onData((chunk) => {
      for (const body of reader.push(chunk)) this.frames.push(decodeFrame(body))
    })
    stream.onClose(() => {
      this.closed = true
    })
  }

  send(frame: Frame): void {
    this.bytes(encodeFrame(frame))
  }

  bytes(bytes: Uint8Array): void {
    if (!this.closed) this.#stream.send(bytes)
  }

  close(): void {
    this.#stream.close()
  }

  hello(change: Partial<Hello> = {}): void {
    this.send([FRAME.HELLO, helloOf(change)])
  }
}

/** Speaks to one victim, byte by byte. Give it a name that sorts before the victim's: then it opens the lanes. */
export class RawPeer {
  readonly network: MemoryNetwork
  readonly victim: NodeId
  /** Streams that the victim opened. */
  readonly accepted: RawStream[] = []

  constructor(network: MemoryNetwork, victim: NodeId) {
    this.network = network
    this.victim = victim
    network.onStream((_peer, _kind, stream) => this.accepted.push(new RawStream(stream)))
  }

  get id(): NodeId {
    return this.network.self
  }

  async open(kind: StreamKind): Promise<RawStream> {
    return new RawStream(await this.network.open(this.victim, kind))
  }

  /** Both lanes, with a proper hello. */
  async greet(change: Partial<Hello> = {}): Promise<{ control: RawStream; bulk: RawStream }> {
    const [control, bulk] = [await this.open('control'), await this.open('bulk')]
    control.hello(change)
    bulk.hello(change)
    return { control, bulk }
  }
}

/** A node's block service over its own disk. */
export function blocksOf(
  lab: Lab,
  node: LabNode,
  options: {
    findProviders?: () => Promise<NodeId[]>
    mayReturn?: () => boolean
    disk?: Disk
    device?: DeviceBlocksOptions
  } = {},
) {
  const disk = options.disk ?? new Disk()
  const blocks = new Blocks({
    store: new MemoryBlockStore(disk),
    reserve: new Reserve(new MemoryLogStore(disk), () => {}),
    hasher: new MemoryHasher(),
    rpc: node.rpc,
    clock: lab.clock,
    log: node.log,
    peers: () => node.rpc.linkedPeers(),
    mayReturn: options.mayReturn ?? (() => false),
    findProviders: options.findProviders ?? (async () => []),
    ...(options.device ? { device: options.device } : {}),
  })
  return { disk, blocks }
}

export type BlockNode = LabNode & ReturnType<typeof blocksOf>

/** A node with a block service over a disk of its own. */
export async function blockNode(lab: Lab, name: string): Promise<BlockNode> {
  const node = await lab.node(name)
  return Object.assign(node, blocksOf(lab, node))
}
