// Brings what only one of two trees has into the other, in batches. Above: shared-tree.ts. Below: merge.ts.
import type { CidText } from '../blocks/cid.ts'
import type { TreeHead, TreeOp } from '../rpc/methods.ts'
import { mergeOps } from './merge.ts'
import type { Tree } from './tree.ts'

const BATCH = 500

/**
 * @param label names the files of which both have one.
 * @returns how many files and folders were brought over.
 * @throws {OsError} EEXIST when somebody makes one of them meanwhile: to be repeated from the beginning.
 */
export async function mergeInto(options: {
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
