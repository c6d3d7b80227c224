// Nodes for tests of the replicated journals: rpc and membership over a simulated network, and an owner that keeps a
// list of texts.
import { MemoryHasher } from '../../adapters/memory/crypto.ts'
import { MemoryNetwork } from '../../adapters/memory/network.ts'
import { SeededRandom } from '../../adapters/memory/random.ts'
import { Disk, MemoryLogStore } from '../../adapters/memory/stores.ts'
import { fromUtf8, utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { DeviceId, NodeId } from '../../base/ids.ts'
import type { Ack } from '../../syscalls/types.ts'
import { helloOf, Lab, nodeId, TestLog } from '../harness.contract.ts'
import { Membership } from '../membership/membership.ts'
import { RpcNode } from '../rpc/node.ts'
import { Groups } from './groups.ts'
import type { Journal, Journalled, JournalOwner } from './journal.ts'
import { livenessOf } from './liveness.ts'

export const LIST = 'test/list'

/** The texts that were journalled, as the node that leads knows them. */
export class ListOwner implements JournalOwner {
  journal: Journal | undefined
  texts: string[] = []
  leader: NodeId | undefined
  fold?: JournalOwner['fold']
  hold?: NonNullable<JournalOwner['hold']>

  lead(_name: string, journal: Journal, { entries }: Journalled): void {
    this.journal = journal
    this.texts = entries.map(fromUtf8)
  }

  follow(_name: string, leader: NodeId | undefined): void {
    this.journal = undefined
    this.leader = leader
  }

  async add(text: string, level?: Ack['level']): Promise<Ack> {
    if (!this.journal) throw new OsError('EAGAIN', 'this node does not lead')
    const ack = await this.journal.append([utf8(text)], level)
    this.texts.push(text)
    return ack
  }
}

/** One tab: what it is while it is open, and a disk that survives it. */
export class JournalNode {
  readonly id: NodeId
  readonly device: DeviceId
  readonly lab: Lab
  readonly disk = new Disk()
  readonly log = new TestLog()
  owner = new ListOwner()
  network!: MemoryNetwork
  rpc!: RpcNode
  membership!: Membership
  groups!: Groups
  up = false
  #boots = 0

  constructor(lab: Lab, name: string, device: string) {
    this.lab = lab
    this.id = nodeId(name)
    this.device = device.repeat(32).slice(0, 32) as DeviceId
  }

  async boot(): Promise<void> {
    const { clock, hub } = this.lab
    const { log } = this
    const session = (++this.#boots).toString(16).padStart(16, '0')
    const random = new SeededRandom([...this.id].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), this.#boots))
    this.owner = new ListOwner()
    this.network = new MemoryNetwork(hub, this.id)
    const hello = () => helloOf({ device: this.device, session })
    this.rpc = new RpcNode({ network: this.network, clock, log, hello })
    const pulse = () => ({ state: 'alive' as const, running: 0, storage: 2 as const })
    const hasher = new MemoryHasher()
    this.membership = new Membership({ rpc: this.rpc, network: this.network, clock, hasher, random, log, pulse })
    const liveness = livenessOf(this.membership, { id: this.id, device: this.device, fit: () => true }, clock)
    const store = new MemoryLogStore(this.disk)
    const { witness } = this.network
    this.groups = new Groups({ rpc: this.rpc, store, clock, random, log, liveness, witness })
    this.groups.own('test/', this.owner)
    await this.groups.start()
    await this.network.start()
    this.up = true
  }

  /** It says goodbye. */
  async close(): Promise<void> {
    this.up = false
    this.groups.close()
    this.membership.close()
    this.rpc.close('its tab closed')
    await this.network.close()
  }

  /** It says nothing. */
  crash(): void {
    this.up = false
    this.network.crash()
    this.membership.close()
    this.rpc.close('crashed')
    this.groups.close()
  }
}

export class JournalLab extends Lab {
  readonly nodes: JournalNode[] = []

  /** @param devices one letter a node: equal letters are tabs of one device. */
  async boot(devices: string): Promise<JournalNode[]> {
    const added = [...devices].map((device, i) => new JournalNode(this, `n${this.nodes.length + i + 1}`, device))
    for (const node of added) {
      this.nodes.push(node)
      await this.run(node.boot())
    }
    const count = this.nodes.filter(({ up }) => up).length - 1
    await this.until(() => this.nodes.every((node) => !node.up || node.membership.linked().length === count))
    return added
  }

  /** Whoever leads, as far as those who are up believe; there may be two while one has not heard of the other. */
  leaders(): JournalNode[] {
    return this.nodes.filter(({ up, owner }) => up && owner.journal !== undefined)
  }

  async leader(limitMs = 10_000): Promise<JournalNode> {
    await this.until(() => this.leaders().length === 1, limitMs)
    return this.leaders()[0] as JournalNode
  }

  /** Members and their kind, as the leader knows them. */
  members(node: JournalNode): string[] {
    const { config } = node.groups.group(LIST)
    return [...config.voters.map(({ id }) => id), ...config.learners.map((id) => `${id}?`)].sort()
  }
}
