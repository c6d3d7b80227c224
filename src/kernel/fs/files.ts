// All about files, put together: the tree and its past, what is mounted over it, how well it is kept. Above: kernel.ts.
// Below: the other rooms of fs/.
import { OsError } from '../../base/errors.ts'
import { type DeviceId, type Kid, type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher, Signer } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import type { Random } from '../../ports/random.ts'
import type { MOUNTS } from '../../syscalls/mounts.ts'
import type { NodeInfo, PeerRow } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { Pins } from '../blocks/pins.ts'
import type { Groups } from '../journal/groups.ts'
import type { JournalOwner } from '../journal/journal.ts'
import { mayKeep } from '../journal/liveness.ts'
import { STORAGE_FULL_MS } from '../limits.ts'
import type { Arrival } from '../membership/arrival.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import { BlockHolder } from './block-holder.ts'
import { builtinMount } from './builtin-mount.ts'
import { CarPlans, carMount } from './car-mount.ts'
import { devMount } from './dev-mount.ts'
import type { Entry } from './directory.ts'
import { Fs, type Mount } from './fs.ts'
import { TreeHealthService } from './health.ts'
import { kegMount, versionAt } from './keg-mount.ts'
import { Kegs } from './kegs.ts'
import { censusOf } from './leaves.ts'
import { MountTable } from './mount-table.ts'
import { Mountless } from './mountless.ts'
import { Namespace } from './namespace.ts'
import { netMount } from './net-mount.ts'
import { Past } from './past.ts'
import { splitPath } from './path.ts'
import { Placement } from './placement.ts'
import { PlacementMember } from './placement-member.ts'
import { type Keeper, weightOf } from './placement-plan.ts'
import { type ProcSource, procMount } from './proc-mount.ts'
import type { SharedTree } from './shared-tree.ts'
import { Tree } from './tree.ts'
import { TreeKeeper } from './tree-keeper.ts'
import { TreeSweep } from './tree-sweep.ts'

export interface FilesOptions {
  self: NodeId
  device: DeviceId
  clock: Clock
  hasher: Hasher
  signer: Signer
  random: Random
  log: LogSink
  store: LogStore
  rpc: RpcNode
  membership: Membership
  groups: Groups
  blocks: Blocks
  /** How well this node can keep something now. */
  own(): Pick<PeerRow, 'state' | 'storage'>
  /** Files of /bin, by path below it. */
  builtin: Readonly<Record<string, string>>
  node(): Promise<NodeInfo>
  processes: ProcSource & { owner(): JournalOwner }
  arrival: Arrival
  onTree(head: TreeHead): void
  /** This node leads that keg. */
  publishHome(keg: Kid): void
  /** Nodes that may lead it. */
  homesOf(keg: Kid): Promise<readonly NodeId[]>
  /** Something that people should know. */
  onNotice(text: string): void
  /** This node now holds a file with that root. */
  onWritten(cid: string): void
  /** Looks how much room there is on this node's disk, unless that is known since so many ms. */
  lookForRoom(ms: number): Promise<void>
}

export class Files {
  readonly #options: FilesOptions
  readonly #tree: Tree
  readonly #cars: CarPlans
  readonly #keeper: TreeKeeper
  readonly #sweep: TreeSweep
  readonly #pins: Pins
  readonly #placement: Placement
  readonly #member: PlacementMember
  readonly #kegs: Kegs
  readonly namespace: Namespace
  readonly past: Past
  readonly mounts: MountTable
  readonly health: TreeHealthService
  readonly fs: Fs

  constructor(options: FilesOptions) {
    this.#options = options
    const { rpc, membership, blocks, clock, processes, self, device } = options
    const tree = new Tree(blocks)
    this.#tree = tree
    const breathe = () => new Promise<void>((resolve) => clock.setTimer(resolve, 0, 'breathe'))
    this.#cars = new CarPlans({ tree, blocks, options: {}, breathe })
    const forgotten = (kid: Kid, roots: string[], soon: boolean) => {
      this.#sweep.forgotten(kid, roots, soon)
      rpc.noteAll('tree.forgotten', { tree: kid, roots, soon })
    }
    this.#keeper = new TreeKeeper({
      ...options,
      tree,
      onHead: (head) => {
        this.#placement.led(head.tree)
        this.#kegs.led(head)
      },
      onFollow: (keg) => this.#kegs.unled(keg),
      onUnled: (kid) => this.#placement.unled(kid),
      onRetired: (kid) => forgotten(kid, [], true),
      elsewhere: (kid, leader, relieve) => this.#member.elsewhere(kid, leader, relieve),
      placing: (kid, change) => this.#placement.begin(kid, change),
      hasRoom: (id) => (id === self ? options.own().storage : membership.row(id)?.storage) !== 'exhausted',
      onFull: () => options.lookForRoom(STORAGE_FULL_MS),
      onForgotten: (kid, versions, soon) => {
        forgotten(
          kid,
          versions.map(({ root }) => root),
          soon,
        )
      },
      onDismissed: (kid, roots) => {
        this.#placement.forget(kid)
        this.#sweep.surplus(kid, roots)
      },
    })
    const keeper = this.#keeper
    this.#pins = new Pins(options.store, options.log)
    const full = () => ['exhausted', 'full'].includes(options.own().storage)
    const holder = new BlockHolder({
      ...options,
      pins: this.#pins,
      full,
      keeps: (kid) => keeper.keeps(kid),
      leaderOf: (kid, keg, signal) => this.#kegs.leaderOf(kid, keg, signal),
      absorbed: (kid, keg) => this.#kegs.absorbed(kid, keg),
      onReleased: () => this.#sweep.released(),
    })
    this.#placement = new Placement({
      ...options,
      holder,
      keepers: () => this.#keepers(),
      led: (kid) => keeper.ledTree(kid),
      roots: (kid) => keeper.roots(kid),
      members: (kid) => keeper.members(kid),
      onUnused: (kid) => forgotten(kid, [], true),
      confirm: (kid) => keeper.confirm(kid),
      census: (roots) => censusOf({ tree, blocks, breathe }, roots),
      breathe,
    })
    this.#member = new PlacementMember({
      ...options,
      holder,
      placed: (peer, kid, cids, relieve) => this.#placement.placed(peer, kid, cids, relieve),
    })
    this.#sweep = new TreeSweep({
      ...options,
      onFreed: () => void options.lookForRoom(0),
      keeper,
      holder,
      pins: this.#pins,
      full,
      relieve: (kid) => this.#member.relieve(kid),
      placedElsewhere: (kid, cids) => this.#member.placedElsewhere(kid, cids),
      needs: (kid, cids) => this.#placement.needs(self, kid, cids),
      processes: () => processes.owner(),
      remembered: () => this.#kegs.holdAgain(),
    })
    blocks.whenFull(() => this.#sweep.makeRoom())
    const kegs = new Kegs({
      ...options,
      tree,
      keeper,
      onChange: (keg, head, notice) => {
        if (keg === undefined) options.onTree(head)
        this.fs.treeChanged()
        if (notice) options.onNotice(notice)
      },
    })
    this.#kegs = kegs
    const mountless = new Mountless()
    this.namespace = new Namespace({ kegs, tree, mountless })
    const { namespace } = this
    this.past = new Past({ ...options, kegs, namespace, tree })
    this.mounts = new MountTable({ ...options, kegs, keeper, tree, mountless })
    this.fs = new Fs({
      ...options,
      tree,
      namespace,
      mounts: new Map(Object.entries(this.#mounts())),
      label: shortNode(self),
    })
    const nodes = () => {
      const others = membership.linked().flatMap((id) => {
        const row = membership.row(id)
        return row ? [{ id, device: row.device as DeviceId }] : []
      })
      return [{ id: self, device }, ...others]
    }
    this.health = new TreeHealthService({
      ...{ ...options, tree, kegs, namespace, keeper, nodes },
      review: (kid) => this.#placement.review(kid, 'all'),
    })
    rpc.onNote('tree.forgotten', (_peer, { tree: kid, roots, soon }) => this.#sweep.forgotten(kid, roots, soon))
  }

  /** What journals of trees mean. */
  get owner(): JournalOwner {
    return this.#keeper.owner
  }

  /** `/`. */
  get shared(): SharedTree {
    return this.#kegs.root
  }

  /** Resolves when files can be read and written; the journals have to be there for what follows. */
  async start(): Promise<void> {
    await this.#pins.load()
    return this.#kegs.start()
  }

  /** The journals are read. */
  started(): void {
    this.#kegs.recall()
    void this.#sweep.start()
  }

  close(): void {
    this.#sweep.close()
    this.#placement.close()
    this.#kegs.close()
  }

  /** Of a directory, or one of a version below /keg: the CID that other IPFS tools give it. @throws {OsError} EINVAL. */
  async plainCid(path: string, signal: AbortSignal): Promise<string> {
    const entry = await this.#entryAt(splitPath(path), signal)
    if (!entry) throw new OsError('EINVAL', `${path} is made when it is read`)
    return (await this.#cars.of(entry, signal)).root
  }

  /** Every node that could keep something now, and how much of what is placed it should get. */
  #keepers(): Keeper[] {
    const { self, device, own, membership } = this.#options
    const others = membership.rows().filter(mayKeep)
    const weigh = (row: Pick<PeerRow, 'state' | 'storage' | 'knownMs'>) => weightOf(row)
    return [
      { id: self, device, weight: weigh({ ...own(), knownMs: Number.POSITIVE_INFINITY }) },
      ...others.map((row) => ({ id: row.id as NodeId, device: row.device as DeviceId, weight: weigh(row) })),
    ]
  }

  /** What stands in the tree, or below /keg in a version of it; undefined for nothing. */
  async #entryAt([first, ...rest]: readonly string[], signal?: AbortSignal): Promise<Entry | undefined> {
    // What a mount does is short, and nobody cancels it.
    const until = signal ?? new AbortController().signal
    const names = first === undefined ? [] : [first, ...rest]
    if (first !== 'keg') return (await this.namespace.resolve(names, { last: true }, until)).entry
    const [version, ...inner] = rest
    if (version === undefined) return undefined
    const { root } = await versionAt({ kegs: this.#kegs, mounts: this.mounts, past: this.past }, version, until)
    return (await this.#tree.resolve({ root, options: { signal: until } }, inner, { last: true })).entry
  }

  #mounts(): Record<(typeof MOUNTS)[number], Mount> {
    const { blocks, random, builtin, membership, node, processes } = this.#options
    const tree = this.#tree
    return {
      bin: builtinMount(builtin, blocks),
      car: carMount(this.#cars, (names) => this.#entryAt(names)),
      dev: devMount(random),
      keg: kegMount({ kegs: this.#kegs, mounts: this.mounts, past: this.past, tree, blocks }),
      net: netMount({ self: node, peers: async () => membership.rows() }),
      proc: procMount(processes),
    }
  }
}
