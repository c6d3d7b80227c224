// All kegs that this node knows: `/`, those that are mounted somewhere and were looked into, and those whose journals are
// kept here. Hands each what others say of its trees. Above: files.ts, namespace.ts. Below: shared-tree.ts, tree-keeper.ts.
import { errorLine, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid } from '../../base/ids.ts'
import { type BeginOptions, beginning } from '../journal/beginnings.ts'
import { onSilent } from '../journal/liveness.ts'
import { MAX_KEGS } from '../limits.ts'
import { unfit } from '../membership/member.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import { SharedTree, type SharedTreeOptions } from './shared-tree.ts'
import type { TreeView } from './tree.ts'
import { versionPage } from './tree-calls.ts'

export interface KegsOptions extends Omit<SharedTreeOptions, 'keg' | 'onChange'> {
  /** @param keg undefined for `/`. */
  onChange(keg: Kid | undefined, head: TreeHead, notice?: string): void
  /** This node leads a keg. */
  publishHome(keg: Kid): void
}

interface Opened {
  shared: SharedTree
  started: Promise<void>
  ready: boolean
  /** Callers that look into it. */
  users: number
}

export class Kegs {
  readonly #options: KegsOptions
  readonly root: SharedTree
  readonly #others = new Map<Kid, Opened>()
  /** Kegs of which this node leads a tree. */
  readonly #led = new Set<Kid>()
  #closed = false

  constructor(options: KegsOptions) {
    this.#options = options
    this.root = this.#make(undefined)
  }

  async start(): Promise<void> {
    const { rpc, membership, keeper, clock } = this.#options
    rpc.handle('tree.head', async ({ tree, keg }, { peer }) => {
      const shared = keg && this.#keeps(keg) ? await this.open(keg) : this.#known(keg)
      return (await shared?.inUse.ownHead(peer, tree)) ?? null
    })
    rpc.handle('tree.apply', async (args, { peer }) => {
      const keg = keeper.kegOf(args.tree) ?? undefined
      return (keg ? await this.open(keg) : this.root).applyFor(peer, args)
    })
    rpc.handle('tree.versions', async ({ tree, before }) => versionPage(keeper, tree, before))
    rpc.handle('tree.stored', async ({ tree }) => {
      const stored = keeper.stored(tree)
      if (!stored) return null
      const { root, version, once } = stored
      return { root, version, once }
    })
    rpc.handle('tree.absorbed', async ({ tree, other }) => keeper.absorbed(tree, other) ?? null)
    rpc.onNote('tree.head', (peer, head) => this.#known(head.keg)?.inUse.heard(peer, head))
    rpc.onNote('tree.known', (peer, { keg }) => this.#known(keg)?.inUse.knows(peer))
    rpc.onNote('tree.resigned', (peer, { tree, keg }) => this.#known(keg)?.inUse.resigned(peer, tree))
    membership.onLink((peer) => {
      for (const shared of this.#ready()) shared.inUse.linked(peer)
    })
    membership.events.on((event) => {
      if (event.type === 'left') for (const shared of this.#ready()) shared.inUse.left(event.peer)
      if (event.type === 'changed' && !unfit(event.state))
        for (const shared of this.#ready()) shared.inUse.answers(event.peer)
    })
    onSilent(membership, clock, (peer) => {
      for (const shared of this.#ready()) shared.inUse.silent(peer)
    })
    await this.root.inUse.start()
  }

  /** The journals are read: what is kept here is known. */
  recall(): void {
    const { keeper } = this.#options
    this.root.inUse.recall()
    const kept = new Set(keeper.kept().flatMap((tree) => keeper.kegOf(tree) ?? []))
    for (const keg of kept) this.#look(keg, (shared) => shared.inUse.recall())
  }

  /** Kegs that are known here beside `/`. */
  get names(): Kid[] {
    return [...this.#others.keys()]
  }

  /** The keg, to read and to change it. @throws {OsError} EMFILE when this node looks after too many. */
  async open(keg: Kid): Promise<SharedTree> {
    const { shared, started } = this.#opened(keg)
    await started
    return shared
  }

  /** The keg as it is now, to look around in. @throws {OsError} EHOSTUNREACH, EMFILE. */
  async view(keg: Kid, signal: AbortSignal): Promise<TreeView> {
    const { root, home } = await this.head(keg, signal)
    return { root, options: { signal, hints: [home] } }
  }

  /** The head of a keg. One that nobody knows is forgotten again. @throws {OsError} EHOSTUNREACH, EMFILE. */
  async head(keg: Kid, signal: AbortSignal): Promise<TreeHead> {
    const opened = this.#opened(keg)
    opened.users++
    try {
      await opened.started
      return await opened.shared.head(signal)
    } finally {
      opened.users--
      if (opened.users === 0 && opened.ready && opened.shared.version === 0 && this.#others.get(keg) === opened) {
        this.#others.delete(keg)
        opened.shared.inUse.close()
      }
    }
  }

  /** Forgets a keg that this node leads, everywhere. */
  async discard(keg: Kid): Promise<void> {
    await this.#options.keeper.retire(keg)
    this.#others.get(keg)?.shared.inUse.close()
    this.#others.delete(keg)
    this.#led.delete(keg)
  }

  /** A keg of its own, empty, that this node leads. @throws {OsError} ETIMEDOUT, ENOSPC, EMFILE. */
  async create(signal: AbortSignal): Promise<Kid> {
    const { keeper, tree, clock } = this.#options
    const root = await tree.create([])
    const begin = async (options: BeginOptions) => {
      const { kid, bornMs } = await keeper.name()
      await keeper.begin({ t: 'tree', kid, bornMs, root, version: 1, absorbed: [], base: null, keg: kid }, options)
      return kid
    }
    const kid = await beginning(clock, begin, signal)
    try {
      await this.open(kid)
    } catch (error) {
      await this.discard(kid)
      throw error
    }
    return kid
  }

  /** For the keeper: a tree that this node leads, as it is now. */
  led(head: TreeHead): void {
    const { keg } = head
    if (keg === undefined) return this.root.inUse.led(head)
    this.#look(keg, (shared) => shared.inUse.led(head))
    if (this.#led.has(keg) || this.#closed) return
    this.#led.add(keg)
    this.#options.publishHome(keg)
  }

  /** For the keeper: this node keeps a tree of that keg (of `/`) and does not lead it, or no longer. */
  unled(keg: Kid | undefined): void {
    if (keg === undefined) return this.root.inUse.unled()
    this.#led.delete(keg)
    this.#look(keg, (shared) => shared.inUse.unled())
  }

  /** Makes sure of what this node remembers of all that it looks after. @throws {OsError} */
  async holdAgain(): Promise<void> {
    await this.root.holdAgain()
    for (const [keg, { shared, ready }] of this.#others) {
      if (!ready) continue
      // It is not owed: whoever keeps it has it.
      await shared.holdAgain().catch((error: unknown) => {
        this.#options.log.log('debug', 'fs', `not all of keg ${shortKid(keg)} is remembered: ${errorLine(error)}`)
      })
    }
  }

  /** Who leads that tree of a keg (of `/`), as far as can be known. @throws {OsError} EHOSTUNREACH, EMFILE. */
  async leaderOf(tree: Kid, keg: Kid | undefined, signal?: AbortSignal): Promise<NodeId | undefined> {
    if (keg === undefined) return this.root.inUse.leaderOf(tree)
    await this.head(keg, signal ?? new AbortController().signal)
    return this.#known(keg)?.inUse.leaderOf(tree)
  }

  /** The tree that is used for a keg (for `/`), if it says that it has taken that one in. @throws {OsError} EHOSTUNREACH, EMFILE. */
  async absorbed(tree: Kid, keg: Kid | undefined): Promise<Kid | undefined> {
    const shared = keg === undefined ? this.root : await this.open(keg)
    return shared.absorbed(tree)
  }

  close(): void {
    this.#closed = true
    for (const shared of this.#all()) shared.inUse.close()
  }

  #all(): SharedTree[] {
    return [this.root, ...[...this.#others.values()].map(({ shared }) => shared)]
  }

  /** Those that know what they begin with: the others look for themselves when they do. */
  #ready(): SharedTree[] {
    return [this.root, ...[...this.#others.values()].filter(({ ready }) => ready).map(({ shared }) => shared)]
  }

  /** Whether a tree of it is kept here. */
  #keeps(keg: Kid): boolean {
    const { keeper } = this.#options
    return keeper.kept().some((tree) => keeper.kegOf(tree) === keg)
  }

  /** Of those that were only looked into, the oldest is forgotten. @throws {OsError} EMFILE when all are in use. */
  #makeRoom(): void {
    const visited = [...this.#others].filter(([keg]) => !this.#keeps(keg))
    if (visited.length < MAX_KEGS) return
    const idle = visited.find(([, { users, ready }]) => users === 0 && ready)
    if (!idle) throw tooMany()
    this.#others.delete(idle[0])
    idle[1].shared.inUse.close()
  }

  /** @param keg undefined for `/`. */
  #known(keg: Kid | undefined): SharedTree | undefined {
    if (keg === undefined) return this.root
    const known = this.#others.get(keg)
    return known?.ready ? known.shared : undefined
  }

  #opened(keg: Kid): Opened {
    const known = this.#others.get(keg)
    if (known) return known
    if (this.#closed) throw new OsError('ECANCELED', 'this tab is closing')
    if (!this.#keeps(keg)) this.#makeRoom()
    const shared = this.#make(keg)
    const started = shared.inUse.start().then(() => {
      opened.ready = true
      shared.inUse.recall()
    })
    const opened: Opened = { shared, started, ready: false, users: 0 }
    this.#others.set(keg, opened)
    started.catch(() => this.#others.delete(keg)) // told to whoever opens it
    return opened
  }

  /** What the keeper tells of a keg that this node has not looked into yet is told when it has. */
  #look(keg: Kid, tell: (shared: SharedTree) => void): void {
    if (this.#closed) return
    const known = this.#others.get(keg)
    if (known?.ready) return tell(known.shared)
    this.open(keg)
      .then(tell)
      .catch((error: unknown) => {
        this.#options.log.log('error', 'fs', `keg ${shortKid(keg)} cannot be looked after: ${errorLine(error)}`)
      })
  }

  #make(keg: Kid | undefined): SharedTree {
    const { onChange } = this.#options
    return new SharedTree({
      ...this.#options,
      keg,
      onChange: (head, notice) => onChange(keg, head, notice),
    })
  }
}

function tooMany(): OsError {
  return new OsError('EMFILE', `${MAX_KEGS} kegs are being looked into at once: try again in a moment`)
}
