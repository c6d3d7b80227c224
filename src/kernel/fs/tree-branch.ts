// Trees that begin here: the first one, with its first change, and branches, where too few of a tree's keepers are here to
// change it. Above: shared-tree.ts. Below: tree-keeper.ts.
import { errorLine } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { CidText } from '../blocks/cid.ts'
import * as limits from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import { ofKeg } from './tree-head.ts'
import type { TreeBirth } from './tree-journal.ts'
import type { Stored, TreeKeeper } from './tree-keeper.ts'
import type { TreeMemory } from './tree-memory.ts'
import { orCanceled, type TreeNews } from './tree-news.ts'

export interface TreeBranchOptions {
  /** What it is called to people. */
  name: string
  rpc: RpcNode
  keeper: TreeKeeper
  membership: Membership
  memory: TreeMemory
  news: TreeNews
  log: LogSink
  /** The newest head that was used here. */
  known(): TreeHead
  /** Whether somebody leads a tree to use. */
  led(): boolean
}

/** Where a branch begins, the newest root on the way there that is known to be the tree's, and the changes made last, as far as known. */
type Beginning = Pick<Stored, 'root' | 'version' | 'base' | 'once'>

/** What peers say that they have of a tree. */
interface Told extends Pick<Stored, 'version' | 'once'> {
  peers: NodeId[]
}

/** What a tree begins with. */
export type Begun = Pick<TreeHead, 'tree' | 'bornMs' | 'root' | 'keg' | 'copies'>

export class TreeBranch {
  readonly #options: TreeBranchOptions
  #beginning: Promise<void> | undefined
  #adoption: Timer | undefined

  constructor(options: TreeBranchOptions) {
    this.#options = options
  }

  /**
   * One at a time: many changes may find at once that there is no tree to change.
   * @throws {OsError} ETIMEDOUT when the nodes that should keep it do not answer; ECANCELED.
   */
  async begin(head: Begun, base: TreeBirth['base'], signal?: AbortSignal, once: readonly string[] = []): Promise<void> {
    const { tree: kid, bornMs, root, keg, copies } = head
    const birth: TreeBirth = ofKeg({ t: 'tree', kid, bornMs, root, version: 1, absorbed: [], base }, keg)
    if (copies !== undefined) birth.copies = copies
    if (once.length > 0) birth.once = once.slice(-limits.MAX_TREE_ONCE)
    this.#beginning ??= this.#options.keeper.begin(birth).finally(() => {
      this.#beginning = undefined
    })
    await orCanceled(this.#beginning, signal)
  }

  /**
   * Too few of the tree's members are here to change it: what is known of it goes on as a tree of its own.
   * @returns what to tell the user; undefined when somebody leads one meanwhile, or did. @throws {OsError} ECANCELED.
   */
  async branch(signal?: AbortSignal): Promise<string | undefined> {
    const { keeper, log, led, known, name } = this.#options
    const named = await keeper.name()
    // A neighbour may have begun one just now.
    if (led()) return undefined
    const left = known()
    const { kid } = named
    // Younger than its tree, also where the clock was set back meanwhile.
    const bornMs = Math.max(named.bornMs, left.bornMs + 1)
    const { root, version, base, once } = await this.#newest(left, signal)
    // It may have come back meanwhile, if only for a moment.
    if (led() || known() !== left) return undefined
    signal?.throwIfAborted()
    await this.begin({ ...left, tree: kid, bornMs, root }, { tree: left.tree, root: base }, signal, once)
    const lost = left.version - version
    const behind = lost > 0 ? `; its last ${lost} changes are only there` : ''
    const notice = `too few of the nodes that keep ${name} are here: changes go to a branch until they are back${behind}`
    log.log('warn', 'fs', `${notice} (${shortKid(kid)} of ${shortKid(left.tree)})`)
    return notice
  }

  /** Who begins a branch first: those who vote in the journal, who have all files, then others, so that mostly one does. */
  turnMs(): number {
    const { membership, rpc, keeper, known } = this.#options
    const turn = [...membership.linked(), rpc.self].sort().indexOf(rpc.self)
    return (keeper.votes(known().tree) ? 0 : limits.TREE_INFORMED_MS) + turn * limits.TREE_TURN_MS
  }

  /** Nobody leads for long: then it is kept on as a branch even if nobody changes it, so that its copies are renewed. */
  adoptLater(): void {
    const { news, log, led, name } = this.#options
    if (this.#adoption || news.closed) return
    const adopt = () => {
      this.#adoption = undefined
      if (led()) return
      this.branch().catch((error: unknown) => {
        log.log('warn', 'fs', `cannot keep ${name} on as a branch yet: ${errorLine(error)}`)
        this.adoptLater()
      })
    }
    this.#adoption = news.timer(adopt, limits.TREE_ADOPT_MS + this.turnMs(), 'tree adoption')
  }

  /** Somebody leads. */
  relax(): void {
    this.#adoption?.cancel()
    this.#adoption = undefined
  }

  /**
   * What a branch begins with, and what of it is known to be the tree's: what may never have been committed there is a
   * change of the branch. What only one of the tree's keepers has left may be all that is here of what was acknowledged.
   */
  async #newest(left: TreeHead, signal?: AbortSignal): Promise<Beginning> {
    const own = this.#own(left)
    const newer = [...(await this.#told(left.tree))].filter(([, { version }]) => version > own.version)
    if (newer.length === 0) return own
    // All at once: who says what it has not must not keep a change waiting, nor take the time of one who has.
    const enough = new AbortController()
    const timer = this.#options.news.timer(() => enough.abort(), limits.TREE_TOLD_MS, 'newer directories')
    const copying = { signal: signal ? AbortSignal.any([enough.signal, signal]) : enough.signal }
    const copied = newer
      .sort(([, a], [, b]) => b.version - a.version)
      .map(async ([root, { version, peers, once }]): Promise<Beginning | undefined> => {
        try {
          await this.#options.memory.copies.directories(root, { hints: peers, ...copying })
          return { root, version, base: own.base, once }
        } catch (error) {
          const who = peers.map(shortNode).join(', ')
          this.#options.log.log('debug', 'fs', `what ${who} is said to have cannot be had: ${errorLine(error)}`)
          return undefined
        }
      })
    try {
      for (const each of copied) {
        const beginning = await each
        if (beginning) return beginning
      }
    } finally {
      timer.cancel()
      enough.abort()
    }
    return own
  }

  /**
   * The same, as it is known here: a member of the journal has all files, others the directories. A member that has not caught up
   * yet has the journal's beginnings only, which are worth less than what was read here.
   */
  #own(left: TreeHead): Beginning {
    const { keeper, memory } = this.#options
    const whole = memory.complete?.tree === left.tree ? memory.complete : undefined
    // What nobody has said to be committed is not known to be.
    const stored = keeper.stored(left.tree, left.term > 0 ? left : undefined)
    const seen = stored && keeper.votes(left.tree) ? whole : (whole ?? left)
    if (stored && (!seen || stored.version >= seen.version)) return stored
    const { root, version } = seen ?? left
    return { root, version, base: root, once: [] }
  }

  /** The tree as the journals of others have it who are here: by its root. */
  async #told(tree: Kid): Promise<Map<CidText, Told>> {
    const { rpc, membership, log } = this.#options
    const told = new Map<CidText, Told>()
    const ask = async (peer: NodeId) => {
      try {
        const stored = await rpc.call(peer, 'tree.stored', { tree })
        if (!stored) return
        const { root, version, once } = stored
        const others = told.get(root)
        const peers = [...(others?.peers ?? []), peer]
        told.set(root, {
          version: Math.max(version, others?.version ?? 0),
          peers,
          once: [...new Set([...(others?.once ?? []), ...once])],
        })
      } catch (error) {
        log.log('debug', 'fs', `${shortNode(peer)} does not say what it has of ${shortKid(tree)}: ${errorLine(error)}`)
      }
    }
    await Promise.all(membership.answering().map(ask))
    return told
  }
}
