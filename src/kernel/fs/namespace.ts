// One namespace over all kegs: paths lead from `/` into those that are mounted, and a change is made in the keg that it is
// of. Above: fs.ts, process/effects.ts. Below: kegs.ts, tree.ts.
//
// A change goes to `/` as it is, whose leader follows links at that moment. Where its path leads out of `/`, that is said
// (EXDEV), and the keg is looked for here.
import { isOsError, OsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { Ack } from '../../syscalls/types.ts'
import type { CidText } from '../blocks/cid.ts'
import { MAX_KEGS } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import type { Kegs } from './kegs.ts'
import type { Mountless } from './mountless.ts'
import { isWithin, joinPath, splitPath } from './path.ts'
import { permit, READ } from './permissions.ts'
import type { SharedTree } from './shared-tree.ts'
import { type Place, present, type Reading, type ResolveOptions, resolve, type Tree } from './tree.ts'

/** Changes of one keg, in its own paths. */
export interface Part {
  tree: SharedTree
  ops: TreeOp[]
}

interface Routed {
  keg: Kid | undefined
  op: TreeOp
}

type Two = Extract<TreeOp, { from: string }>

export class Namespace {
  readonly #kegs: Kegs
  readonly #tree: Tree
  /** Where paths were seen to lead into another keg. */
  readonly #crossings = new Set<string>()
  readonly #mountless: Mountless

  constructor(options: { kegs: Kegs; tree: Tree; mountless: Mountless }) {
    this.#kegs = options.kegs
    this.#tree = options.tree
    this.#mountless = options.mountless
  }

  get root(): SharedTree {
    return this.#kegs.root
  }

  /** What is at some names. @throws {OsError} ELOOP, EIO, EHOSTUNREACH. */
  async resolve(names: readonly string[], how: ResolveOptions, signal: AbortSignal): Promise<Place> {
    const view = await this.root.view(signal)
    const reading = this.#tree.reading(view, (keg) => this.#enter(keg, signal))
    const place = await resolve(reading, view.root, names, how)
    if (place.mounted) this.#crossed(joinPath(place.names.slice(0, place.mounted.depth)))
    return place
  }

  /** All of them or none. @throws {OsError} POSIX codes; EXDEV for a move from one keg to another, and for changes of several. */
  async apply(ops: readonly TreeOp[], ack: Ack['level'] | undefined, signal: AbortSignal): Promise<Ack> {
    if (!ops.some((op) => this.#crosses(op))) {
      try {
        return (await this.root.apply({ ops, ack }, signal)).ack
      } catch (error) {
        if (!isOsError(error, 'EXDEV')) throw error
      }
    }
    const routed: Routed[] = []
    for (const op of ops) routed.push(await this.#route(op, signal))
    const keg = routed[0]?.keg
    if (routed.some((each) => each.keg !== keg)) throw new OsError('EXDEV', 'they are in different kegs')
    return (await (await this.#shared(keg)).apply({ ops: routed.map(({ op }) => op), ack }, signal)).ack
  }

  /**
   * Changes that are not all of `/`, by kegs, in their order. Each part is to be made before the next is asked for: what a
   * later one is about may be there only then.
   * @param perhapsMade they may have been made already: then a copy between kegs that cannot be made has been.
   */
  async *parts(ops: readonly TreeOp[], perhapsMade: boolean, signal: AbortSignal): AsyncGenerator<Part> {
    let keg: Kid | undefined
    let group: Routed[] = []
    const flush = async function* (this: Namespace) {
      if (group.length > 0) yield { tree: await this.#shared(keg), ops: group.map(({ op }) => op) }
      group = []
    }.bind(this)
    /** Of those in the group, as they were asked for. */
    let asked: TreeOp[] = []
    for (const op of ops) {
      // What is copied from one keg to another is looked at when it is copied.
      if (op.op === 'copy' || asked.some((earlier) => leadsElsewhere(earlier, op))) {
        yield* flush()
        asked = []
      }
      const routed = await this.#routed(op, perhapsMade, signal)
      if (!routed) continue
      if (routed.keg !== keg) {
        yield* flush()
        asked = []
      }
      keg = routed.keg
      group.push(routed)
      asked.push(op)
    }
    yield* flush()
  }

  /** @returns undefined for a copy between kegs that was made already. */
  async #routed(op: TreeOp, perhapsMade: boolean, signal: AbortSignal): Promise<Routed | undefined> {
    try {
      return await this.#route(op, signal)
    } catch (error) {
      const made = op.op === 'copy' && ['ENOENT', 'ENOTEMPTY', 'EEXIST'].some((code) => isOsError(error, code as never))
      if (perhapsMade && made) return undefined
      throw error
    }
  }

  /**
   * Mounts a keg, or a new one, over an empty directory.
   * @throws {OsError} EHOSTUNREACH when nobody here knows it; EBUSY, ENOTEMPTY, ENOTDIR, EINVAL.
   */
  async mount(path: string, keg: Kid | null, mtimeMs: number, signal: AbortSignal): Promise<Ack> {
    if (keg) await this.#kegs.view(keg, signal)
    const mounted = keg ?? (await this.#kegs.create(signal))
    try {
      return await this.apply([{ op: 'mount', path, keg: mounted, mtimeMs }], undefined, signal)
    } catch (error) {
      // Where nobody knows whether it is mounted now, it is kept.
      const perhaps = isOsError(error, 'ECONNRESET') || isOsError(error, 'ETIMEDOUT') || isOsError(error, 'ECANCELED')
      if (!keg && !perhaps) await this.#kegs.discard(mounted)
      throw error
    }
  }

  async #enter(keg: Kid, signal: AbortSignal): Promise<{ root: string; reading: Reading }> {
    const view = await this.#kegs.view(keg, signal)
    return { root: view.root, reading: this.#tree.reading(view) }
  }

  /** Whether a keg is mounted anywhere below a directory of `/`. */
  async #holdsMounts(cid: CidText, signal: AbortSignal): Promise<boolean> {
    if (this.#mountless.has(cid)) return false
    for (const entry of (await this.#tree.directory(cid, { signal })).values()) {
      if (entry.keg) return true
      if (entry.kind === 'directory' && (await this.#holdsMounts(entry.cid, signal))) return true
    }
    this.#mountless.add(cid)
    return false
  }

  #shared(keg: Kid | undefined): Promise<SharedTree> {
    return keg === undefined ? Promise.resolve(this.root) : this.#kegs.open(keg)
  }

  #crossed(at: string): void {
    this.#crossings.delete(at)
    this.#crossings.add(at)
    for (const oldest of this.#crossings) {
      if (this.#crossings.size <= MAX_KEGS) break
      this.#crossings.delete(oldest)
    }
  }

  /** Whether `/` would refuse it, as far as is known. */
  #crosses(op: TreeOp): boolean {
    if (this.#crossings.size === 0) return false
    const paths = 'from' in op ? [op.from, op.to] : [op.path]
    return paths.some((path) => [...this.#crossings].some((at) => path.startsWith(`${at}/`)))
  }

  /** The keg that a change is of, and what it is there. @throws {OsError} EXDEV, EINVAL. */
  async #route(op: TreeOp, signal: AbortSignal): Promise<Routed> {
    if ('from' in op) return this.#routeTwo(op, signal)
    const place = await this.resolve(splitPath(op.path), { last: followed(op) }, signal)
    const keg = place.mounted?.keg
    if (place.dead && (op.op === 'graft' || (op.op === 'mkdir' && op.recursive))) {
      throw new OsError('ENOTDIR', `${op.path}: a symbolic link on the way leads to nothing`)
    }
    if (keg && (op.op === 'mount' || op.op === 'umount')) {
      throw new OsError('EINVAL', `${op.path} is in a mounted keg: kegs are mounted in / only`)
    }
    return { keg, op: { ...op, path: inside(place) } }
  }

  async #routeTwo(op: Two, signal: AbortSignal): Promise<Routed> {
    const from = await this.resolve(splitPath(op.from), { last: false }, signal)
    const to = await this.resolve(splitPath(op.to), { last: false }, signal)
    const keg = to.mounted?.keg
    if (isWithin(to.names, from.names)) throw new OsError('EINVAL', `cannot ${op.op} ${op.from} into itself`)
    // The place where a keg is mounted is, as what is copied, all of that keg.
    if (from.mounted?.keg === keg && !from.entry?.keg) {
      return { keg, op: { ...op, from: inside(from), to: inside(to) } }
    }
    if (op.op === 'move') throw new OsError('EXDEV', `${op.from} and ${op.to} are in different kegs: copy it`)
    return this.#copied(op, from, to, signal)
  }

  /** A copy from one keg to another: the same blocks, to which another tree has names from now on. */
  async #copied(op: Two & { op: 'copy' }, from: Place, to: Place, signal: AbortSignal): Promise<Routed> {
    const { kind, cid, size, mode, mtimeMs, chunks } = present(from)
    const { mtimeMs: atMs, exclusive } = op
    const keg = to.mounted?.keg
    if (exclusive && to.entry) throw new OsError('EEXIST', `${op.to} exists already`)
    if (kind === 'symlink') {
      const target = await this.#tree.target(cid, { signal })
      return { keg, op: { op: 'symlink', path: inside(to), target, mtimeMs } }
    }
    const cut = chunks ? { chunks } : {}
    if (kind === 'file') {
      permit(op.from, { mode }, READ)
      const only = exclusive ? { exclusive } : {}
      // Through a link, as within one keg.
      const target = await this.resolve(splitPath(op.to), { last: !exclusive }, signal)
      const put = { op: 'put' as const, path: inside(target), cid, size, mode, mtimeMs: atMs, ...cut, ...only }
      return { keg: target.mounted?.keg, op: put }
    }
    if (to.entry && to.entry.kind !== 'directory') {
      throw new OsError('ENOTDIR', `cannot replace the file ${op.to} by a directory`)
    }
    if (to.entry && (await this.#tree.directory(to.entry.cid, { signal })).size > 0) {
      throw new OsError('ENOTEMPTY', `${op.to} is not empty`)
    }
    if (!from.mounted && (await this.#holdsMounts(cid, signal))) {
      throw new OsError('EXDEV', `a keg is mounted in ${op.from}: copy what is in it one by one`)
    }
    return { keg, op: { op: 'graft', path: inside(to), kind, cid, size, mode, mtimeMs, ...cut, atMs, beside: true } }
  }
}

/** Whether a path of the later one may lead elsewhere once the earlier one is made. */
function leadsElsewhere(earlier: TreeOp, later: TreeOp): boolean {
  if (!['symlink', 'move', 'copy', 'remove'].includes(earlier.op)) return false
  const moved = 'from' in earlier ? [earlier.from, earlier.to] : [earlier.path]
  const paths = 'from' in later ? [later.from, later.to] : [later.path]
  return paths.some((path) => moved.some((each) => path === each || path.startsWith(`${each}/`)))
}

/** Whether what it changes is what a link in the last place leads to: as tree-edit.ts has it. */
function followed(op: Exclude<TreeOp, Two>): boolean {
  switch (op.op) {
    case 'put':
      return !op.exclusive && op.was === undefined
    case 'set':
    case 'umount':
      return true
    case 'mkdir':
      return op.recursive
    default:
      return false
  }
}

/** Its path in its own keg. */
export function inside({ names, mounted }: Place): string {
  return joinPath(names.slice(mounted?.depth ?? 0))
}
