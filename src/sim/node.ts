// One tab of a simulated cluster: a kernel while it is open, and a disk that survives it. Above: cluster.ts.

import { Gate, GatedClock, type Skew, type VirtualClock } from '../adapters/memory/clock.ts'
import { MemoryHasher, MemorySigner } from '../adapters/memory/crypto.ts'
import type { MemoryHub } from '../adapters/memory/hub.ts'
import { MemoryNetwork } from '../adapters/memory/network.ts'
import type { SeededRandom } from '../adapters/memory/random.ts'
import { MemorySandbox } from '../adapters/memory/sandbox.ts'
import { type Disk, MemoryBlockStore, MemoryDeviceStore, MemoryLogStore } from '../adapters/memory/stores.ts'
import { toHex, utf8 } from '../base/bytes.ts'
import type { DeviceId, NodeId } from '../base/ids.ts'
import { Kernel } from '../kernel/kernel.ts'
import type { LogLevel } from '../ports/log.ts'
import { SyscallClient } from '../syscalls/client.ts'
import { FileSystem } from '../syscalls/fs.ts'
import { PAGE_CALL_WINDOW } from '../syscalls/limits.ts'
import type { MessageLink } from '../syscalls/protocol.ts'
import type { LoadProgram } from '../syscalls/task-runtime.ts'

/** What a tab needs of the world it is in. */
export interface NodeHost {
  readonly clock: VirtualClock
  readonly hub: MemoryHub
  /** All that have a disk. */
  readonly nodes: readonly SimNode[]
  readonly options: {
    slots?: number
    load?: LoadProgram
    builtin?: Record<string, string>
    onLog?: (line: string) => void
  }
}

export class SimNode {
  readonly id: NodeId
  readonly device: DeviceId
  readonly disk: Disk
  /** How far its device's clocks are from the world's. */
  readonly skew: Skew = { nowMs: 0, wallMs: 0 }
  readonly #host: NodeHost
  readonly #random: SeededRandom
  #gate: Gate | undefined
  #frozen = false
  /** Ends what waits for it to have started. */
  #died: () => void = () => undefined
  #stores: { close(): Promise<void> }[] = []
  kernel: Kernel | undefined
  network: MemoryNetwork | undefined
  client: SyscallClient | undefined

  constructor(host: NodeHost, identity: { id: NodeId; device: DeviceId; disk: Disk; random: SeededRandom }) {
    this.#host = host
    this.id = identity.id
    this.device = identity.device
    this.disk = identity.disk
    this.#random = identity.random
  }

  get up(): boolean {
    return this.kernel !== undefined
  }

  /** It is open, and its tab runs: somebody can work with it. */
  get awake(): boolean {
    return this.up && !this.#frozen
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
    const gate = this.#gate
    gate?.freeze()
    this.#frozen = true
    return () => {
      if (gate !== this.#gate) return // it died meanwhile
      gate?.thaw()
      this.#frozen = false
    }
  }

  /** Resolves when it has started, or has died on the way. */
  async boot(): Promise<void> {
    const { hub, options } = this.#host
    const gate = new Gate(this.#host.clock)
    const clock = new GatedClock(this.#host.clock, gate, this.skew)
    const network = new MemoryNetwork(hub, this.id, gate)
    const pass = (action: () => void) => gate.pass(action)
    this.#gate = gate
    this.#frozen = false
    const log = {
      // What is left of a dead tab is not heard.
      log: (level: LogLevel, area: string, message: string) =>
        this.network === network &&
        options.onLog?.(`${this.#host.clock.nowMs().toFixed(1)} ${this.id.slice(-4)} ${level} ${area}: ${message}`),
    }
    const load = options.load ?? (async () => Promise.reject(new Error('this simulation has no programs')))
    const [blockStore, logStore] = [new MemoryBlockStore(this.disk, pass), new MemoryLogStore(this.disk, pass)]
    const others = () => this.#host.nodes.filter(({ id, device }) => id !== this.id && device === this.device)
    const deviceStore = new MemoryDeviceStore(() => others().map(({ disk }) => disk), pass)
    this.#stores = [blockStore, deviceStore, logStore]
    this.network = network
    const hasher = new MemoryHasher()
    this.kernel = new Kernel(
      {
        clock,
        random: this.#random.fork(),
        hasher,
        signer: new MemorySigner(this.id),
        log,
        network,
        dht: network,
        blockStore,
        deviceStore,
        logStore,
        sandbox: new MemorySandbox({ clock, slots: options.slots ?? 2, load }),
      },
      {
        cluster: () => 'sim',
        device: this.device,
        slot: 0,
        goodbye: toHex(hasher.digest(utf8(this.goodbye))),
        version: 'sim',
        builtin: options.builtin ?? {},
        inviteUrl: () => null,
        recentLog: () => [],
      },
    )
    const [mine, theirs] = linkPair()
    this.kernel.serve(theirs)
    this.client = new SyscallClient(mine, { window: PAGE_CALL_WINDOW })
    const { promise: died, resolve } = Promise.withResolvers<void>()
    this.#died = resolve
    await Promise.race([this.kernel.start(), died])
  }

  /** What its page says when it is closed. */
  get goodbye(): string {
    return `the page of ${this.id} is closed`
  }

  /** The tab is closed: it says goodbye. */
  async close(): Promise<void> {
    const { kernel, network } = this.#down()
    kernel?.lifecycle('pagehide')
    await network?.close()
  }

  /** The tab is killed: it says nothing. @param keep share of its writes under way that reach the disk: 0 to 1. */
  crash(keep = 1): void {
    this.disk.crash(keep)
    // Nothing of it runs any more, whatever it was doing.
    this.#gate?.freeze()
    this.#gate = undefined
    for (const store of this.#stores) void store.close()
    const { kernel, network } = this.#down()
    network?.crash()
    kernel?.close('crashed')
    this.#died()
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
    post: (message, transfer = []) => {
      // What is moved is gone here, as in a browser; to clone everything would take too long.
      const sent = transfer.length > 0 ? structuredClone(message, { transfer: [...transfer] }) : message
      queueMicrotask(() => listeners[1 - own]?.(sent))
    },
    onMessage: (listener) => {
      listeners[own] = listener
    },
    close: () => {
      listeners[own] = undefined
    },
  })
  return [end(0), end(1)]
}
