// What one tree has that another lacks, as changes to the other: used when two parts of a cluster that worked
// alone meet again. Nothing is lost: a file that both changed is kept under a second name.

import { utf8 } from '../../base/bytes.ts'
import { MAX_NAME_BYTES } from '../../syscalls/limits.ts'
import type { FetchOptions } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import type { TreeOp } from '../rpc/methods.ts'
import type { Directory, Entry } from './directory.ts'
import type { Tree } from './tree.ts'

/**
 * Changes that bring the content of `mine` into a tree whose root is `theirs`. `label` names conflicting files.
 * New files are `exclusive`: if somebody else makes one of that name meanwhile, compute the changes anew.
 */
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
    const there = other.get(name)
    if (there?.cid === entry.cid && there.kind === entry.kind) continue
    if (entry.kind === 'directory' && there?.kind === 'directory') {
      yield* mergeOps(tree, entry.cid, there.cid, label, options, `${at}/${name}`)
      continue
    }
    const free = there ? conflictName(own, other, name, entry, label) : name
    if (free === undefined) continue // merged before, under another name
    const path = `${at}/${free}`
    if (entry.kind === 'directory') {
      yield { op: 'mkdir', path, recursive: true, mtimeMs: entry.mtimeMs }
      yield* mergeOps(tree, entry.cid, await tree.store(new Map()), label, options, path)
    } else {
      const { cid, size, mode, mtimeMs } = entry
      yield { op: 'put', path, cid, size, mode, mtimeMs, exclusive: true }
    }
  }
}

/** A name that neither side uses; undefined when the other has this very entry under such a name already. */
function conflictName(own: Directory, other: Directory, name: string, entry: Entry, label: string): string | undefined {
  for (let count = 1; ; count++) {
    const tail = `.conflict-${label}${count > 1 ? `-${count}` : ''}`
    const candidate = shortened(name, MAX_NAME_BYTES - tail.length) + tail
    const there = other.get(candidate)
    if (there?.cid === entry.cid && there.kind === entry.kind) return undefined
    if (!there && !own.has(candidate)) return candidate
  }
}

/** At most `bytes` of a name in UTF-8, cut between characters. */
function shortened(name: string, bytes: number): string {
  let out = ''
  let used = 0
  for (const character of name) {
    used += utf8(character).byteLength
    if (used > bytes) break
    out += character
  }
  return out
}
