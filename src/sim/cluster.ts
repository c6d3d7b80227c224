// Many real kernels in one thread over virtual time. Deterministic: the same seed gives the same run, because
// time, randomness, network, disks and hashing all come from here, and events run one at a time to the end.

import { Gate, GatedClock, VirtualClock } from '../adapters/memory/clock.ts'
import { MemoryHasher, MemorySigner } from '../adapters/memory/crypto.ts'
import { MemoryHub, MemoryNetwork } from '../adapters/memory/network.ts'
import { SeededRandom } from '../adapters/memory/random.ts'
import { MemorySandbox } from '../adapters/memory/sandbox.ts'
import { Disk, MemoryBlockStore, MemoryLogStore } from '../adapters/memory/stores.ts'
import type { DeviceId, NodeId } from '../base/ids.ts'
import { Kernel } from '../kernel/kernel.ts'
import type { LogLevel } from '../ports/log.ts'
import { SyscallClient } from '../syscalls/client.ts'
import { FileSystem } from '../syscalls/fs.ts'
import { PAGE_CALL_WINDOW } from '../syscalls/limits.ts'
import type { MessageLink } from '../syscalls/protocol.ts'
import type { LoadProgram } from '../syscalls/task-runtime.ts'
import { SimWitness } from './witness.ts'

export interface ClusterOptions {
  seed: number
  latencyMs?: readonly [number, number]
  split?: boolean
  slots?: number
  load?: LoadProgram
  builtin?: Record<string, string>
  /** Lets everything that is not a timer run to its end; supplied by the host (Node: setImmediate). */
  settle: () => Promise<void>
  onLog?: (line: string) => void
}

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

/** One tab: a kernel while it is open, and a disk that survives it. */
export class SimNode {
  readonly id: NodeId
  readonly device: DeviceId
  readonly disk = new Disk()
  readonly #cluster: Cluster
  #random: SeededRandom
  #gate: Gate | undefined
  kernel: Kernel | undefined
  network: MemoryNetwork | undefined
  client: SyscallClient | undefined

  constructor(cluster: Cluster, id: NodeId, device: DeviceId, random: SeededRandom) {
    this.#cluster = cluster
    this.id = id
    this.device = device
    this.#random = random
  }

  get up(): boolean {
    return this.kernel !== undefined
  }

  get fs(): FileSystem {
    return new FileSystem(this.#client())
  }

  #client(): SyscallClient {
    if (!this.client) throw new Error(`node ${this.id} is down`)
    return this.client
  }

  get os(): SyscallClient {
    return this.#client()
  }

  /** The browser freezes the tab: time passes it by. @returns what thaws it. */
  freeze(): () => void {
    this.#gate?.freeze()
    return () => this.#gate?.thaw()
  }

  async boot(): Promise<void> {
    const { hub, options } = this.#cluster
    const gate = new Gate(this.#cluster.clock)
    const clock = new GatedClock(this.#cluster.clock, gate)
    const network = new MemoryNetwork(hub, this.id, gate)
    this.#gate = gate
    const log = {
      log: (level: LogLevel, area: string, message: string) =>
        options.onLog?.(`${clock.nowMs().toFixed(1)} ${this.id.slice(-4)} ${level} ${area}: ${message}`),
    }
    const load = options.load ?? (async () => Promise.reject(new Error('this simulation has no programs')))
    this.network = network
    this.kernel = new Kernel(
      {
        clock,
        random: this.#random.fork(),
        hasher: new MemoryHasher(),
        signer: new MemorySigner(this.id),
        log,
        network,
        dht: network,
        blockStore: new MemoryBlockStore(this.disk),
        logStore: new MemoryLogStore(this.disk),
        sandbox: new MemorySandbox({ clock, slots: options.slots ?? 2, load }),
      },
      {
        cluster: () => 'sim',
        device: this.device,
        slot: 0,
        version: 'sim',
        builtin: options.builtin ?? {},
        inviteUrl: () => null,
        recentLog: () => [],
      },
    )
    const [mine, theirs] = linkPair()
    this.kernel.serve(theirs)
    this.client = new SyscallClient(mine, { window: PAGE_CALL_WINDOW })
    await this.kernel.start()
  }

  /** The tab is closed: it says goodbye. */
  async close(): Promise<void> {
    const { kernel, network } = this.#down()
    kernel?.lifecycle('pagehide')
    await network?.close()
  }

  /** The tab is killed: it says nothing. */
  crash(): void {
    const { kernel, network } = this.#down()
    network?.crash()
    kernel?.close('crashed')
  }

  #down() {
    const { kernel, network } = this
    this.client?.close('the tab is gone')
    this.kernel = undefined
    this.network = undefined
    this.client = undefined
    return { kernel, network }
  }
}

/** Both ends of a port in one thread; messages arrive in a later microtask. */
function linkPair(): [MessageLink, MessageLink] {
  const listeners: (((message: unknown) => void) | undefined)[] = [undefined, undefined]
  const end = (own: 0 | 1): MessageLink => ({
    post: (message) => queueMicrotask(() => listeners[1 - own]?.(message)),
    onMessage: (listener) => {
      listeners[own] = listener
    },
    close: () => {
      listeners[own] = undefined
    },
  })
  return [end(0), end(1)]
}

export class Cluster {
  readonly clock = new VirtualClock()
  readonly random: SeededRandom
  readonly hub: MemoryHub
  readonly options: ClusterOptions
  readonly nodes: SimNode[] = []

  constructor(options: ClusterOptions) {
    this.options = options
    this.random = new SeededRandom(options.seed)
    this.hub = new MemoryHub({
      clock: this.clock,
      random: this.random.fork(),
      latencyMs: options.latencyMs ?? [0.5, 3],
      split: options.split ?? false,
    })
    this.hub.witness = new SimWitness(this.clock)
  }

  addNode(): SimNode {
    const id = `12D3KooW${Array.from({ length: 12 }, () => ALPHABET[this.random.below(ALPHABET.length)]).join('')}`
    const device = [...this.random.bytes(16)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    const node = new SimNode(this, id as NodeId, device as DeviceId, this.random.fork())
    this.nodes.push(node)
    return node
  }

  up(): SimNode[] {
    return this.nodes.filter((node) => node.up)
  }

  /** Lets `ms` of virtual time pass. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.clock.nowMs() + ms
    await this.options.settle()
    while (this.clock.step(untilMs)) await this.options.settle()
    this.clock.jump(untilMs - this.clock.nowMs())
  }

  /** Lets time pass until the promise settles. @throws when it has not within `limitMs` of virtual time. */
  async run<T>(promise: Promise<T>, limitMs = 120_000): Promise<T> {
    let settled = false
    const watched = promise.finally(() => {
      settled = true
    })
    watched.catch(() => undefined) // rethrown below
    const untilMs = this.clock.nowMs() + limitMs
    for (;;) {
      await this.options.settle()
      if (settled) return watched
      if (!this.clock.step(untilMs)) throw new Error(`nothing happened for ${limitMs} ms of virtual time`)
    }
  }

  /** Lets time pass until the condition holds. @returns virtual ms that it took. */
  async until(condition: () => boolean | Promise<boolean>, what: string, limitMs = 60_000): Promise<number> {
    const startMs = this.clock.nowMs()
    while (!(await this.run(Promise.resolve(condition())))) {
      if (this.clock.nowMs() - startMs > limitMs) throw new Error(`not within ${limitMs} ms of virtual time: ${what}`)
      await this.advance(20)
    }
    return this.clock.nowMs() - startMs
  }
}
