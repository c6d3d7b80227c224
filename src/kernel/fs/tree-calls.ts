// What is asked of whoever leads a tree, the same whether it is this node or another. Above: shared-tree.ts,
// tree-meeting.ts. Below: tree-keeper.ts, rpc, membership.
import { OsError } from '../../base/errors.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import { MAX_VERSION_ROWS } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import type { MethodResult } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import { ofKeg } from './tree-head.ts'
import type { Absorbed } from './tree-journal.ts'
import type { TreeKeeper } from './tree-keeper.ts'
import type { Applied, Change } from './tree-leading.ts'

export type VersionPage = MethodResult<'tree.versions'>

export interface TreeCallsOptions {
  keeper: TreeKeeper
  rpc: RpcNode
  membership: Membership
  /** Told what that node says that it leads. */
  answered(home: NodeId, head: TreeHead | null): void
}

export class TreeCalls {
  readonly #options: TreeCallsOptions
  /** To whom the small files of a change went ahead last. */
  readonly #enclosed = new WeakMap<Change, NodeId>()

  constructor(options: TreeCallsOptions) {
    this.#options = options
  }

  /** @throws {OsError} EAGAIN when it is not certain that it still leads; EHOSTUNREACH. */
  async head({ tree, home, keg }: TreeHead, signal?: AbortSignal): Promise<TreeHead> {
    const { rpc, membership, keeper, answered } = this.#options
    if (home === rpc.self) return keeper.confirm(tree)
    await membership.reach(home, signal)
    const head = await rpc.call(home, 'tree.head', ofKeg({ tree }, keg), { signal })
    answered(home, head)
    if (head?.tree !== tree) throw new OsError('EAGAIN', 'it does not lead that tree')
    return head
  }

  /** @throws {OsError} POSIX codes; EAGAIN, ENOQUORUM, EHOSTUNREACH: nothing was changed; ECONNRESET: perhaps changed. */
  async apply({ tree, home }: TreeHead, change: Change, signal?: AbortSignal): Promise<Applied> {
    const { rpc, membership, keeper, answered } = this.#options
    if (home === rpc.self) return keeper.apply(tree, change, rpc.self)
    await membership.reach(home, signal)
    const { ops, ack, absorbs, mark, once, names, past } = change
    // Not with each try.
    if (this.#enclosed.get(change) !== home) keeper.enclose(home, ops)
    this.#enclosed.set(change, home)
    const args = {
      tree,
      ops: [...ops],
      ack,
      absorbs: absorbs && ([...absorbs] as [Kid, number]),
      mark,
      once,
      names: names && [...names],
      past: past && [...past],
    }
    const applied = await rpc.call(home, 'tree.apply', args, { signal })
    answered(home, applied.head)
    return applied
  }

  /** How far that tree contains another, in its leader's words; null when it never met it. */
  async absorbed({ tree, home }: TreeHead, other: Kid): Promise<Absorbed | null> {
    const { rpc, keeper, membership } = this.#options
    if (home === rpc.self) return keeper.absorbed(tree, other) ?? null
    await membership.reach(home)
    return rpc.call(home, 'tree.absorbed', { tree, other })
  }

  /** Versions that its leader remembers, older than `before`, from the newest on. @throws {OsError} EAGAIN, EHOSTUNREACH. */
  async versions({ tree, home }: TreeHead, before: number | null, signal?: AbortSignal): Promise<VersionPage> {
    const { rpc, keeper, membership } = this.#options
    if (home === rpc.self) return versionPage(keeper, tree, before)
    await membership.reach(home, signal)
    return rpc.call(home, 'tree.versions', { tree, before }, { signal })
  }
}

/** @throws {OsError} EAGAIN when the tree is not kept here. */
export function versionPage(keeper: TreeKeeper, tree: Kid, before: number | null): VersionPage {
  const versions = keeper.versions(tree)
  if (!versions) throw new OsError('EAGAIN', 'this node does not keep that tree')
  const older = versions.rows().filter(({ version }) => before === null || version < before)
  return {
    rows: older.slice(0, MAX_VERSION_ROWS),
    names: [...versions.names()],
    more: older.length > MAX_VERSION_ROWS,
  }
}
