// Trees that meet: the leader of the younger one brings what only it has into the older one, and retires it. Above:
// shared-tree.ts, which says who leads what. Below: merge.ts, tree-keeper.ts.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { CidText } from '../blocks/cid.ts'
import * as limits from '../limits.ts'
import type { TreeHead, TreeOp } from '../rpc/methods.ts'
import { mergeOps } from './merge.ts'
import type { Tree } from './tree.ts'
import type { TreeCalls } from './tree-calls.ts'
import type { TreeKeeper } from './tree-keeper.ts'
import type { TreeNews } from './tree-news.ts'

const BATCH = 500

export interface TreeMeetingOptions {
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
  /** This node leads other trees than before. */
  changed(): void
  /** For the user. */
  notice(text: string | undefined): void
}

export class TreeMeeting {
  readonly #options: TreeMeetingOptions
  /** Trees being merged into the one in use. */
  readonly #merging = new Set<Kid>()

  constructor(options: TreeMeetingOptions) {
    this.#options = options
  }

  /** Brings over what only a tree that this node leads has, and forgets it. */
  async merge(own: Kid): Promise<void> {
    if (this.#merging.has(own)) return
    this.#merging.add(own)
    const { keeper, news, log, oldest: target } = this.#options
    try {
      await keeper.pause(own)
      for (let attempt = 1; !news.closed; attempt++) {
        const [mine, oldest] = [keeper.head(own), target()]
        if (!mine || !oldest || oldest.tree === own) break
        try {
          await this.#bringOver(mine, oldest)
          break
        } catch (error) {
          const what = `could not merge the tree ${shortKid(own)} into / yet: ${errorLine(error)}`
          log.log('warn', 'fs', what, { root: mine.root })
          if (attempt % limits.TREE_MERGE_ATTEMPTS === 0) {
            this.#options.notice(`files of this tab could not be merged into / yet (their root is ${mine.root})`)
          }
          await news.wait(isOsError(error, 'EEXIST') ? limits.TREE_TURN_MS : limits.TREE_MERGE_PAUSE_MS)
        }
      }
    } finally {
      keeper.resume(own)
      this.#merging.delete(own)
    }
    if (keeper.head(own)) this.#options.changed()
  }

  async #bringOver(mine: TreeHead, target: TreeHead): Promise<void> {
    const { tree, keeper, self, log, calls } = this.#options
    const known = await calls.absorbed(target, mine.tree)
    let count = 0
    if (known < mine.version) {
      const theirs = await calls.head(target)
      const label = shortNode(self)
      const parted = keeper.base(mine.tree)
      const base = parted?.tree === theirs.tree ? parted.root : undefined
      const apply = (ops: readonly TreeOp[]) => calls.apply(target, { ops })
      count = await mergeInto({ tree, mine, theirs, base, label, apply })
      await calls.apply(target, { ops: [], absorbs: [mine.tree, mine.version] })
    }
    // Whoever led it for a moment in between may have changed it: then there is more to bring.
    if ((await keeper.confirm(mine.tree)).version !== mine.version)
      throw new OsError('EAGAIN', 'it was changed meanwhile')
    await keeper.retire(mine.tree)
    const notice = `two parts of the cluster met: ${count} files and folders of this tab were merged into /`
    log.log('info', 'fs', `${notice} (${shortKid(mine.tree)} into ${shortKid(target.tree)})`)
    this.#options.changed()
    this.#options.notice(count > 0 ? notice : undefined)
  }

  /** A tree that was merged while this node was away would wait for its other members for ever. */
  async tidy(kept: Kid): Promise<void> {
    const { keeper, calls, log } = this.#options
    const best = this.#options.best()
    try {
      if (!best || keeper.head(kept)) return
      if ((await calls.absorbed(best, kept)) < keeper.version(kept)) return
      log.log('info', 'fs', `forgetting the tree ${shortKid(kept)}: it was merged into / while this tab was away`)
      await keeper.retire(kept)
    } catch (error) {
      log.log('debug', 'fs', `the tree ${shortKid(kept)} is kept for now: ${errorLine(error)}`)
    }
  }
}

/**
 * Brings what only one of two trees has into the other, in batches.
 * @param label names the files of which both have one.
 * @returns how many files and folders were brought over.
 * @throws {OsError} EEXIST when somebody makes one of them meanwhile: to be repeated from the beginning.
 */
async function mergeInto(options: {
  tree: Tree
  mine: TreeHead
  theirs: TreeHead
  /** Where the two parted; undefined for trees that were never one. */
  base: CidText | undefined
  label: string
  apply: (ops: readonly TreeOp[]) => Promise<unknown>
}): Promise<number> {
  const { tree, mine, theirs, base, label, apply } = options
  let batch: TreeOp[] = []
  let count = 0
  const flush = async () => {
    if (batch.length > 0) await apply(batch)
    count += batch.length
    batch = []
  }
  const place = { mine: mine.root, theirs: theirs.root, base }
  for await (const op of mergeOps({ tree, label, options: { hints: [theirs.home] } }, place)) {
    batch.push(op)
    if (batch.length === BATCH) await flush()
  }
  await flush()
  return count
}
