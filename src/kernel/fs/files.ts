// All about files, put together: the tree and its past, what is mounted over it, how well it is kept. Above: kernel.ts.
// Below: the other rooms of fs/.
import { OsError } from '../../base/errors.ts'
import { type DeviceId, type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import type { Random } from '../../ports/random.ts'
import type { MOUNTS } from '../../syscalls/mounts.ts'
import type { NodeInfo } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import type { Groups } from '../journal/groups.ts'
import type { JournalOwner } from '../journal/journal.ts'
import type { Arrival } from '../membership/arrival.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import { builtinMount } from './builtin-mount.ts'
import { CarPlans, carMount } from './car-mount.ts'
import { devMount } from './dev-mount.ts'
import type { Entry } from './directory.ts'
import { Fs, type Mount } from './fs.ts'
import { TreeHealthService } from './health.ts'
import { TreeHistory } from './history.ts'
import { kegMount } from './keg-mount.ts'
import { netMount } from './net-mount.ts'
import { splitPath } from './path.ts'
import { type ProcSource, procMount } from './proc-mount.ts'
import { SharedTree } from './shared-tree.ts'
import { Tree } from './tree.ts'
import { TreeKeeper } from './tree-keeper.ts'
import { TreeSweep } from './tree-sweep.ts'

export interface FilesOptions {
  self: NodeId
  device: DeviceId
  clock: Clock
  hasher: Hasher
  random: Random
  log: LogSink
  store: LogStore
  rpc: RpcNode
  membership: Membership
  groups: Groups
  blocks: Blocks
  /** Files of /bin, by path below it. */
  builtin: Readonly<Record<string, string>>
  node(): Promise<NodeInfo>
  processes: ProcSource & { owner(): JournalOwner }
  arrival: Arrival
  onTree(head: TreeHead): void
  /** Something that people should know. */
  onNotice(text: string): void
  /** This node now holds a file with that root. */
  onWritten(cid: string): void
}

export class Files {
  readonly #options: FilesOptions
  readonly #tree: Tree
  readonly #cars: CarPlans
  readonly #keeper: TreeKeeper
  readonly #sweep: TreeSweep
  readonly shared: SharedTree
  readonly history: TreeHistory
  readonly health: TreeHealthService
  readonly fs: Fs

  constructor(options: FilesOptions) {
    this.#options = options
    const { rpc, membership, blocks, clock, processes, self, device } = options
    const tree = new Tree(blocks)
    this.#tree = tree
    const breathe = () => new Promise<void>((resolve) => clock.setTimer(resolve, 0, 'breathe'))
    this.#cars = new CarPlans({ tree, blocks, options: {}, breathe })
    this.#keeper = new TreeKeeper({
      ...options,
      tree,
      onHead: (head) => this.shared.led(head),
      onFollow: () => this.shared.unled(),
      onForgotten: (kid, versions, soon) => {
        const roots = versions.map(({ root }) => root)
        this.#sweep.forgotten(kid, roots, soon)
        rpc.noteAll('tree.forgotten', { tree: kid, roots, soon })
      },
    })
    const keeper = this.#keeper
    this.#sweep = new TreeSweep({
      ...options,
      keeper,
      processes: () => processes.owner(),
      remembered: () => this.shared.holdAgain(),
    })
    blocks.whenFull(() => this.#sweep.makeRoom())
    this.shared = new SharedTree({
      ...options,
      tree,
      keeper,
      onChange: (head, notice) => {
        options.onTree(head)
        this.fs.treeChanged()
        if (notice) options.onNotice(notice)
      },
    })
    const { shared } = this
    this.history = new TreeHistory({ shared, tree, clock })
    this.fs = new Fs({
      ...options,
      tree,
      shared,
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
    this.health = new TreeHealthService({ ...options, tree, shared, keeper, nodes })
    rpc.onNote('tree.forgotten', (_peer, { tree: kid, roots, soon }) => this.#sweep.forgotten(kid, roots, soon))
  }

  /** What journals of trees mean. */
  get owner(): JournalOwner {
    return this.#keeper.owner
  }

  /** Resolves when files can be read and written; the journals have to be there for what follows. */
  start(): Promise<void> {
    return this.shared.start()
  }

  /** The journals are read. */
  started(): void {
    void this.#sweep.start()
  }

  close(): void {
    this.#sweep.close()
    this.shared.close()
  }

  /** Of a directory, or one of a version below /keg: the CID that other IPFS tools give it. @throws {OsError} EINVAL. */
  async plainCid(path: string, signal: AbortSignal): Promise<string> {
    const entry = await this.#entryAt(splitPath(path), signal)
    if (!entry) throw new OsError('EINVAL', `${path} is made when it is read`)
    return (await this.#cars.of(entry, signal)).root
  }

  /** What stands in the tree, or below /keg in a version of it; undefined for nothing. */
  async #entryAt([first, ...rest]: readonly string[], signal?: AbortSignal): Promise<Entry | undefined> {
    // What a mount does is short, and nobody cancels it.
    const until = signal ?? new AbortController().signal
    if (first === 'keg') return rest.length > 0 ? this.history.entryAt(rest, until) : undefined
    const names = first === undefined ? [] : [first, ...rest]
    return (await this.#tree.resolve(await this.shared.view(until), names, { last: true })).entry
  }

  #mounts(): Record<(typeof MOUNTS)[number], Mount> {
    const { blocks, random, builtin, membership, node, processes } = this.#options
    const tree = this.#tree
    return {
      bin: builtinMount(builtin, blocks),
      car: carMount(this.#cars, (names) => this.#entryAt(names)),
      dev: devMount(random),
      keg: kegMount({ history: this.history, tree, blocks }),
      net: netMount({ self: node, peers: async () => membership.rows() }),
      proc: procMount(processes),
    }
  }
}
