// The kernel: wires the services to the ports they need and to each other. It runs in a tab's worker, in Node and
// by the hundred in the simulator; what differs is only the ports. Nothing here decides anything.
import { errorLine, OsError } from '../base/errors.ts'
import { type DeviceId, type NodeId, shortNode } from '../base/ids.ts'
import type { BlockStore, DeviceStore } from '../ports/blockstore.ts'
import type { Clock } from '../ports/clock.ts'
import type { Hasher, Signer } from '../ports/crypto.ts'
import type { Dht } from '../ports/dht.ts'
import type { LogSink } from '../ports/log.ts'
import type { LogStore } from '../ports/logstore.ts'
import type { Network, NetworkEvent, RelayState } from '../ports/network.ts'
import type { Random } from '../ports/random.ts'
import type { Sandbox } from '../ports/sandbox.ts'
import type { LifecycleEvent } from '../syscalls/control.ts'
import type { MessageLink, Replies } from '../syscalls/protocol.ts'
import type { RecordNamespace } from '../syscalls/table.ts'
import type { KernelEvent, LogLine, NodeInfo, RecordAnswer, StorageRow } from '../syscalls/types.ts'
import { Blocks } from './blocks/blocks.ts'
import { Reserve } from './blocks/reserve.ts'
import { StorageGauge } from './blocks/storage-gauge.ts'
import { Directory, type Namespace } from './directory/directory.ts'
import { type DispatchServices, taskDispatch, userDispatch } from './dispatch.ts'
import { EventLog } from './events.ts'
import { Files } from './fs/files.ts'
import { CallServer } from './io/call-server.ts'
import type { Group } from './journal/group.ts'
import { Groups } from './journal/groups.ts'
import { livenessOf } from './journal/liveness.ts'
import { MEET_MOST_MS, MEET_MS } from './limits.ts'
import { Arrival } from './membership/arrival.ts'
import { ClockWatch } from './membership/clocks.ts'
import type { OwnPulse } from './membership/heartbeats.ts'
import { Membership } from './membership/membership.ts'
import { Executor } from './process/executor.ts'
import { Leases } from './process/leases.ts'
import { Processes } from './process/processes.ts'
import { PROTOCOL_VERSION, type Pulse } from './rpc/frames.ts'
import { RpcNode } from './rpc/node.ts'
import { tellOfVersions } from './rpc/other-versions.ts'

export interface KernelPorts {
  clock: Clock
  random: Random
  hasher: Hasher
  signer: Signer
  log: LogSink
  network: Network
  dht: Dht
  blockStore: BlockStore
  deviceStore: DeviceStore
  logStore: LogStore
  sandbox: Sandbox
}

export interface KernelOptions {
  /** Known once the relay has said it. */
  cluster: () => string
  device: DeviceId
  slot: number
  /** SHA-256, in hex, of what this tab's page says when it is closed, perhaps after the kernel's worker has ended. */
  goodbye?: string | undefined
  version: string
  /** Files of /bin, by path below it. */
  builtin: Readonly<Record<string, string>>
  inviteUrl: () => string | null
  recentLog: () => LogLine[]
}

const NAMESPACES: Readonly<Record<RecordNamespace, Namespace>> = {
  peer: 'bs-peer',
  home: 'bs-home',
  provider: 'bs-prov',
  device: 'bs-dev',
}

/** Far more than go while their events are noticed to be lost. */
const MAX_DEAD_REMEMBERED = 256

export class Kernel {
  readonly #ports: KernelPorts
  readonly #options: KernelOptions
  readonly #rpc: RpcNode
  readonly #membership: Membership
  readonly #directory: Directory
  readonly #blocks: Blocks
  readonly #files: Files
  readonly #executor: Executor
  readonly #leases: Leases
  readonly #groups: Groups
  readonly #processes: Processes
  readonly #events = new EventLog<KernelEvent>()
  readonly #services: DispatchServices
  /** By the wall clock; and by the monotonic one. */
  readonly #startedMs: number
  readonly #bootedMs: number
  /** When it last came to know another. */
  #metMs: number
  /** Nodes that left without a word, the latest last. */
  readonly #died = new Set<NodeId>()
  readonly #gauge: StorageGauge
  readonly #clocks: ClockWatch
  #pulse: Pulse['state'] = 'alive'
  /** Nobody looks at its tab, which may be frozen and go on meanwhile. */
  #hidden = false
  #relay: { state: RelayState; detail: string } = { state: 'connecting', detail: 'not tried yet' }
  readonly #arrival = new Arrival(() => this.#membership.linked())
  #closed = false

  constructor(ports: KernelPorts, options: KernelOptions) {
    const { clock, random, hasher, signer, log, network, blockStore, deviceStore, logStore, sandbox, dht } = ports
    this.#ports = ports
    this.#options = options
    this.#startedMs = clock.wallMs()
    this.#bootedMs = this.#metMs = clock.nowMs()
    const { device } = options
    const session = [...random.bytes(8)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    const own = { v: PROTOCOL_VERSION, device, session, ...(options.goodbye ? { goodbye: options.goodbye } : {}) }
    const reserve = new Reserve(logStore, () => this.#notice(NO_ROOM))
    this.#gauge = new StorageGauge({ store: blockStore, reserve, clock, log })
    const hello = () => {
      const now = { storage: this.#gauge.level, wallMs: clock.wallMs() }
      return { ...own, cluster: options.cluster(), slots: sandbox.slots, ...now }
    }
    const notice = (message: string) => this.#notice(message)
    this.#rpc = new RpcNode({ network, clock, log, hello, onOtherVersion: tellOfVersions(notice) })
    const pulse = (): OwnPulse => ({
      state: this.#pulse,
      running: this.#executor.running,
      storage: this.#gauge.level,
    })
    this.#membership = new Membership({ rpc: this.#rpc, network, clock, hasher, random, log, pulse })
    this.#directory = new Directory({ dht, signer, clock, log })
    this.#blocks = new Blocks({
      store: blockStore,
      reserve,
      onStored: (bytes) => this.#gauge.grown(bytes),
      device: { store: deviceStore, shared: () => this.#membership.rows().some((row) => row.device === device) },
      hasher,
      rpc: this.#rpc,
      clock,
      log,
      peers: () => this.#membership.linked(),
      mayReturn: () => this.#membership.linked().length < this.#membership.peers().length,
      findProviders: (cid, signal) => this.#providers(cid, signal),
    })
    const fit = () => this.#pulse !== 'frozen'
    const liveness = livenessOf(this.#membership, { id: network.self, device, fit }, clock)
    this.#groups = new Groups({
      rpc: this.#rpc,
      store: reserve.openTo(logStore, isOfTree),
      clock,
      random,
      log,
      liveness,
      witness: network.witness,
    })
    this.#clocks = new ClockWatch({ membership: this.#membership, device, clock, onTrouble: notice })
    this.#files = new Files({
      ...{ self: network.self, device, clock, hasher, signer, random, log, store: logStore, builtin: options.builtin },
      ...{ rpc: this.#rpc, membership: this.#membership, groups: this.#groups, blocks: this.#blocks },
      own: () => ({ state: this.#pulse, storage: this.#gauge.class }),
      node: async () => this.#nodeInfo(),
      processes: {
        owner: () => this.#processes.owner,
        list: () => this.#processes.list(),
        resolve: (kid) => this.#processes.resolve(kid),
        read: (kid, stream, offset, length, signal) => this.#processes.read(kid, stream, offset, length, signal),
      },
      arrival: this.#arrival,
      onTree: ({ version, home }) => void this.#events.push({ type: 'tree', version, home }),
      onNotice: notice,
      lookForRoom: (ms) => this.#gauge.look(ms),
      onWritten: (cid) => this.#directory.publishLater('bs-prov', cid, [network.self]),
      publishHome: (keg) => this.#publish('bs-home', keg),
      homesOf: async (keg) => ((await this.#directory.query('bs-home', keg))?.nodes ?? []) as NodeId[],
    })
    const { fs, past, health, namespace } = this.#files
    this.#leases = new Leases({ nodes: () => this.#nodes(), clock })
    this.#executor = new Executor({
      sandbox,
      blocks: this.#blocks,
      rpc: this.#rpc,
      clock,
      log,
      dispatchFor: (actions) => taskDispatch(this.#services, actions),
      onLoad: () => undefined,
    })
    const services = {
      self: network.self,
      rpc: this.#rpc,
      blocks: this.#blocks,
      namespace,
      clock,
      log,
      leases: this.#leases,
      died: (node: NodeId) => this.#died.has(node),
      onThisDevice: (node: NodeId) => liveness.deviceOf(node) === device,
    }
    this.#processes = new Processes({
      services,
      fs,
      journals: this.#groups,
      membership: this.#membership,
      hasher,
      signer,
      random,
      onEvent: (event) => this.#events.push(event),
      publishHome: (kid) => this.#publish('bs-home', kid),
      onEnded: (kid) => this.#executor.drop(network.self, kid),
      meeting: () => this.#meeting(),
    })
    this.#services = {
      fs,
      past,
      health,
      plainCid: (path, signal) => this.#files.plainCid(path, signal),
      processes: this.#processes,
      events: this.#events,
      info: {
        node: async () => this.#nodeInfo(),
        peers: async () => this.#membership.rows(),
        processes: (signal) => this.#processes.list(signal),
        storage: (signal) => this.#storage(signal),
        log: async () => options.recentLog(),
        kegs: (signal) => this.#files.mounts.rows(signal),
      },
      record: (namespace, name, signal) => this.#record(NAMESPACES[namespace], name, signal),
    }
  }

  /**
   * Resolves when programs and files work. The network is reached in the background.
   * @param ready what the network should wait for (the relay's address), so that it does not start without it.
   */
  async start(ready: Promise<void> = Promise.resolve()): Promise<void> {
    this.#rpc.handle('storage.usage', () => this.#ownStorage())
    this.#membership.events.on((event) => {
      if (event.type === 'joined') {
        this.#metMs = this.#ports.clock.nowMs()
        this.#events.push({ type: 'peer-joined', peer: event.peer })
        this.#died.delete(event.peer)
        this.#leases.pump()
      } else if (event.type === 'left') {
        if (event.said === null) this.#diedNow(event.peer)
        this.#directory.forgetNode(event.peer)
        this.#executor.drop(event.peer)
        this.#processes.forgetNode(event.peer)
        this.#leases.forget(event.peer)
        this.#events.push({ type: 'peer-left', peer: event.peer, reason: event.reason })
        this.#leases.pump()
      } else {
        this.#events.push({ type: 'peer-changed', peer: event.peer, state: event.state })
        this.#processes.nodeChanged()
        this.#leases.pump()
      }
    })
    this.#ports.network.on((event) => this.#heard(event))
    void this.#gauge.level // looks, so that it is known when others are met
    await this.#files.start()
    this.#groups.own('process/', this.#processes.owner)
    this.#groups.own('tree/', this.#files.owner)
    await this.#groups.start()
    this.#files.started()
    ready
      .then(() => this.#ports.network.start())
      .catch((error: unknown) => {
        const detail = `the network cannot start, this tab works alone: ${errorLine(error)}`
        this.#ports.log.log('error', 'network', detail)
        this.#heard({ type: 'relay', state: 'offline', detail })
      })
  }

  /** Serves the calls of a trusted caller (the page and its shell) that come over this port. */
  serve(link: MessageLink): void {
    const post = (message: Replies, transfer?: readonly ArrayBuffer[]) => link.post(message, transfer)
    const server = new CallServer(post, userDispatch(this.#services), this.#ports.clock)
    link.onMessage((message) => {
      try {
        server.accept(message)
      } catch (error) {
        this.#ports.log.log('error', 'syscalls', `a malformed call of the page: ${errorLine(error)}`)
      }
    })
  }

  /** Journals kept here, as they are now: what simulations check. */
  get journals(): Group[] {
    return this.#groups.names('').flatMap((name) => this.#groups.find(name) ?? [])
  }

  /** Processes that hold workers or programs in memory here: what a leak would show in. */
  get executorDomains(): number {
    return this.#executor.domains
  }

  lifecycle(event: LifecycleEvent): void {
    if (this.#closed) return
    switch (event) {
      case 'visible':
      case 'hidden':
      case 'freeze':
      case 'resume':
        if (event === 'hidden' || event === 'visible') this.#hidden = event === 'hidden'
        this.#pulse = event === 'freeze' ? 'frozen' : this.#hidden ? 'hidden' : 'alive'
        this.#membership.announce()
        if (event === 'visible' || event === 'resume') this.#wake()
        return
      case 'online':
        return this.#wake()
      case 'offline':
        return
      case 'pagehide':
        return this.close('its tab closed')
    }
  }

  /** Its storage is gone, and with it all that others rely on: it says so here, and leaves. Idempotent. */
  bereft(error: OsError): void {
    if (this.#closed) return
    this.#notice(error.message)
    this.#heard({ type: 'relay', state: 'offline', detail: error.message })
    this.close('its storage was deleted')
  }

  /** Says goodbye and stops. Storage stays open for writes under way. Idempotent. */
  close(reason: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#processes.flush() // while it leads their journals
    this.#groups.close()
    this.#processes.close()
    this.#executor.close()
    this.#leases.close()
    this.#files.close()
    this.#blocks.close()
    this.#directory.close()
    this.#clocks.close()
    this.#membership.close()
    this.#rpc.close(reason)
  }

  #notice(message: string): void {
    this.#ports.log.log('info', 'kernel', message)
    this.#events.push({ type: 'notice', message })
  }

  #heard(event: NetworkEvent): void {
    if (event.type === 'relay') {
      this.#relay = { state: event.state, detail: event.detail }
      this.#events.push(event)
      if (event.state === 'connected') this.#publishSelf()
    }
    this.#arrival.note(event)
    if (event.type === 'listed') this.#metMs = this.#ports.clock.nowMs()
    if (this.#arrival.alone) this.#files.shared.inUse.settle()
  }

  /** It came a moment ago, or still comes to know those who are here, and has yet to reach some of them. */
  #meeting(): boolean {
    const nowMs = this.#ports.clock.nowMs()
    return nowMs - this.#metMs <= MEET_MS && nowMs - this.#bootedMs <= MEET_MOST_MS && this.#arrival.unmet
  }

  #diedNow(node: NodeId): void {
    this.#died.add(node)
    for (const oldest of this.#died) if (this.#died.size > MAX_DEAD_REMEMBERED) this.#died.delete(oldest)
  }

  #wake(): void {
    this.#ports.network.wake()
    this.#membership.wake()
  }

  #nodes() {
    const own = {
      id: this.#ports.network.self,
      slots: this.#ports.sandbox.slots,
      state: this.#pulse,
      running: this.#executor.running,
    }
    const others = this.#membership.linked().flatMap((id) => {
      const row = this.#membership.row(id)
      return row ? [{ id, slots: row.slots, state: row.state, running: row.running }] : []
    })
    return [own, ...others]
  }

  #publishSelf(): void {
    const { self } = this.#ports.network
    this.#publish('bs-peer', self)
    this.#publish('bs-dev', this.#options.device)
  }

  #publish(ns: Namespace, name: string): void {
    this.#directory.publish(ns, name, [this.#ports.network.self]).catch((error: unknown) => {
      this.#ports.log.log('debug', 'directory', `cannot publish ${ns}/${shortNode(name)} yet: ${errorLine(error)}`)
    })
  }

  async #providers(cid: string, signal: AbortSignal): Promise<NodeId[]> {
    try {
      const record = await this.#directory.lookup('bs-prov', cid, signal)
      const holders = (record?.nodes ?? []) as NodeId[]
      const reached = await Promise.allSettled(holders.map((node) => this.#membership.reach(node, signal)))
      return holders.filter((_node, i) => reached[i]?.status === 'fulfilled')
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof OsError)) throw error
      this.#ports.log.log('debug', 'directory', `no provider of ${cid} found: ${errorLine(error)}`)
      return []
    }
  }

  async #record(ns: Namespace, name: string, signal: AbortSignal): Promise<RecordAnswer | null> {
    const beganMs = this.#ports.clock.nowMs()
    const record = await this.#directory.query(ns, name, signal)
    return record ? { nodes: record.nodes, seq: record.seq, ms: this.#ports.clock.nowMs() - beganMs } : null
  }

  async #nodeInfo(): Promise<NodeInfo> {
    return {
      id: this.#ports.network.self,
      device: this.#options.device,
      slot: this.#options.slot,
      cluster: this.#options.cluster(),
      version: this.#options.version,
      slots: this.#ports.sandbox.slots,
      relay: this.#relay.state,
      relayDetail: this.#relay.detail,
      nodes: this.#membership.peers().length + 1,
      treeHome: this.#files.shared.home,
      waiting: this.#groups.waiting,
      inviteUrl: this.#options.inviteUrl(),
      startedMs: this.#startedMs,
    }
  }

  async #ownStorage(): Promise<StorageRow> {
    const [usage, blocks] = await Promise.all([this.#blocks.usage(), this.#blocks.count()])
    return {
      node: this.#ports.network.self,
      device: this.#options.device,
      blocks,
      storage: this.#gauge.class,
      ...usage,
    }
  }

  async #storage(signal: AbortSignal): Promise<StorageRow[]> {
    const peers = this.#membership.answering()
    const answers = await Promise.allSettled(
      peers.map((peer) => this.#rpc.call(peer, 'storage.usage', null, { signal })),
    )
    const others = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []))
    return [await this.#ownStorage(), ...others]
  }
}

const NO_ROOM =
  'this device has no room left for this site: remove what is not needed, then free it with keg gc (or free disk space)'

/** Whether it is a tree's journal, or what is voted for it. */
function isOfTree(name: string): boolean {
  return name.startsWith('tree/') || name.startsWith('raft/tree/')
}
