// The one tree `/` as this node sees it: which tree it is, who leads it, how to read and to change it. Above: fs.ts.
// Below: tree-keeper.ts (trees whose journals are kept here), tree-claims.ts, rpc, membership.
//
// A tree is kept by the members of its journal, one of which leads it; all others ask the leader. Every node begins
// with a tree that nobody has written yet, which counts for nothing where another is. Where nobody can lead the tree,
// because too few of its members are here, a change begins a branch: a new tree with all that is known here. When trees
// meet, the older one stays, and the younger one is merged into it and forgotten.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { orAborted } from '../../base/abort.ts'
import { errorLine, isOsError, OsError, toOsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import * as limits from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { type MethodArgs, type TreeHead, type TreeOp, treeHead } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { Entry } from './directory.ts'
import type { Tree } from './tree.ts'
import { TreeClaims } from './tree-claims.ts'
import { precedes } from './tree-head.ts'
import type { TreeBirth } from './tree-journal.ts'
import type { Applied, Change, Stored, TreeKeeper } from './tree-keeper.ts'
import { mergeInto } from './tree-meeting.ts'

const RECORD = 'tree'

export interface SharedTreeOptions {
  tree: Tree
  keeper: TreeKeeper
  store: LogStore
  rpc: RpcNode
  membership: Membership
  clock: Clock
  log: LogSink
  onChange(head: TreeHead, notice?: string): void
}

export class SharedTree {
  readonly #options: SharedTreeOptions
  readonly #claims = new TreeClaims(limits.MAX_TREE_CLAIMS)
  /** Our own tree that nobody has written: given up when a written one is known. */
  #unborn: TreeHead | undefined
  /** The newest head that was used here. */
  #known!: TreeHead
  /** The newest one whose directories are all here: what a branch begins with. */
  #complete: TreeHead | undefined
  #used: { tree: Kid; home: NodeId } | undefined
  #copying = false
  /** Trees being merged into the one in use. */
  readonly #merging = new Set<Kid>()
  #beginning: Promise<void> | undefined
  /** When each node of whose leading somebody told was asked. */
  readonly #asked = new Map<NodeId, number>()
  #asking = false
  #settled = false
  #expecting = false
  /** Since when nobody leads the tree, as far as is known. */
  #orphanedMs = 0
  readonly #waiting = new Set<() => void>()
  readonly #timers = new Set<Timer>()
  #recording = false
  #adoption: Timer | undefined
  #closed = false

  constructor(options: SharedTreeOptions) {
    this.#options = options
  }

  get home(): NodeId | null {
    return this.#best()?.home ?? null
  }

  get version(): number {
    return this.#known.version
  }

  async start(): Promise<void> {
    const { rpc, membership, keeper, tree, clock } = this.#options
    const { kid, bornMs } = await keeper.name()
    const unborn = { tree: kid, bornMs, term: 0, version: 0, root: await tree.create(), home: rpc.self }
    const recorded = await this.#recorded()
    this.#known = recorded ?? unborn
    this.#orphanedMs = clock.nowMs()
    if (!recorded) this.#unborn = unborn
    this.#claimOwn()
    rpc.handle('tree.head', ({ tree }) => this.#ownHead(tree))
    rpc.handle('tree.apply', (args, { peer }) => this.#applyFor(peer, args))
    rpc.handle('tree.absorbed', async ({ tree, other }) => keeper.absorbed(tree, other) ?? null)
    rpc.onNote('tree.head', (peer, head) => this.#heard(peer, head))
    rpc.onNote('tree.resigned', (peer, { tree }) => {
      if (this.#claims.get(peer)?.tree === tree && this.#claims.drop(peer)) this.#evaluate()
    })
    membership.onLink((peer) => {
      // The oldest as well: whoever leads the one in use has to hear of it.
      const heads = new Set([this.#best(), this.#oldest(), this.#claims.get(rpc.self)])
      for (const head of heads) if (head) rpc.note(peer, 'tree.head', head)
    })
    membership.events.on((event) => {
      if (event.type === 'left' && this.#claims.drop(event.peer)) this.#evaluate()
    })
    await this.#copyDirectories()
    this.#settleLater()
    this.#evaluate()
  }

  /** The relay says that there are others: it is worth waiting until one of them has said what it knows. */
  expectOthers(): void {
    this.#expecting = true
  }

  #settleLater(): void {
    const { clock, membership } = this.#options
    const untilMs = this.#orphanedMs + limits.TREE_EXPECT_MS
    const due = () => {
      const alone = membership.linked().length === 0
      if (this.#expecting && alone && clock.nowMs() < untilMs) this.#settleLater()
      else this.settle()
    }
    this.#timer(due, limits.TREE_SETTLE_MS, 'tree settle')
  }

  /** There is nobody (else) to wait for: no relay, nobody listed, or a tree is known. */
  settle(): void {
    if (this.#settled) return
    this.#settled = true
    this.#wake()
  }

  /** For the keeper: a tree that this node leads, as it is now. */
  led(head: TreeHead): void {
    this.#claimOwn()
    // Whoever leads another one has to hear of the oldest.
    if ([this.#best()?.tree, this.#oldest()?.tree].includes(head.tree)) this.#options.rpc.noteAll('tree.head', head)
    this.#evaluate()
  }

  /** For the keeper: this node does not lead one of its trees any longer. */
  unled(): void {
    this.#claimOwn()
    this.#evaluate()
  }

  /**
   * The leader's own head. While nobody leads, or the leader does not answer, waits as long as an election takes; then
   * the last one known, which may be older.
   */
  async head(signal?: AbortSignal): Promise<TreeHead> {
    await this.#ready(signal)
    const { clock, log } = this.#options
    const giveUpMs = clock.nowMs() + limits.TREE_READ_MS
    for (;;) {
      const best = this.#best()
      try {
        if (best) return await this.#headAt(best, signal)
      } catch (error) {
        signal?.throwIfAborted()
        log.log('debug', 'fs', `who leads / does not say where it is: ${errorLine(error)}`)
        if (best && isOsError(error, 'EHOSTUNREACH')) this.#unreachable(best.home)
      }
      const nowMs = clock.nowMs()
      const orphaned = !this.#best() && nowMs - this.#orphanedMs >= limits.TREE_BRANCH_MS
      if (orphaned || nowMs >= giveUpMs || this.#closed) return this.#known
      await this.#news(limits.TREE_RETRY_MS, signal)
    }
  }

  /** What the leader of that tree says. @throws {OsError} EAGAIN when it is not certain that it still leads. */
  async #headAt({ tree, home, version }: TreeHead, signal?: AbortSignal): Promise<TreeHead> {
    const { rpc, membership, keeper } = this.#options
    if (home === rpc.self) return version > 0 ? keeper.confirm(tree) : this.#known
    await membership.reach(home, signal)
    const head = await rpc.call(home, 'tree.head', { tree }, { signal })
    this.#answered(home, head)
    if (head?.tree !== tree) throw new OsError('EAGAIN', 'it does not lead that tree')
    return head
  }

  /** @throws {OsError} ENOENT, ENOTDIR. */
  async lookup(path: string, signal?: AbortSignal): Promise<Entry> {
    const head = await this.head(signal)
    return this.#options.tree.lookup(head.root, path, { signal, hints: [head.home] })
  }

  /**
   * Changes the tree, all or none. Where nobody leads it, waits a while for somebody who does, and then begins a branch
   * unless more than this node was asked for.
   * @throws {OsError} POSIX codes; ENOQUORUM when the change cannot be as safe as asked; EHOSTUNREACH when the tree
   * cannot be changed now.
   */
  async apply(change: Change, signal?: AbortSignal): Promise<Applied> {
    await this.#ready(signal)
    const { clock } = this.#options
    const giveUpMs = clock.nowMs() + limits.TREE_GIVE_UP_MS
    for (;;) {
      const best = this.#best()
      try {
        if (best) return await this.#applyAt(best, change, signal)
      } catch (error) {
        // ECONNRESET is not retried: the change may have been made.
        if (!isOsError(error, 'EHOSTUNREACH') && !isOsError(error, 'EAGAIN')) throw error
        if (best && isOsError(error, 'EHOSTUNREACH')) this.#unreachable(best.home)
      }
      const nowMs = clock.nowMs()
      if (this.#best() === undefined && nowMs - this.#orphanedMs >= limits.TREE_BRANCH_MS + this.#turnMs()) {
        if (change.ack === undefined || change.ack === 'local') {
          const notice = await this.#branch(signal)
          if (notice) this.#options.onChange(this.#known, notice)
        } else throw new OsError('ENOQUORUM', 'it was not written: too few of the nodes that keep / are here')
      } else if (nowMs >= giveUpMs) {
        throw new OsError('EHOSTUNREACH', 'the nodes that keep / are away or busy: try again in a moment')
      } else await this.#news(limits.TREE_RETRY_MS, signal)
    }
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) timer.cancel()
    this.#wake()
  }

  // --- changes ---------------------------------------------------------------------------------------------

  async #applyAt(best: TreeHead, change: Change, signal?: AbortSignal): Promise<Applied> {
    const { rpc, membership, keeper } = this.#options
    if (best.home === rpc.self) {
      if (best.version === 0) await this.#bear(signal)
      return keeper.apply(best.tree, change, rpc.self)
    }
    await membership.reach(best.home, signal)
    const { ops, ack, absorbs } = change
    const args = { tree: best.tree, ops: [...ops], ack, absorbs: absorbs && ([...absorbs] as [Kid, number]) }
    const applied = await rpc.call(best.home, 'tree.apply', args, { signal })
    this.#answered(best.home, applied.head)
    return applied
  }

  async #applyFor(peer: NodeId, { tree, ops, ack, absorbs }: MethodArgs<'tree.apply'>): Promise<Applied> {
    if (this.#unborn?.tree === tree && this.#best()?.tree === tree) await this.#bear()
    return this.#options.keeper.apply(tree, { ops, ack, absorbs }, peer)
  }

  /** The first change of a tree: its journal begins. */
  #bear(signal?: AbortSignal): Promise<void> {
    const unborn = this.#unborn
    if (!unborn) return Promise.resolve()
    return this.#begin(unborn, null, signal)
  }

  /** Too few of the tree's members are here to change it: what is known of it goes on as a tree of its own. */
  async #branch(signal?: AbortSignal): Promise<string | undefined> {
    const { keeper, log } = this.#options
    const { kid, bornMs } = await keeper.name()
    // A neighbour may have begun one just now.
    if (this.#best()) return undefined
    const { tree } = this.#known
    const { root, version, base } = this.#newest()
    const lost = this.#known.version - version
    await this.#begin({ ...this.#known, tree: kid, bornMs, root }, { tree, root: base }, signal)
    const behind = lost > 0 ? `; its last ${lost} changes are only there` : ''
    const notice = `too few of the nodes that keep / are here: changes go to a branch until they are back${behind}`
    log.log('warn', 'fs', `${notice} (${shortKid(kid)} of ${shortKid(tree)})`)
    return notice
  }

  /** Who begins a branch first: members of the journal, who have all files, then others, so that mostly one does. */
  #turnMs(): number {
    const { membership, rpc, keeper } = this.#options
    const turn = [...membership.linked(), rpc.self].sort().indexOf(rpc.self)
    return (keeper.keeps(this.#known.tree) ? 0 : limits.TREE_INFORMED_MS) + turn * limits.TREE_TURN_MS
  }

  /** Nobody leads for long: then it is kept on as a branch even if nobody changes it, so that its copies are renewed. */
  #adoptLater(): void {
    const { log } = this.#options
    if (this.#adoption || this.#closed) return
    const inMs = limits.TREE_ADOPT_MS + this.#turnMs()
    const adopt = () => {
      this.#adoption = undefined
      if (this.#best()) return
      this.#branch().catch((error: unknown) => {
        log.log('warn', 'fs', `cannot keep / on as a branch yet: ${errorLine(error)}`)
        this.#adoptLater()
      })
    }
    this.#adoption = this.#timer(adopt, inMs, 'tree adoption')
  }

  /**
   * What a branch begins with, and what of it is known to be the tree's: what may never have been committed there is a
   * change of the branch. A member of the journal has all files, others the directories.
   */
  #newest(): Stored {
    const stored = this.#options.keeper.stored(this.#known)
    if (stored) return stored
    const { root, version } = this.#complete?.tree === this.#known.tree ? this.#complete : this.#known
    return { root, version, base: root }
  }

  /** One at a time: many changes may find at once that there is no tree to change. */
  async #begin({ tree: kid, bornMs, root }: TreeHead, base: TreeBirth['base'], signal?: AbortSignal): Promise<void> {
    const birth: TreeBirth = { t: 'tree', kid, bornMs, root, version: 1, absorbed: [], base }
    this.#beginning ??= this.#options.keeper.begin(birth).finally(() => {
      this.#beginning = undefined
    })
    await orCanceled(this.#beginning, signal)
  }

  // --- who leads -------------------------------------------------------------------------------------------

  /** The tree that is asked for, or the one that this node leads and others should know, when it is certain that it does. */
  async #ownHead(tree: Kid | null): Promise<TreeHead | null> {
    const { keeper, rpc } = this.#options
    const own = (tree && keeper.head(tree)) ?? this.#claims.get(rpc.self)
    if (!own) return null
    return own.version === 0 ? own : keeper.confirm(own.tree)
  }

  /** The leader's own word, or hearsay: in a large cluster not everybody is the leader's neighbour. */
  #heard(peer: NodeId, head: TreeHead): void {
    if (head.home === peer) return this.#claimed(head)
    const { rpc } = this.#options
    const oldest = this.#oldest()
    if (head.home === rpc.self || this.#claims.get(head.home) || (oldest && !precedes(head, oldest))) return
    this.#ask(head.home)
  }

  /**
   * Who leads the tree to use: the one in use as long as somebody leads it, so that what was written and read here does
   * not vanish for a moment when trees meet; then the oldest.
   */
  #best(): TreeHead | undefined {
    const used = this.#used && this.#claims.best(this.#used.tree)
    return used && used.version > 0 ? used : this.#oldest()
  }

  /** Where all trees end up. One that nobody has written counts for nothing once a written one was known. */
  #oldest(): TreeHead | undefined {
    const oldest = this.#claims.best()
    return oldest && (oldest.version > 0 || this.#known.version === 0) ? oldest : undefined
  }

  /** Of the trees that this node leads, or of its unborn one, the one that others should know. */
  #claimOwn(): void {
    const { keeper, rpc } = this.#options
    const [first, ...others] = keeper.heads()
    const own = first ? others.reduce((best, head) => (precedes(head, best) ? head : best), first) : this.#unborn
    const before = this.#claims.get(rpc.self)
    if (own) this.#claims.set(own)
    else this.#claims.drop(rpc.self)
    // Nobody believes in one that was never written once a written one is known.
    if (before && before.version > 0 && before.tree !== own?.tree) rpc.noteAll('tree.resigned', { tree: before.tree })
  }

  #claimed(head: TreeHead): void {
    const leader = this.#options.keeper.leader(head.tree)
    // Of a tree that is kept here, this node knows better than whoever says that it leads it.
    if (leader !== undefined && leader !== head.home) return
    this.#claims.set(head)
    this.#evaluate()
  }

  /** One node at a time, and none again at once: hearsay may be of nodes that are gone, or that never were. */
  #ask(home: NodeId): void {
    const { membership, rpc, clock, log } = this.#options
    const nowMs = clock.nowMs()
    if (this.#asking || nowMs - (this.#asked.get(home) ?? -Infinity) < limits.TREE_ASK_AGAIN_MS) return
    if (this.#asked.size >= limits.MAX_TREE_CLAIMS * 8) this.#asked.clear()
    this.#asked.set(home, nowMs)
    this.#asking = true
    membership
      .reach(home)
      .then(() => rpc.call(home, 'tree.head', { tree: null }))
      .then((head) => this.#answered(home, head))
      .catch((error: unknown) => log.log('debug', 'fs', `${shortNode(home)} leads no tree: ${errorLine(error)}`))
      .finally(() => {
        this.#asking = false
      })
  }

  #answered(home: NodeId, head: TreeHead | null): void {
    if (this.#closed) return
    if (head?.home === home) return this.#claimed(head)
    if (this.#claims.drop(home)) this.#evaluate()
  }

  /** A link that broke a moment ago may come back: membership decides who is gone. */
  #unreachable(home: NodeId): void {
    const { membership, rpc } = this.#options
    if (home !== rpc.self && !membership.has(home) && this.#claims.drop(home)) this.#evaluate()
  }

  #evaluate(): void {
    if (this.#closed) return
    const { rpc, clock, keeper } = this.#options
    const best = this.#best()
    if (!best) {
      if (this.#used) this.#orphanedMs = clock.nowMs()
      this.#used = undefined
      this.#adoptLater()
      return this.#wake()
    }
    this.#adoption?.cancel()
    this.#adoption = undefined
    if (best.version > 0 && this.#unborn) {
      this.#unborn = undefined
      this.#claimOwn()
    }
    const { tree, home } = best
    const news = this.#used?.tree !== tree || this.#used.home !== home
    this.#used = { tree, home }
    if (news) rpc.noteAll('tree.head', best)
    this.#adopt(best)
    if (best.version > 0) this.settle()
    const oldest = this.#oldest()
    for (const own of keeper.heads()) if (oldest && own.tree !== oldest.tree) this.#background(this.#merge(own.tree))
    if (news) {
      this.#wake()
      for (const kept of keeper.kept()) if (kept !== tree) this.#background(this.#tidy(kept))
    }
  }

  #adopt(head: TreeHead): void {
    const { onChange } = this.#options
    const same = head.root === this.#known.root && head.version === this.#known.version
    this.#known = head
    if (same) return
    onChange(head)
    this.#background(this.#copyDirectories())
    if (head.version > 0) this.#recordSoon()
  }

  // --- trees that meet -------------------------------------------------------------------------------------

  /** Brings over what only a tree that this node leads has, and forgets it. */
  async #merge(own: Kid): Promise<void> {
    if (this.#merging.has(own)) return
    this.#merging.add(own)
    const { keeper, log } = this.#options
    try {
      await keeper.pause(own)
      for (let attempt = 1; !this.#closed; attempt++) {
        const [mine, oldest] = [keeper.head(own), this.#oldest()]
        if (!mine || !oldest || oldest.tree === own) break
        try {
          await this.#bringOver(mine, oldest)
          break
        } catch (error) {
          const what = `could not merge the tree ${shortKid(own)} into / yet: ${errorLine(error)}`
          log.log('warn', 'fs', what, { root: mine.root })
          if (attempt % limits.TREE_MERGE_ATTEMPTS === 0) {
            const notice = `files of this tab could not be merged into / yet (their root is ${mine.root})`
            this.#options.onChange(this.#known, notice)
          }
          await this.#news(isOsError(error, 'EEXIST') ? limits.TREE_TURN_MS : limits.TREE_MERGE_PAUSE_MS)
        }
      }
    } finally {
      keeper.resume(own)
      this.#merging.delete(own)
    }
    if (keeper.head(own)) this.#evaluate()
  }

  async #bringOver(mine: TreeHead, target: TreeHead): Promise<void> {
    const { tree, keeper, rpc, log } = this.#options
    const known = await this.#absorbed(target, mine.tree)
    let count = 0
    if (known < mine.version) {
      const theirs = await this.#headAt(target)
      const label = shortNode(rpc.self)
      const parted = keeper.base(mine.tree)
      const base = parted?.tree === theirs.tree ? parted.root : undefined
      const apply = (ops: readonly TreeOp[]) => this.#applyAt(target, { ops })
      count = await mergeInto({ tree, mine, theirs, base, label, apply })
      await this.#applyAt(target, { ops: [], absorbs: [mine.tree, mine.version] })
    }
    // Whoever led it for a moment in between may have changed it: then there is more to bring.
    if ((await keeper.confirm(mine.tree)).version !== mine.version)
      throw new OsError('EAGAIN', 'it was changed meanwhile')
    await keeper.retire(mine.tree)
    const notice = `two parts of the cluster met: ${count} files and folders of this tab were merged into /`
    log.log('info', 'fs', `${notice} (${shortKid(mine.tree)} into ${shortKid(target.tree)})`)
    this.#claimOwn()
    this.#evaluate()
    this.#options.onChange(this.#known, count > 0 ? notice : undefined)
  }

  /** The version up to which the tree in use contains another; -1 for none of it. */
  async #absorbed(best: TreeHead, other: Kid): Promise<number> {
    const { rpc, keeper, membership } = this.#options
    if (best.home === rpc.self) return keeper.absorbed(best.tree, other) ?? -1
    await membership.reach(best.home)
    return (await rpc.call(best.home, 'tree.absorbed', { tree: best.tree, other })) ?? -1
  }

  /** A tree that was merged while this node was away would wait for its other members for ever. */
  async #tidy(kept: Kid): Promise<void> {
    const { keeper, log } = this.#options
    const best = this.#best()
    try {
      if (!best || keeper.head(kept) || (await this.#absorbed(best, kept)) < keeper.version(kept)) return
      log.log('info', 'fs', `forgetting the tree ${shortKid(kept)}: it was merged into / while this tab was away`)
      await keeper.retire(kept)
    } catch (error) {
      log.log('debug', 'fs', `the tree ${shortKid(kept)} is kept for now: ${errorLine(error)}`)
    }
  }

  // --- what is known here ----------------------------------------------------------------------------------

  /** So that a branch finds the directories here; file content is fetched when it is read. */
  async #copyDirectories(): Promise<void> {
    if (this.#copying) return
    this.#copying = true
    const { keeper, log } = this.#options
    try {
      for (let head = this.#known; this.#complete?.root !== head.root && !this.#closed; head = this.#known) {
        await keeper.copies.directories(head.root, { hints: [head.home] })
        this.#complete = head
      }
    } catch (error) {
      log.log('debug', 'fs', `directories not copied yet: ${errorLine(error)}`)
    } finally {
      this.#copying = false
    }
  }

  /** The head that was used last. One that cannot be read must not keep the tab from starting. */
  async #recorded(): Promise<TreeHead | undefined> {
    const { store, log } = this.#options
    const bytes = await store.getRecord(RECORD)
    if (!bytes) return undefined
    try {
      return v.parse(treeHead, decode(bytes))
    } catch (error) {
      log.log('error', 'fs', `the recorded head of / cannot be read, beginning anew: ${errorLine(error)}`)
      return undefined
    }
  }

  /** At most every so often: for a cold start, not for durability. */
  #recordSoon(): void {
    if (this.#recording) return
    this.#recording = true
    const { store, log } = this.#options
    const record = () => {
      this.#recording = false
      store.putRecord(RECORD, encode(this.#known)).catch((error: unknown) => {
        log.log('warn', 'fs', `cannot record the tree's head: ${errorLine(error)}`)
      })
    }
    this.#timer(record, limits.TREE_RECORD_MS, 'record tree head')
  }

  // --- waiting ---------------------------------------------------------------------------------------------

  async #ready(signal?: AbortSignal): Promise<void> {
    while (!this.#settled && this.#known.version === 0 && !this.#closed) {
      await this.#news(limits.TREE_SETTLE_MS, signal)
    }
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }

  /** Resolves when something about who leads has changed, or the time is over. */
  #news(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#closed) return Promise.reject(new OsError('ECANCELED', 'this tab is closing'))
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#timer(resolve, timeoutMs, 'tree news')
    this.#waiting.add(resolve)
    return orCanceled(promise, signal).finally(() => {
      timer.cancel()
      this.#timers.delete(timer)
      this.#waiting.delete(resolve)
    })
  }

  /** What nobody waits for. */
  #background(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (!this.#closed) this.#options.log.log('error', 'fs', `the shared tree: ${errorLine(error)}`)
    })
  }

  #timer(callback: () => void, delayMs: number, label: string): Timer {
    const timer = this.#options.clock.setTimer(
      () => {
        this.#timers.delete(timer)
        callback()
      },
      delayMs,
      label,
    )
    this.#timers.add(timer)
    return timer
  }
}

function orCanceled<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal ? orAborted(promise, signal, () => toOsError(signal.reason, 'ECANCELED')) : promise
}
