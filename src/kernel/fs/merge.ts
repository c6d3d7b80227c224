// What one tree has that another lacks, as changes to the other: used when two parts of a cluster that worked
// alone meet again. Nothing is lost: a file that both changed is kept under a second name.

import { utf8 } from '../../base/bytes.ts'
import { MAX_NAME_BYTES } from '../../syscalls/limits.ts'
import type { FetchOptions } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import { MAX_TREE_DIRECTORIES } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import type { Directory, Entry } from './directory.ts'
import { isLost } from './leaves.ts'
import { joinPath, splitPath } from './path.ts'
import type { Tree } from './tree.ts'

/** Between a name and whose second copy it is. */
const CONFLICT = '.conflict-'

export interface Merge {
  tree: Tree
  /** Of a keg: nothing is mounted in it, whatever a directory says. */
  apart?: boolean
  /** Names files of which both sides have one. */
  label: string
  options?: FetchOptions
}

/** Directories that stand at the same place in the trees; `base` is where the two parted, if that is known. */
interface Place {
  mine: CidText
  theirs: CidText
  base?: CidText | undefined
  /** What `mine` began with, if that is not `base`; null: nothing. What is not in it, `mine` has not removed. */
  began?: CidText | null | undefined
}

/**
 * Changes that bring what `mine` has, or what it has changed since `base`, into a tree whose root is `theirs`. Each is
 * refused with EEXIST if somebody changes the same name meanwhile: then compute the changes anew. A directory that nobody
 * has any more keeps nothing else from being brought: of `mine`, nothing below it is; of `base`, nothing counts as removed.
 */
export async function* mergeOps(merge: Merge, place: Place, at = ''): AsyncGenerator<TreeOp> {
  const { mine, theirs, base, began } = place
  if (mine === theirs || mine === base) return
  const { tree, options = {} } = merge
  const read = async (cid: CidText | undefined | null) => {
    const directory = cid ? await had(merge, cid) : undefined
    return merge.apart && directory ? unmounted(directory) : directory
  }
  const own = await read(mine)
  if (!own) return
  const other = (await read(theirs)) ?? (await tree.directory(theirs, options))
  const before = await read(base)
  const first = await read(began)
  for (const name of before?.keys() ?? []) {
    if (began !== undefined && !first?.has(name)) continue
    const [was, there] = [before?.get(name), other.get(name)]
    // What was removed here is removed, unless there is something else there now.
    if (own.has(name) || !was || !there || !(await leftOf(merge, was, there))) continue
    if (first && !same(was, there) && !(await leftOf(merge, first.get(name), there))) continue
    if (there.keg) yield { op: 'umount', path: `${at}/${name}`, mtimeMs: there.mtimeMs }
    yield removal(`${at}/${name}`, there)
  }
  for (const [name, entry] of own) {
    const [was, there] = [before?.get(name), other.get(name)]
    const path = `${at}/${name}`
    // A mode that was changed here, and there not.
    const moded = was && there && entry.mode !== was.mode && there.mode === was.mode && entry.kind === there.kind
    if (moded && entry.kind !== 'symlink') yield { op: 'set', path, mode: entry.mode }
    const cutAnew = was && there?.kind === 'directory' && entry.chunks !== was.chunks && there.chunks === was.chunks
    if (cutAnew && entry.kind === 'directory') yield { op: 'set', path, chunks: entry.chunks ?? 'fixed' }
    if (same(entry, there) || (was && same(entry, was))) continue
    if (!there && (await leftOf(merge, was, entry))) continue // removed there, with what is gone here too
    const left = was?.keg !== undefined && entry.keg === undefined && there?.keg === was.keg
    if (left) yield { op: 'umount', path, mtimeMs: entry.mtimeMs }
    const plain = !entry.keg && (left || !there?.keg)
    const both = plain && entry.kind === 'directory' && there?.kind === 'directory'
    if (both && (await had(merge, there.cid))) {
      const within = {
        base: directoryOf(was),
        began: began === undefined ? began : (directoryOf(first?.get(name)) ?? null),
      }
      yield* mergeOps(merge, { mine: entry.cid, theirs: there.cid, ...within }, path)
    } else if (was && there && same(was, there)) {
      if (there.keg) yield { op: 'umount', path, mtimeMs: entry.mtimeMs }
      if (entry.kind !== 'directory' && there.kind === entry.kind) yield* placing(merge, path, entry, there.cid)
      else yield* replace(merge, path, entry, there)
    } else {
      const free = there ? conflictName(own, other, name, entry, merge.label) : name
      if (free !== undefined) yield* add(merge, `${at}/${free}`, entry) // else merged before, under another name
    }
  }
}

/** Whether something is what was there, or a directory that lost some of what it had: then nothing of it is new. */
async function leftOf(
  { tree, options = {} }: Pick<Merge, 'tree' | 'options'>,
  was: Entry | undefined,
  now: Entry,
  budget = { left: MAX_TREE_DIRECTORIES },
): Promise<boolean> {
  if (!was) return false
  if (same(was, now)) return true
  const plain = was.kind === 'directory' && now.kind === 'directory' && !was.keg && !now.keg
  if (!plain || budget.left-- <= 0) return false
  const before = await had({ tree, options }, was.cid)
  const left = before && (await had({ tree, options }, now.cid))
  if (!left) return false
  for (const [name, entry] of left) {
    if (!(await leftOf({ tree, options }, before.get(name), entry, budget))) return false
  }
  return true
}

/** A directory; undefined when nobody has it any more. @throws {OsError} EIO when somebody may have it. */
function had({ tree, options = {} }: Pick<Merge, 'tree' | 'options'>, cid: CidText): Promise<Directory | undefined> {
  return orLost(tree.directory(cid, options))
}

/** @returns undefined for what nobody has any more. */
async function orLost<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading
  } catch (error) {
    if (!isLost(error)) throw error
    return undefined
  }
}

function directoryOf(entry: Entry | undefined): CidText | undefined {
  return entry?.kind === 'directory' ? entry.cid : undefined
}

/**
 * Whether a tree still lacks what another brought into it. Names do not count: of what both had, one is kept beside the
 * other. Nor does what stood in `base` already.
 * @param budget directories to compare at most, all together: a hostile tree has many that are worth a look.
 * @returns the path of a file of `mine` whose content is not in that directory of `theirs`, of one that there was no
 * budget to look for, or of a directory that is lost; undefined for none.
 * @throws {OsError} EIO when a directory cannot be had now.
 */
export async function lacking(
  tree: Tree,
  place: Place,
  options: FetchOptions,
  budget = { left: MAX_TREE_DIRECTORIES },
  at = '/',
): Promise<string | undefined> {
  const { mine, theirs, base } = place
  if (mine === theirs || mine === base) return undefined
  if (budget.left-- <= 0) return at
  const own = await had({ tree, options }, mine)
  const other = own && (await had({ tree, options }, theirs))
  if (!other) return at
  const before = base === undefined ? undefined : await had({ tree, options }, base)
  const there = new Set([...other.values()].map(({ kind, cid, keg = '' }) => `${kind} ${cid} ${keg}`))
  for (const [name, entry] of own) {
    const { kind, cid, keg = '' } = entry
    const was = before?.get(name)
    if (there.has(`${kind} ${cid} ${keg}`) || (was?.kind === kind && was.cid === cid && (was.keg ?? '') === keg))
      continue
    const path = joinPath([...splitPath(at), name])
    if (kind !== 'directory' || keg) return path
    // Removed there: of that, `mine` has nothing of its own.
    if (!other.has(name) && (await leftOf({ tree, options }, was, entry, budget))) continue
    const within = was?.kind === 'directory' ? was.cid : undefined
    let lost: string | undefined = path
    for (const [theirName, one] of other) {
      if (one.kind !== 'directory' || (theirName !== name && !theirName.includes(CONFLICT))) continue
      lost = await lacking(tree, { mine: cid, theirs: one.cid, base: within }, options, budget, path)
      if (lost === undefined) break
    }
    if (lost !== undefined) return lost
  }
  return undefined
}

async function* add(merge: Merge, path: string, entry: Entry): AsyncGenerator<TreeOp> {
  if (entry.kind !== 'directory') return yield* placing(merge, path, entry)
  const { mtimeMs, mode, chunks, keg } = entry
  yield { op: 'mkdir', path, recursive: true, mtimeMs, mode, ...(chunks ? { chunks } : {}) }
  if (keg) return yield { op: 'mount', path, keg, mtimeMs }
  yield* mergeOps(merge, { mine: entry.cid, theirs: await merge.tree.store(new Map()) }, path)
}

async function* replace(merge: Merge, path: string, entry: Entry, there: Entry): AsyncGenerator<TreeOp> {
  yield removal(path, there)
  yield* add(merge, path, entry)
}

function removal(path: string, there: Entry): TreeOp {
  return { op: 'remove', path, recursive: true, was: there.cid }
}

/** @param was what it replaces; nothing may be there unless told. */
async function* placing(merge: Merge, path: string, entry: Entry, was?: CidText): AsyncGenerator<TreeOp> {
  const { tree, options = {} } = merge
  const { kind, cid, size, mode, mtimeMs, chunks } = entry
  const over = was === undefined ? {} : { was }
  if (kind === 'symlink') {
    // Where one leads that nobody has any more cannot be told.
    const target = await orLost(tree.target(cid, options))
    if (target !== undefined) yield { op: 'symlink', path, target, mtimeMs, ...over }
    return
  }
  const cut = chunks ? { chunks } : {}
  yield { op: 'put', path, cid, size, mode, mtimeMs, ...cut, ...(was === undefined ? { exclusive: true } : over) }
}

/** The same directory with nothing mounted in it. */
function unmounted(directory: Directory): Directory {
  if (![...directory.values()].some(({ keg }) => keg)) return directory
  return new Map([...directory].map(([name, { keg: _, ...entry }]) => [name, entry]))
}

function same(a: Entry, b: Entry | undefined): boolean {
  return a.cid === b?.cid && a.kind === b.kind && a.keg === b.keg
}

/** A name that neither side uses; undefined when the other has this very entry under such a name already. */
function conflictName(own: Directory, other: Directory, name: string, entry: Entry, label: string): string | undefined {
  for (let count = 1; ; count++) {
    const candidate = conflicting(name, label, count)
    const there = other.get(candidate)
    if (same(entry, there)) return undefined
    if (!there && !own.has(candidate)) return candidate
  }
}

/** The name of somebody's own version of what another has changed too; no longer than names may be. */
export function conflicting(name: string, label: string, count: number): string {
  const tail = `${CONFLICT}${label}${count > 1 ? `-${count}` : ''}`
  return shortened(name, MAX_NAME_BYTES - tail.length) + tail
}

/** Whether that change brings what both sides had under that name, under another. */
export function besideAnother(op: TreeOp, label: string): op is TreeOp & { path: string } {
  return 'path' in op && op.op !== 'remove' && (splitPath(op.path).pop() ?? '').includes(CONFLICT + label)
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
