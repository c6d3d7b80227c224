// Which tree of a keg is used, and who leads it, as far as this node knows. Above: shared-tree.ts, which reads and changes
// it, and kegs.ts, which hands it what others say. Below: tree-keeper.ts (trees whose journals are kept here),
// tree-meeting.ts (what is done where trees meet), tree-word.ts (what others are told), tree-claims.ts, tree-memory.ts, rpc, membership.
//
// A tree is kept by the members of its journal, one of which leads it; all others ask the leader. For `/` every node begins
// with a tree that nobody has written yet, which counts for nothing where another is; any other keg begins with a tree that
// has its name. When trees meet, the older one stays, and the younger one is merged into it and forgotten.
import { errorLine } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import { mayKeep } from '../journal/liveness.ts'
import * as limits from '../limits.ts'
import type { Arrival } from '../membership/arrival.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/bodies.ts'
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
import { TreeWord } from './tree-word.ts'

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
  /** Nodes whose claims were dropped because they answer nobody. */
  readonly #silent = new Set<NodeId>()
  readonly news: TreeNews
  readonly #memory: TreeMemory
  readonly calls: TreeCalls
  readonly #hearsay: TreeHearsay
  readonly #word: TreeWord
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
  /** Since when nobody leads the tree, as far as is known. */
  #orphanedMs = 0
  /** The tree in use when whoever led it was lost. */
  #orphan: TreeHead | undefined
  /** Since when others are believed that there is a tree that this node does not find. */
  #believeFromMs = 0
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
        this.#word.tell(now)
        this.#evaluate()
      },
    })
    const answered = (home: NodeId, head: TreeHead | null) => this.#answered(home, head)
    this.calls = new TreeCalls({ ...options, answered })
    this.#hearsay = new TreeHearsay({ ...options, answered })
    this.#word = new TreeWord(options)
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
    this.#seek()
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
    this.#tellNewcomers()
  }

  /** Who leads that tree of the keg, as far as is known here. */
  leaderOf(tree: Kid): NodeId | undefined {
    return this.#claims.best(tree)?.home
  }

  /** Another node is linked. */
  linked(peer: NodeId): void {
    const { rpc, keg } = this.#options
    // The oldest as well: whoever leads the one in use has to hear of it.
    this.#word.greet(peer, [this.best(), this.#oldest(), this.#claims.get(rpc.self)], this.#known)
    if (this.#claims.get(peer)) this.#hearsay.confirm(peer)
    else if (keg && !this.best()) this.#hearsay.ask(peer)
  }

  left(peer: NodeId): void {
    this.#silent.delete(peer)
    this.#hearsay.left(peer)
    this.#arrival?.left(peer)
    if (this.#claims.drop(peer)) this.#evaluate()
  }

  /** It is there and answers nobody, so that what it leads is led by nobody, or soon by another. */
  silent(peer: NodeId): void {
    if (!this.#claims.drop(peer)) return
    this.#silent.add(peer)
    this.#evaluate()
  }

  /** That node can answer: it may lead what it did when it fell silent. */
  answers(peer: NodeId): void {
    if (!this.#silent.delete(peer)) return
    this.linked(peer)
    this.#hearsay.ask(peer)
  }

  /** Whether what that node led is given up because it answers nobody. */
  isSilent(peer: NodeId): boolean {
    return this.#silent.has(peer)
  }

  /** A peer led that tree, and does not know any longer who does. */
  resigned(peer: NodeId, tree: Kid): void {
    if (this.#claims.get(peer)?.tree === tree && this.#claims.drop(peer)) this.#evaluate()
  }

  /** For the keeper: a tree that this node leads, as it is now. */
  led(head: TreeHead): void {
    this.#claimOwn()
    // Whoever leads another one has to hear of the oldest.
    if ([this.best()?.tree, this.#oldest()?.tree].includes(head.tree)) this.#word.tell(head)
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
      return this.#word.ofOlder(peer, head, this.#oldest())
    }
    const { rpc } = this.#options
    const oldest = this.#oldest()
    if (head.home === rpc.self || this.#claims.get(head.home) || (oldest && !precedes(head, oldest))) return
    this.#hearsay.ask(head.home)
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
    this.#seek()
    return undefined
  }

  #seek(): void {
    if (!this.best()) this.#hearsay.seek(this.name)
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
    this.#word.resign(before.tree)
  }

  #claimed(head: TreeHead): void {
    // Of a tree that is kept here, this node knows better than whoever says that it leads it.
    if (head.keg !== this.#options.keg || this.#options.keeper.contradicts(head)) return
    this.#silent.delete(head.home)
    this.#claims.set(head)
    this.#evaluate()
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
    if (news) this.#word.pass(best)
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
    if (first) this.news.timer(() => this.#tellNewcomers(), limits.TREE_TELL_MS, 'tree newcomers')
    if (same) return false
    this.#background(this.#memory.copyDirectories())
    if (head.version > 0) this.#memory.recordSoon()
    return true
  }

  #tellNewcomers(): void {
    this.#word.newcomers(this.#known.tree, (peer) => this.#hearsay.isKnownTo(peer))
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
