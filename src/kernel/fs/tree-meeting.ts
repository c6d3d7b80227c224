// Trees that meet: the leader of the younger one brings what only it has into the older one, and retires it. Above:
// tree-in-use.ts, which says who leads what. Below: merge.ts, tree-keeper.ts.
import { encode } from 'cborg'
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { CidText } from '../blocks/cid.ts'
import * as limits from '../limits.ts'
import { mutated } from '../mutations.ts'
import type { TreeHead, TreeOp } from '../rpc/bodies.ts'
import { besideAnother, lacking, mergeOps } from './merge.ts'
import type { Tree } from './tree.ts'
import type { TreeCalls } from './tree-calls.ts'
import type { Absorbed, TreeBirth } from './tree-journal.ts'
import type { TreeKeeper } from './tree-keeper.ts'
import type { TreeNews } from './tree-news.ts'

/** Changes of one batch, and their bytes together: a frame and an entry of a journal have to hold them. */
const BATCH = 500
const BATCH_BYTES = 256 * 1024

export interface TreeMeetingOptions {
  /** What it is called to people. */
  name: string
  self: NodeId
  tree: Tree
  keeper: TreeKeeper
  calls: TreeCalls
  news: TreeNews
  log: LogSink
  /** The tree in use. */
  best(): TreeHead | undefined
  /** Where all trees end up. */
  oldest(): TreeHead | undefined
  /** Whether anybody leads that tree. */
  led(tree: Kid): boolean
  /** Whether any other node could keep a copy. */
  accompanied(): boolean
  /** This node leads other trees than before. */
  changed(): void
  /** For the user. */
  notice(text: string): void
}

export class TreeMeeting {
  readonly #options: TreeMeetingOptions
  /** Trees being merged into the one in use. */
  readonly #merging = new Set<Kid>()
  /**
   * Trees that this node leads and does not offer for use, because another is said to contain them, by that other. They
   * are kept until that is certain, and come back into use when nobody leads the other any more.
   */
  readonly #aside = new Map<Kid, Kid>()
  /** Trees about which the leader was asked a moment ago; whether there is reason to ask again. */
  readonly #tidying = new Map<Kid, boolean>()

  constructor(options: TreeMeetingOptions) {
    this.#options = options
  }

  aside(own: Kid): boolean {
    return this.#aside.has(own)
  }

  /** Who leads what has changed: trees whose place nobody fills are used again. */
  review(): void {
    const back = [...this.#aside].filter(([, by]) => !this.#options.led(by))
    for (const [own] of back) {
      this.#aside.delete(own)
      if (!this.#merging.has(own)) this.#options.keeper.resume(own)
    }
    if (back.length > 0) this.#options.changed()
  }

  /** Brings over what only a tree that this node leads has, and forgets it. */
  async merge(own: Kid): Promise<void> {
    const by = this.#aside.get(own)
    if (this.#merging.has(own) || (by !== undefined && by === this.#options.oldest()?.tree)) return
    this.#merging.add(own)
    const { keeper, news, oldest: target } = this.#options
    let kept = false
    try {
      await keeper.pause(own)
      for (let attempt = 1; !news.closed; attempt++) {
        const [mine, oldest] = [keeper.head(own), target()]
        if (!mine || !oldest || oldest.tree === own) break
        try {
          kept = await this.#bringOver(mine, oldest)
          break
        } catch (error) {
          await this.#failed(mine, error, attempt)
          await keeper.pause(own)
        }
      }
    } finally {
      this.#merging.delete(own)
      if (!kept) {
        this.#aside.delete(own)
        keeper.resume(own)
      }
    }
    if (keeper.head(own)) this.#options.changed()
  }

  /** Says so, and waits a while. */
  async #failed(mine: TreeHead, error: unknown, attempt: number): Promise<void> {
    const { keeper, news, log, notice, name } = this.#options
    const unsafe = isOsError(error, 'ENOQUORUM')
    const what = unsafe ? 'keeping' : `could not merge into ${name} yet`
    log.log(unsafe ? 'info' : 'warn', 'fs', `${what} the tree ${shortKid(mine.tree)}: ${errorLine(error)}`)
    if (attempt % limits.TREE_MERGE_ATTEMPTS === 0 && !unsafe) {
      notice(`files of this tab could not be merged into ${name} yet (their root is ${mine.root})`)
    }
    const soon = isOsError(error, 'EEXIST')
    // It may take long until it can be merged: whoever uses it goes on with it.
    if (!soon && !this.#aside.has(mine.tree)) keeper.resume(mine.tree)
    await news.wait(soon ? limits.TREE_TURN_MS : limits.TREE_MERGE_PAUSE_MS)
  }

  /** @returns whether the tree is kept aside for good; false when it is gone. */
  async #bringOver(mine: TreeHead, target: TreeHead): Promise<boolean> {
    const { keeper, self, log, calls } = this.#options
    if (mutated('drop-branch')) return this.#forget(mine.tree)
    const parted = await this.#parted(mine, target)
    let said = await calls.absorbed(target, mine.tree)
    let brought: Brought = { count: 0, beside: 0 }
    const known = mutated('absorb-unseen') ? mine.version : (said?.version ?? -1)
    if (known < mine.version) {
      brought = await this.#mergeInto(mine, target, parted)
      await calls.apply(target, { ops: [], absorbs: [mine.tree, mine.version] })
      said = await calls.absorbed(target, mine.tree)
    }
    // Everybody uses the other one from here on, and this one is what is left if that one is lost.
    this.#aside.set(mine.tree, target.tree)
    this.#options.changed()
    if (!(await this.#contains(said, mine, target, parted.base))) {
      const what = `${shortKid(target.tree)} is said to contain the tree ${shortKid(mine.tree)} and does not show it`
      log.log('warn', 'fs', `${what}: it is kept aside`)
      return true
    }
    if (brought.count > 0) this.#options.notice(inWords(brought, this.#options.name))
    // A lone tab cannot wait for a second copy.
    const ack = target.home !== self || this.#options.accompanied() ? 'majority' : undefined
    const absorbs = [mine.tree, mine.version] as const
    await calls.apply(target, { ops: [], absorbs, ack, past: keeper.past(mine.tree) }).catch((error: unknown) => {
      if (!isOsError(error, 'ENOSPC')) throw error
      this.#options.notice(`older versions of what was merged into ${this.#options.name} are forgotten: no room`)
      return calls.apply(target, { ops: [], absorbs, ack })
    })
    // Whoever led it for a moment in between may have changed it: then there is more to bring.
    if ((await keeper.confirm(mine.tree)).version !== mine.version)
      throw new OsError('EAGAIN', 'it was changed meanwhile')
    log.log('info', 'fs', `the tree ${shortKid(mine.tree)} was merged into ${shortKid(target.tree)}`)
    return this.#forget(mine.tree)
  }

  /**
   * Where a branch left the tree: with changes of it that were not known to be committed then, if the tree has them. Else a
   * peer may have said so by mistake or in bad faith: what was not there then is nothing that the branch has removed.
   */
  async #parted(mine: TreeHead, target: TreeHead): Promise<Parted> {
    const { keeper, calls } = this.#options
    const known = baseOf(keeper.base(mine.tree), target)
    const first = keeper.versions(mine.tree)?.rows().at(-1)
    if (known === undefined || first?.version !== 1 || first.root === known) return { base: known }
    for (let before = Number.POSITIVE_INFINITY, more = true; more; ) {
      const page = await calls.versions(target, Number.isFinite(before) ? before : null)
      if (page.rows.some(({ root }) => root === first.root)) return { base: first.root }
      const last = page.rows.at(-1)?.version ?? before
      more = page.more && last < before
      before = last
    }
    return { base: known, began: first.root }
  }

  async #forget(own: Kid): Promise<boolean> {
    await this.#options.keeper.retire(own)
    this.#aside.delete(own)
    this.#options.changed()
    return false
  }

  /** What a leader says of its tree could be wrong, or a lie: its content when it took the other in tells. */
  async #contains(
    said: Absorbed | null,
    mine: Pick<TreeHead, 'root' | 'version'>,
    { home }: TreeHead,
    base: CidText | undefined,
  ): Promise<boolean> {
    if (mutated('absorb-unseen')) return true
    if (!said || said.version < mine.version) return false
    const place = { mine: mine.root, theirs: said.root, base }
    return (await lacking(this.#options.tree, place, { hints: [home] })) === undefined
  }

  /** A tree that was merged while this node was away would wait for its other members for ever. */
  async tidy(kept: Kid): Promise<void> {
    const { keeper, calls, log } = this.#options
    const best = this.#options.best()
    if (this.#tidying.has(kept)) return void this.#tidying.set(kept, true)
    this.#tidying.set(kept, false)
    try {
      const stored = keeper.stored(kept)
      if (!best || !stored || keeper.head(kept)) return
      const said = await calls.absorbed(best, kept)
      if (!(await this.#contains(said, stored, best, baseOf(stored.parted, best)))) return
      log.log(
        'info',
        'fs',
        `forgetting the tree ${shortKid(kept)}: it was merged into ${this.#options.name} while this tab was away`,
      )
      await keeper.retire(kept)
    } catch (error) {
      log.log('debug', 'fs', `the tree ${shortKid(kept)} is kept for now: ${errorLine(error)}`)
    } finally {
      const again = () => {
        const asked = this.#tidying.get(kept)
        this.#tidying.delete(kept)
        if (asked) void this.tidy(kept)
      }
      this.#options.news.timer(again, limits.TREE_MERGE_PAUSE_MS, 'tidy again')
    }
  }

  /**
   * Brings what only one of two trees has into the other, in batches.
   * @throws {OsError} EEXIST when somebody makes one of them meanwhile: to be repeated from the beginning.
   */
  async #mergeInto(mine: TreeHead, target: TreeHead, parted: Parted): Promise<Brought> {
    const { tree, calls, self, keeper } = this.#options
    const theirs = await calls.head(target)
    let batch: TreeOp[] = []
    let bytes = 0
    const brought: Brought = { count: 0, beside: 0 }
    const flush = async () => {
      // With the names of all, once: whoever did not hear of a change asks the other tree next.
      const names = brought.count === 0 ? keeper.madeIn(mine.tree) : []
      if (batch.length > 0) await calls.apply(target, { ops: batch, names })
      brought.count += batch.length
      for (const op of batch) {
        if (!besideAnother(op, label)) continue
        brought.beside++
        brought.first ??= op.path
      }
      batch = []
      bytes = 0
    }
    const place = { mine: mine.root, theirs: theirs.root, ...parted }
    const label = shortNode(self)
    // Files of which both have one are told apart by whose they are.
    const apart = target.keg !== undefined
    const merge = { tree, apart, label, options: { hints: [theirs.home] } }
    for await (const op of mergeOps(merge, place)) {
      const opBytes = encode(op).byteLength
      if (batch.length === BATCH || bytes + opBytes > BATCH_BYTES) await flush()
      batch.push(op)
      bytes += opBytes
    }
    await flush()
    return brought
  }
}

/** Where a branch left the tree that it meets; see merge.ts. */
type Parted = { base: CidText | undefined; began?: CidText }

/** What was brought from one tree into another. */
interface Brought {
  /** Files and folders. */
  count: number
  /** Those of which both had one, and what the first of them is called now. */
  beside: number
  first?: string
}

function inWords({ count, beside, first }: Brought, name: string): string {
  const text = `two parts of the cluster met: ${count} files and folders of this tab were merged into ${name}`
  if (first === undefined) return text
  const more = beside > 1 ? ` and ${beside - 1} more` : ''
  return `${text}; the other part had changed some of them too: what was here is ${first}${more}`
}

/** Where a branch left that very tree; undefined for trees that were never one. */
function baseOf(parted: TreeBirth['base'], { tree }: TreeHead): CidText | undefined {
  return parted?.tree === tree ? parted.root : undefined
}
