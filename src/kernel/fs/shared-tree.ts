// A keg, `/` or one that is mounted, to read and to change. Where nobody can lead its tree, because too few of the nodes that
// keep it are here, a change begins a branch: a new tree with all that is known here. Above: kegs.ts, namespace.ts. Below:
// tree-in-use.ts, which knows which tree that is and who leads it.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import * as limits from '../limits.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import type { MethodArgs } from '../rpc/methods.ts'
import type { Entry } from './directory.ts'
import type { TreeView } from './tree.ts'
import { type VersionPage, versionPage } from './tree-calls.ts'
import { TreeInUse, type TreeInUseOptions } from './tree-in-use.ts'
import type { Applied, Change } from './tree-leading.ts'

export type SharedTreeOptions = TreeInUseOptions

export class SharedTree {
  readonly #options: SharedTreeOptions
  readonly inUse: TreeInUse

  constructor(options: SharedTreeOptions) {
    this.#options = options
    this.inUse = new TreeInUse(options)
  }

  get home(): NodeId | null {
    return this.inUse.best()?.home ?? null
  }

  get version(): number {
    return this.inUse.known.version
  }

  /** The tree in use, if it says that it has taken that one in. @throws {OsError} EHOSTUNREACH, EAGAIN. */
  async absorbed(tree: Kid): Promise<Kid | undefined> {
    const best = this.inUse.best()
    return best && (await this.inUse.calls.absorbed(best, tree)) ? best.tree : undefined
  }

  /**
   * The leader's own head. While nobody leads, or the leader does not answer, waits as long as an election takes; then
   * the last one known, which may be older. @throws {OsError} EHOSTUNREACH for a newcomer that knows none.
   */
  async head(signal?: AbortSignal): Promise<TreeHead> {
    await this.#ready(signal)
    const { clock, log } = this.#options
    const beganMs = clock.nowMs()
    for (;;) {
      const best = this.inUse.usable()
      try {
        if (best) return await this.#headAt(best, signal)
      } catch (error) {
        signal?.throwIfAborted()
        log.log('debug', 'fs', `who leads ${this.inUse.name} does not say where it is: ${errorLine(error)}`)
        if (best && isOsError(error, 'EHOSTUNREACH')) this.inUse.unreachable(best.home)
      }
      const nowMs = clock.nowMs()
      if (this.inUse.news.closed) return this.inUse.known
      if (this.inUse.blind()) {
        if (nowMs - beganMs >= limits.TREE_GIVE_UP_MS) throw this.#unavailable()
      } else {
        const orphaned = !this.inUse.best() && nowMs - this.inUse.orphanedMs >= limits.TREE_BRANCH_MS
        if (orphaned || nowMs - beganMs >= limits.TREE_READ_MS) return this.inUse.known
      }
      await this.inUse.news.wait(limits.TREE_RETRY_MS, signal)
    }
  }

  /** Of our own tree that nobody has written nobody else knows anything. @throws {OsError} EAGAIN, EHOSTUNREACH. */
  async #headAt(best: TreeHead, signal?: AbortSignal): Promise<TreeHead> {
    return this.inUse.unborn.is(best.tree) ? this.inUse.known : this.inUse.calls.head(best, signal)
  }

  /** Follows links on the way, not in the last place. @throws {OsError} ENOENT, ENOTDIR, ELOOP. */
  async lookup(path: string, signal?: AbortSignal): Promise<Entry> {
    const { root, options } = await this.view(signal)
    return this.#options.tree.lookup(root, path, options)
  }

  /** The tree as it is now, to look around in. @throws {OsError} EHOSTUNREACH. */
  async view(signal?: AbortSignal): Promise<TreeView> {
    const { root, home } = await this.head(signal)
    return { root, options: { signal, hints: [home] } }
  }

  /**
   * Changes the tree, all or none. Where nobody leads it, waits a while for somebody who does, and then begins a branch
   * unless more than this node was asked for. A change whose leader goes in the middle is asked for again under its name: whoever
   * leads next has it, or makes it.
   * @throws {OsError} POSIX codes; ENOQUORUM when the change cannot be as safe as asked; EHOSTUNREACH when the tree
   * cannot be changed now; ECONNRESET when it was perhaps changed.
   */
  async apply(asked: Change, signal?: AbortSignal): Promise<Applied> {
    await this.#ready(signal)
    const { clock, keeper } = this.#options
    const change = asked.mark ? asked : { ...asked, once: keeper.nameChange() }
    let giveUpMs = clock.nowMs() + limits.TREE_GIVE_UP_MS
    let perhaps: OsError | undefined
    for (;;) {
      const best = this.inUse.usable()
      try {
        if (best) return await this.#applyAt(best, change, signal)
      } catch (error) {
        signal?.throwIfAborted()
        if (isOsError(error, 'ECONNRESET') && change.once !== undefined) {
          if (!perhaps) giveUpMs = clock.nowMs() + limits.TREE_GIVE_UP_MS // it may have been silent until now
          perhaps = error
        } else if (perhaps && isOsError(error, 'ENOQUORUM')) throw unknown(perhaps)
        else if (!isOsError(error, 'EHOSTUNREACH') && !isOsError(error, 'EAGAIN')) throw error
        if (best && !isOsError(error, 'EAGAIN')) this.inUse.unreachable(best.home)
      }
      if (this.#abandoned() && (!perhaps || (change.ack ?? 'local') === 'local')) await this.#branch(change, signal)
      else if (clock.nowMs() >= giveUpMs) throw perhaps ? unknown(perhaps) : this.#unavailable()
      else await this.inUse.news.wait(limits.TREE_RETRY_MS, signal)
    }
  }

  /** Nobody has led the tree for so long that it is this node's turn to begin a branch. */
  #abandoned(): boolean {
    const { inUse } = this
    if (inUse.blind() || inUse.best()) return false
    return this.#options.clock.nowMs() - inUse.orphanedMs >= limits.TREE_BRANCH_MS + inUse.branch.turnMs()
  }

  /** @throws {OsError} ENOQUORUM when more than this node was asked for. */
  async #branch({ ack = 'local' }: Change, signal?: AbortSignal): Promise<void> {
    const { branch, name } = this.inUse
    if (ack !== 'local') {
      throw new OsError('ENOQUORUM', `it was not written: too few of the nodes that keep ${name} are here`)
    }
    const notice = await branch.branch(signal)
    if (notice) this.#options.onChange(this.inUse.known, notice)
  }

  /**
   * Versions of the tree that are remembered, older than `before`, from the newest on: as its leader says, else as a journal
   * that is kept here has them. @returns which tree's they are, too. @throws {OsError} EHOSTUNREACH.
   */
  async versions(before: number | null, signal?: AbortSignal): Promise<VersionPage & { tree: Kid }> {
    const { tree, version } = await this.head(signal)
    if (version === 0) return { tree, rows: [], names: [], more: false }
    const best = this.inUse.usable()
    try {
      // Another tree than a moment ago, where two of them meet.
      if (best) return { tree: best.tree, ...(await this.inUse.calls.versions(best, before, signal)) }
    } catch (error) {
      signal?.throwIfAborted()
      const what = `who leads ${this.inUse.name} does not tell its versions`
      this.#options.log.log('debug', 'fs', `${what}: ${errorLine(error)}`)
    }
    if (this.#options.keeper.keeps(tree)) return { tree, ...versionPage(this.#options.keeper, tree, before) }
    throw this.#unavailable()
  }

  /** Makes sure of what this node remembers of the tree in use: its directories, with which a branch would begin. */
  async holdAgain(): Promise<void> {
    const { root, home, version } = this.inUse.known
    if (version > 0) await this.#options.keeper.copies.directories(root, { hints: [home] })
  }

  /**
   * Asks whoever leads, as long as nobody else does and it answers: a frozen tab would do so when it is back, and whoever leads next
   * knows whether it had made the change.
   */
  async #applyAt(best: TreeHead, change: Change, signal?: AbortSignal): Promise<Applied> {
    const { inUse } = this
    if (inUse.unborn.is(best.tree)) await inUse.unborn.bear(signal)
    if (best.home === this.#options.rpc.self) return inUse.calls.apply(best, change, signal)
    const replaced = new AbortController()
    const off = inUse.news.on(() => {
      const now = inUse.leaderOf(best.tree)
      if (now === undefined ? inUse.isSilent(best.home) : now !== best.home) replaced.abort()
    })
    try {
      return await inUse.calls.apply(best, change, AbortSignal.any([replaced.signal, ...(signal ? [signal] : [])]))
    } catch (error) {
      if (!replaced.signal.aborted || signal?.aborted) throw error
      throw new OsError('ECONNRESET', 'who leads the tree answers nobody, or another leads it now', { cause: error })
    } finally {
      off()
    }
  }

  /** What a peer asks of this node, which leads that tree. @throws {OsError} as `apply`. */
  async applyFor(peer: NodeId, { tree, ...change }: MethodArgs<'tree.apply'>): Promise<Applied> {
    if (this.inUse.blind()) throw new OsError('EAGAIN', `this node does not know yet who leads ${this.inUse.name}`)
    if (this.inUse.unborn.is(tree) && this.inUse.best()?.tree === tree) await this.inUse.unborn.bear()
    return this.#options.keeper.apply(tree, change, peer)
  }

  #unavailable(): OsError {
    return new OsError('EHOSTUNREACH', `the nodes that keep ${this.inUse.name} are away or busy: try again in a moment`)
  }

  async #ready(signal?: AbortSignal): Promise<void> {
    while (this.inUse.awaited) await this.inUse.news.wait(limits.TREE_RETRY_MS, signal)
  }
}

function unknown(cause: OsError): OsError {
  const what = 'whoever led it went while this was changed, and what came of it is not known: look whether it was done'
  return new OsError('ECONNRESET', what, { cause })
}
