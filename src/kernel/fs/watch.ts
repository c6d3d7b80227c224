// What has changed below a path between two versions of the tree: by comparing directories, of which those that did not
// change have the same CID and are not looked into. Above: fs.ts. Below: tree.ts.

import type { PathChange } from '../../syscalls/types.ts'
import type { FetchOptions } from '../blocks/blocks.ts'
import { isStoredCid } from '../blocks/cid.ts'
import { MAX_CHANGES } from '../limits.ts'
import type { Entry } from './directory.ts'
import type { Tree } from './tree.ts'

/** A version of whatever is at a path: changes with its content, its mode and its time. */
export function versionOf(entry: Entry | undefined): string {
  return entry ? `${entry.kind} ${entry.cid} ${entry.mode} ${entry.mtimeMs}${entry.keg ? ` ${entry.keg}` : ''}` : ''
}

/** The entry that a version is of, as far as a comparison needs it. */
export function entryOfVersion(version: string): Pick<Entry, 'kind' | 'cid'> | undefined {
  const [kind, cid] = version.split(' ')
  // It comes from the caller: what is no directory of ours is not looked for.
  if (cid === undefined) return undefined
  return kind === 'directory' && isStoredCid(cid) ? { kind, cid } : { kind: 'file', cid }
}

interface Comparison {
  tree: Tree
  options: FetchOptions
  recursive: boolean
  found: PathChange[]
}

/**
 * Changes of a path and below; paths are relative to it, and empty for itself.
 * @returns as many as one answer holds, and whether there are more.
 * @throws {OsError} EIO when a directory cannot be had.
 */
export async function changesBetween(
  comparison: Omit<Comparison, 'found'>,
  before: Pick<Entry, 'kind' | 'cid'> | undefined,
  now: Pick<Entry, 'kind' | 'cid'> | undefined,
): Promise<{ changes: PathChange[]; more: boolean }> {
  const found: PathChange[] = []
  if (before?.kind === 'directory' && now?.kind === 'directory') {
    await compare({ ...comparison, found }, before.cid, now.cid, '')
  } else if (before || now) found.push({ what: before ? (now ? 'changed' : 'removed') : 'added', path: '' })
  return { changes: found.slice(0, MAX_CHANGES), more: found.length > MAX_CHANGES }
}

async function compare(comparison: Comparison, before: string, now: string, at: string): Promise<void> {
  const { tree, options, recursive, found } = comparison
  if (before === now) return
  const old = await tree.directory(before, options)
  const young = await tree.directory(now, options)
  const names = new Set([...old.keys(), ...young.keys()])
  for (const name of [...names].sort()) {
    if (found.length > MAX_CHANGES) return
    const [was, is] = [old.get(name), young.get(name)]
    if (versionOf(was) === versionOf(is)) continue
    const path = at + name
    if (!was || !is || was.kind !== is.kind) found.push({ what: was ? (is ? 'changed' : 'removed') : 'added', path })
    else if (is.kind !== 'directory') found.push({ what: 'changed', path })
    else {
      if (was.mode !== is.mode) found.push({ what: 'changed', path })
      if (recursive) await compare(comparison, was.cid, is.cid, `${path}/`)
      else if (was.mode === is.mode && was.cid !== is.cid) found.push({ what: 'changed', path })
    }
  }
}
