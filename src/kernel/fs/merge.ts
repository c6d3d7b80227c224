// What one tree has that another lacks, as changes to the other: used when two parts of a cluster that worked
// alone meet again. Nothing is lost: a file that both changed is kept under a second name.

import type { FetchOptions } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import type { TreeOp } from '../rpc/methods.ts'
import type { Tree } from './tree.ts'

/** Changes that bring the content of `mine` into a tree whose root is `theirs`. `label` names conflicting files. */
export async function* mergeOps(
  tree: Tree,
  mine: CidText,
  theirs: CidText,
  label: string,
  options: FetchOptions = {},
  at = '',
): AsyncGenerator<TreeOp> {
  if (mine === theirs) return
  const own = await tree.directory(mine, options)
  const other = await tree.directory(theirs, options)
  for (const [name, entry] of own) {
    const counterpart = other.get(name)
    const path = `${at}/${name}`
    if (counterpart?.cid === entry.cid) continue
    if (entry.kind === 'directory') {
      const into = counterpart && counterpart.kind !== 'directory' ? `${path}.conflict-${label}` : path
      if (into !== path || !counterpart) yield { op: 'mkdir', path: into, recursive: true, mtimeMs: entry.mtimeMs }
      const theirDirectory = into === path && counterpart ? counterpart.cid : await tree.store(new Map())
      yield* mergeOps(tree, entry.cid, theirDirectory, label, options, into)
    } else {
      const { cid, size, mode, mtimeMs } = entry
      yield { op: 'put', path: counterpart ? `${path}.conflict-${label}` : path, cid, size, mode, mtimeMs }
    }
  }
}
