// Which tree of a keg is used, and who leads it, as far as this node knows. Above: shared-tree.ts, which reads and changes
// it, and kegs.ts, which hands it what others say. Below: tree-keeper.ts (trees whose journals are kept here),
// tree-meeting.ts (what is done where trees meet), tree-claims.ts, tree-memory.ts, rpc, membership.
//
// A tree is kept by the members of its journal, one of which leads it; all others ask the leader. For `/` every node begins
// with a tree that nobody has written yet, which counts for nothing where another is; any other keg begins with a tree that
// has its name. When trees meet, the older one stays, and the younger one is merged into it and forgotten.
import { errorLine } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import { mayKeep } from '../journal/liveness.ts'
import * as limits from '../limits.ts'
import type { Arrival } from '../membership/arrival.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import { FIRST_DIRECTORIES, type Tree } from './tree.ts'
import { TreeArrival } from './tree-arrival.ts'
import { TreeBranch } from './tree-branch.ts'
import { TreeCalls } from './tree-calls.ts'
import { TreeClaims } from './tree-claims.ts'
import { ofKeg, precedes } from './tree-head.ts'
import { TreeHearsay } from './tree-hearsay.ts'
import type { TreeKeeper } from './tree-keeper.ts'
import { TreeMeeting } from './tree-meeting.ts'
import { TreeMemory } from './tree-memory.ts'
import { TreeNews } from './tree-news.ts'
import { UnbornTree } from './tree-unborn.ts'

export interface TreeInUseOptions {
  /** Undefined for `/`. */
  keg?: Kid | undefined
  tree: Tree
  keeper: TreeKeeper
  store: LogStore
  rpc: RpcNode
  membership: Membership
  clock: Clock
  log: LogSink
  arrival: Arrival
  /** Tells of nodes that may lead a keg that nobody here knows of. */
  homesOf(keg: Kid): Promise<readonly NodeId[]>
  /** It has changed, or another node leads it. */
  onChange(head: TreeHead, notice?: string): void
}

export class TreeInUse {
  readonly #options: TreeInUseOptions
  readonly #claims = new TreeClaims(limits.MAX_TREE_CLAIMS)
  readonly news: TreeNews
  readonly #memory: TreeMemory
  readonly calls: TreeCalls
  readonly #hearsay: TreeHearsay
  /** For `/`. */
  readonly #arrival: TreeArrival | undefined
  readonly name: string
  readonly branch: TreeBranch
  readonly #meeting: TreeMeeting
  /** Our own tree that nobody has written: given up when a written one is known. */
  readonly unborn: UnbornTree
  /** The newest head that was used here. */
  #known!: TreeHead
  #used: { tree: Kid; home: NodeId } | undefined
  /** What this node has told of its own. */
  #told: TreeHead | undefined
  /** Since when nobody leads the tree, as far as is known. */
  #orphanedMs = 0
  /** The tree in use when whoever led it was lost. */
  #orphan: TreeHead | undefined
  /** Since when others are believed that there is a tree that this node does not find. */
  #believeFromMs = 0
  /** When others were asked for the keg. */
  #soughtMs = Number.NEGATIVE_INFINITY

  constructor(options: TreeInUseOptions) {
    this.#options = options
    const { rpc, membership, keeper, store, tree, clock, log, keg } = options
    const name = nameOf(keg)
    this.name = name
    this.news = new TreeNews(clock)
    this.#arrival = keg ? undefined : new TreeArrival({ ...options, news: this.news })
    const record = keg ? `tree ${keg}` : 'tree'
    this.#memory = new TreeMemory({
      store,
      record,
      copies: keeper.copies,
      news: this.news,
      log,
      known: () => this.#known,
    })
    this.branch = new TreeBranch({
      ...options,
      name,
      memory: this.#memory,
      news: this.news,
      known: () => this.#known,
      led: () => this.best() !== undefined,
    })
    this.unborn = new UnbornTree({
      keeper: options.keeper,
      branch: this.branch,
      renamed: (before, now) => {
        if (this.#known.tree === before.tree) this.#known = now
        this.#claimOwn()
        this.#tell(now)
        this.#evaluate()
      },
    })
    const answered = (home: NodeId, head: TreeHead | null) => this.#answered(home, head)
    this.calls = new TreeCalls({ ...options, answered })
    this.#hearsay = new TreeHearsay({ ...options, answered })
    this.#meeting = new TreeMeeting({
      name,
      self: rpc.self,
      tree,
      keeper,
      news: this.news,
      log,
      best: () => this.best(),
      oldest: () => this.#oldest(),
      led: (kid) => this.#claims.best(kid) !== undefined,
      accompanied: () => membership.rows().some(mayKeep),
      calls: this.calls,
      changed: () => {
        this.#claimOwn()
        this.#evaluate()
      },
      notice: (text) => options.onChange(this.#known, text),
    })
  }

  /** The newest head that was used here. */
  get known(): TreeHead {
    return this.#known
  }

  /** Since when nobody leads the tree, as far as is known. */
  get orphanedMs(): number {
    return this.#orphanedMs
  }

  /** This node has just come, and there may be a tree that it has not heard of. Once it has, there is nothing to wait for but that one. */
  get awaited(): boolean {
    return this.#arrival?.settled === false && this.#known.version === 0 && !this.#hearsay.written && !this.news.closed
  }

  async start(): Promise<void> {
    const { rpc, keeper, tree, clock, keg } = this.#options
    const { kid, bornMs } = keg ? { kid: keg, bornMs: 0 } : await keeper.name()
    const root = await tree.create(keg ? [] : FIRST_DIRECTORIES)
    const unborn = ofKeg({ tree: kid, bornMs, term: 0, version: 0, root, home: rpc.self }, keg)
    const recorded = await this.#memory.recorded()
    this.#known = recorded ?? unborn
    this.#orphanedMs = clock.nowMs()
    this.#believeFromMs = this.#orphanedMs
    if (!recorded && !keg) this.unborn.head = unborn
    this.#claimOwn()
    await this.#memory.copyDirectories()
    this.#arrival?.start()
    this.#evaluate()
    if (keg) this.#seek(keg)
  }

  /** There is nobody (else) to wait for. */
  settle(): void {
    this.#arrival?.settle()
  }

  /** The journals are read: a tree that is kept here is known, also when its head was not recorded before this tab was closed. */
  recall(): void {
    if (this.#known.version > 0) return
    const { keeper, keg, onChange } = this.#options
    const head = keeper.recall(keg)
    if (!head) return
    this.unborn.head = undefined
    this.#claimOwn()
    this.#known = head
    this.settle()
    onChange(head)
    this.#evaluate()
    this.#tellNewcomers(head)
  }

  /** Who leads that tree of the keg, as far as is known here. */
  leaderOf(tree: Kid): NodeId | undefined {
    return this.#claims.best(tree)?.home
  }

  /** Another node is linked. */
  linked(peer: NodeId): void {
    const { rpc, keg } = this.#options
    // The oldest as well: whoever leads the one in use has to hear of it.
    const heads = new Set([this.best(), this.#oldest(), this.#claims.get(rpc.self)])
    for (const head of heads) if (head && head.home !== peer) rpc.note(peer, 'tree.head', head)
    // Nobody leads it at the moment, or the peer does as far as is known here.
    const told = [...heads].some((head) => head && head.version > 0 && head.home !== peer)
    if (this.#known.version > 0 && !told) rpc.note(peer, 'tree.known', ofKeg({ tree: this.#known.tree }, keg))
    if (this.#claims.get(peer)) this.#askAgain(peer)
    else if (keg && !this.best()) this.#hearsay.ask(peer)
  }

  left(peer: NodeId): void {
    this.#hearsay.left(peer)
    this.#arrival?.left(peer)
    if (this.#claims.drop(peer)) this.#evaluate()
  }

  /** A peer led that tree, and does not know any longer who does. */
  resigned(peer: NodeId, tree: Kid): void {
    if (this.#claims.get(peer)?.tree === tree && this.#claims.drop(peer)) this.#evaluate()
  }

  /** For the keeper: a tree that this node leads, as it is now. */
  led(head: TreeHead): void {
    this.#claimOwn()
    // Whoever leads another one has to hear of the oldest.
    if ([this.best()?.tree, this.#oldest()?.tree].includes(head.tree)) this.#tell(head)
    this.#evaluate()
  }

  /** For the keeper: this node does not lead one of its trees any longer. */
  unled(): void {
    this.#claimOwn()
    this.#evaluate()
  }

  close(): void {
    this.news.close()
  }

  // --- who leads -------------------------------------------------------------------------------------------

  /** The tree that is asked for, or the one that this node leads and others should know, when it is certain that it does. */
  async ownHead(peer: NodeId, tree: Kid | null): Promise<TreeHead | null> {
    const { keeper, rpc, keg } = this.#options
    const asked = tree === null ? undefined : keeper.head(tree)
    const own = asked && asked.keg === keg ? asked : this.#claims.get(rpc.self)
    if (!own) {
      const best = this.best()
      if (keg && best && best.home !== peer) rpc.note(peer, 'tree.head', best)
      return null
    }
    return own.version === 0 ? own : keeper.confirm(own.tree)
  }

  /** A peer knows of a tree that was written. */
  knows(peer: NodeId): void {
    this.#hearsay.knows(peer)
    this.#arrival?.said(peer)
    this.news.wake()
  }

  /** The leader's own word, or hearsay: in a large cluster not everybody is the leader's neighbour. */
  heard(peer: NodeId, head: TreeHead): void {
    if (head.version > 0) this.knows(peer)
    else this.#arrival?.said(peer)
    if (head.home === peer) {
      this.#claimed(head)
      return this.#tellOfOlder(peer, head)
    }
    const { rpc } = this.#options
    const oldest = this.#oldest()
    if (head.home === rpc.self || this.#claims.get(head.home) || (oldest && !precedes(head, oldest))) return
    this.#hearsay.ask(head.home)
  }

  /** It brings its tree into an older one that is led here, once it knows of that: it may have given it up while this node stood still. */
  #tellOfOlder(peer: NodeId, head: TreeHead): void {
    const { rpc } = this.#options
    const oldest = this.#oldest()
    const written = oldest !== undefined && oldest.version > 0 && head.version > 0
    if (written && oldest.home === rpc.self && precedes(oldest, head)) rpc.note(peer, 'tree.head', oldest)
  }

  /**
   * Who leads the tree to use: the one in use as long as somebody leads it, so that what was written and read here does
   * not vanish for a moment when trees meet; then the oldest.
   */
  best(): TreeHead | undefined {
    const used = this.#used && this.#claims.best(this.#used.tree)
    if (used && used.version > 0) return used
    const oldest = this.#oldest()
    return oldest && this.#lacksOrphan(oldest) ? undefined : oldest
  }

  /** Whoever led the tree in use was lost, and another is elected, mostly: a younger tree lacks what was written there. */
  #lacksOrphan(head: TreeHead): boolean {
    if (!this.#orphan || head.tree === this.#orphan.tree || precedes(head, this.#orphan)) return false
    return this.#options.clock.nowMs() - this.#orphanedMs < limits.TREE_BRANCH_MS
  }

  /** The tree to read and to change now, if there is one: not its own unwritten one where others have another. */
  usable(): TreeHead | undefined {
    if (!this.blind()) return this.best()
    this.#hearsay.askAgain()
    if (this.#options.keg) this.#seek(this.#options.keg)
    return undefined
  }

  /** Whoever is here may know who leads a keg, and so may the directory. */
  #seek(keg: Kid): void {
    const { membership, homesOf, log, rpc, clock } = this.#options
    if (this.best() || clock.nowMs() - this.#soughtMs < limits.TREE_ASK_AGAIN_MS) return
    this.#soughtMs = clock.nowMs()
    for (const peer of membership.linked()) this.#hearsay.ask(peer)
    homesOf(keg)
      .then((homes) => {
        for (const home of homes) if (home !== rpc.self) this.#hearsay.ask(home)
      })
      .catch((error: unknown) => log.log('debug', 'fs', `nobody knows who leads ${this.name}: ${errorLine(error)}`))
  }

  /** Others have a tree that was written, and this node, which has just come, does not find who leads it. */
  blind(): boolean {
    if (this.#known.version > 0) return false
    if (this.#options.keg) return !this.best()
    if (!this.#hearsay.written) return false
    const bootedMs = this.#options.clock.nowMs() - this.#believeFromMs
    if (bootedMs >= (this.#hearsay.knownHere ? limits.TREE_BELIEVE_HERE_MS : limits.TREE_BELIEVE_MS)) return false
    return (this.best()?.version ?? 0) === 0
  }

  /** Where all trees end up. One that nobody has written counts for nothing once a written one was known. */
  #oldest(): TreeHead | undefined {
    const oldest = this.#claims.best()
    return oldest && (oldest.version > 0 || this.#known.version === 0) ? oldest : undefined
  }

  /** Of the trees that this node leads, or of its unborn one, the one that others should know. */
  #claimOwn(): void {
    const { keeper, rpc, keg } = this.#options
    const [first, ...others] = keeper.heads(keg).filter(({ tree }) => !this.#meeting.aside(tree))
    const own = first ? others.reduce((best, head) => (precedes(head, best) ? head : best), first) : this.unborn.head
    const before = this.#claims.get(rpc.self)
    if (own) this.#claims.set(own)
    else this.#claims.drop(rpc.self)
    // Nobody believes in one that was never written once a written one is known.
    if (!before || before.version === 0 || before.tree === own?.tree) return
    rpc.noteAll('tree.resigned', ofKeg({ tree: before.tree }, keg))
    this.#told = undefined
  }

  /** This node's own word to everybody, once. */
  #tell(head: TreeHead): void {
    const told = this.#told
    if (told?.tree === head.tree && told.term === head.term && told.version === head.version) return
    this.#told = head
    this.#options.rpc.noteAll('tree.head', head)
  }

  /**
   * Another is used from now on. Whoever leads it tells its neighbours itself: in a full mesh these are all. In a larger
   * cluster everybody has half as many at least, and passes it on.
   */
  #pass(best: TreeHead): void {
    const { rpc, membership } = this.#options
    if (best.home === rpc.self) this.#tell(best)
    else if (membership.peers().length >= limits.MAX_MESH_PEERS / 2) rpc.noteAll('tree.head', best)
  }

  #claimed(head: TreeHead): void {
    // Of a tree that is kept here, this node knows better than whoever says that it leads it.
    if (head.keg !== this.#options.keg || this.#options.keeper.contradicts(head)) return
    this.#claims.set(head)
    this.#evaluate()
  }

  /** What it led when its link broke, it may have given up meanwhile, and its word of that was lost with the link. */
  #askAgain(peer: NodeId): void {
    const { rpc, log, keg } = this.#options
    rpc
      .call(peer, 'tree.head', ofKeg({ tree: null }, keg))
      .then((head) => this.#answered(peer, head))
      .catch((error: unknown) =>
        log.log('debug', 'fs', `${shortNode(peer)} does not say what it leads: ${errorLine(error)}`),
      )
  }

  #answered(home: NodeId, head: TreeHead | null): void {
    if (this.news.closed) return
    if (head?.home === home) return this.#claimed(head)
    if (this.#claims.drop(home)) this.#evaluate()
  }

  /** A link that broke a moment ago may come back: membership decides who is gone. */
  unreachable(home: NodeId): void {
    const { membership, rpc } = this.#options
    if (home !== rpc.self && !membership.has(home) && this.#claims.drop(home)) this.#evaluate()
  }

  #evaluate(): void {
    if (this.news.closed) return
    const { keeper, keg } = this.#options
    this.#meeting.review()
    if (this.#used && !this.#claims.best(this.#used.tree)) this.#orphaned()
    const best = this.best()
    if (!best) {
      // A keg of which nothing is known here is nothing to go on with.
      if (!keg || this.#known.version > 0) this.branch.adoptLater()
      return this.news.wake()
    }
    this.branch.relax()
    if (best.version > 0 && this.unborn.head) {
      this.unborn.head = undefined
      this.#claimOwn()
    }
    const { tree, home } = best
    const news = this.#used?.tree !== tree || this.#used.home !== home
    this.#used = { tree, home }
    this.#orphan = undefined
    if (news) this.#pass(best)
    const changed = this.#adopt(best)
    if (news || changed) this.#options.onChange(best)
    if (best.version > 0) this.settle()
    const oldest = this.#oldest()
    for (const own of keeper.heads(keg))
      if (oldest && own.tree !== oldest.tree) this.#background(this.#meeting.merge(own.tree))
    if (news) this.news.wake()
    // With that change it may contain another that is kept here.
    if (!news && !changed) return
    for (const kept of keeper.kept()) {
      if (kept !== tree && keeper.kegOf(kept) === (keg ?? null)) this.#background(this.#meeting.tidy(kept))
    }
  }

  /** Nobody leads the tree in use any more. */
  #orphaned(): void {
    const { clock } = this.#options
    this.#used = undefined
    this.#orphanedMs = clock.nowMs()
    if (this.#known.version === 0) return
    this.#orphan = this.#known
    this.news.timer(() => this.#evaluate(), limits.TREE_BRANCH_MS + 1, 'tree orphaned')
  }

  /** @returns whether it is another than before. */
  #adopt(head: TreeHead): boolean {
    const same = head.root === this.#known.root && head.version === this.#known.version
    const first = this.#known.version === 0 && head.version > 0
    this.#known = head
    if (first) this.news.timer(() => this.#tellNewcomers(head), limits.TREE_TELL_MS, 'tree newcomers')
    if (same) return false
    this.#background(this.#memory.copyDirectories())
    if (head.version > 0) this.#memory.recordSoon()
    return true
  }

  /** Whoever came together with this node may not have met anybody else, and has told nothing since. */
  #tellNewcomers({ tree }: TreeHead): void {
    const { membership, rpc, keg } = this.#options
    for (const peer of membership.linked()) {
      if (!this.#hearsay.isKnownTo(peer)) rpc.note(peer, 'tree.known', ofKeg({ tree }, keg))
    }
  }

  /** What nobody waits for. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.news.closed) this.#options.log.log('error', 'fs', `${this.name}: ${errorLine(error)}`)
    })
  }
}

/** What a keg is called to people. */
function nameOf(keg: Kid | undefined): string {
  return keg ? `keg ${shortKid(keg)}` : '/'
}
