// /keg: every version of `/` that is remembered, as a read-only directory: by its number, its names or the KID of its root.
// And every other keg by its KID, as it is now or, as in K-…@12, in a version.
import { isOsError, OsError } from '../../base/errors.ts'
import { isKid, isKidPrefix, type Kid } from '../../base/ids.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { DagReader } from './dag.ts'
import { infoOf } from './directory.ts'
import type { Mount } from './fs.ts'
import { fileReader } from './handles.ts'
import type { Kegs } from './kegs.ts'
import type { MountTable } from './mount-table.ts'
import { pageOf } from './parted.ts'
import type { Past } from './past.ts'
import { permit, READ } from './permissions.ts'
import type { Place, Tree } from './tree.ts'
import type { Version } from './versions.ts'

export interface KegMountOptions {
  kegs: Kegs
  mounts: MountTable
  past: Past
  tree: Tree
  blocks: Blocks
}

type Sources = Pick<KegMountOptions, 'kegs' | 'mounts' | 'past'>

/** A version of `/`, or of the keg whose KID it begins with, or the beginning of it. @throws {OsError} ENOENT, EINVAL, EHOSTUNREACH. */
export async function versionAt(
  sources: Sources,
  text: string,
  signal: AbortSignal,
): Promise<Pick<Version, 'root' | 'atMs'>> {
  const { kegs, past } = sources
  const [name = '', version] = text.split(/@(.*)/s)
  if (!isKidPrefix(name)) return past.root.find(text, signal)
  const ofRoot =
    version === undefined && !kegs.names.includes(name as Kid) ? await rootNamed(past, name, signal) : undefined
  if (ofRoot && isKid(name)) return ofRoot
  const keg = isKid(name) ? name : await kegNamed(sources, name, ofRoot !== undefined, signal)
  if (keg === undefined) return ofRoot ?? past.root.find(text, signal)
  const { root } = await kegs.view(keg, signal)
  if (version === undefined) return { root, atMs: 0 }
  return (await past.of(keg)).find(version, signal)
}

/** The version of `/` with such a root. @throws {OsError} EINVAL where several have. */
async function rootNamed(past: Past, text: string, signal: AbortSignal): Promise<Version | undefined> {
  try {
    return await past.root.find(text, signal)
  } catch (error) {
    if (isOsError(error, 'ENOENT')) return undefined
    throw error
  }
}

/** The keg that is mounted, or known here, whose KID begins so. @throws {OsError} EINVAL where it could be another, too. */
async function kegNamed({ mounts }: Sources, text: string, another: boolean, signal: AbortSignal) {
  const [keg, second] = await mounts.named(text, signal)
  if (second || (keg && another)) {
    throw new OsError('EINVAL', `${text} begins several KIDs, of kegs or versions: give more of it`)
  }
  return keg
}

export function kegMount({ kegs, mounts, past, tree, blocks }: KegMountOptions): Mount {
  const signal = new AbortController().signal // a mount's calls are short, and nobody cancels them
  const top = { kind: 'directory' as const, size: 0, mtimeMs: 0, mode: 0o555 }

  /** Undefined for a version that is not remembered. */
  async function place(
    [version = '', ...names]: readonly string[],
    last = true,
  ): Promise<(Place & { atMs: number }) | undefined> {
    try {
      const { root, atMs } = await versionAt({ kegs, mounts, past }, version, signal)
      return { ...(await tree.resolve({ root, options: {} }, names, { last })), atMs }
    } catch (error) {
      if (error instanceof OsError && error.code === 'ENOENT') return undefined
      throw error
    }
  }

  return {
    async stat(names, last) {
      if (names.length === 0) return top
      const found = await place(names, last)
      if (!found?.entry) return undefined
      const { kind, cid, mode, mtimeMs } = found.entry
      const time = names.length === 1 ? found.atMs : mtimeMs
      const info = { ...infoOf(found.entry), mode: mode & 0o555, mtimeMs: time }
      return kind === 'symlink' ? { ...info, target: await tree.target(cid) } : info
    },
    async list(names, page) {
      if (names.length === 0) {
        const { rows, names: given } = await past.root.all(signal)
        const at = new Map(rows.map(({ version, atMs }) => [version, atMs]))
        const numbers = rows.map(({ version, atMs }) => ({ ...top, name: String(version), mtimeMs: atMs }))
        const named = given.map(([name, version]) => ({ ...top, name, mtimeMs: at.get(version) ?? 0 }))
        const others = kegs.names.map((name) => ({ ...top, name }))
        return [...numbers, ...named, ...others].sort((a, b) => (a.name < b.name ? -1 : 1))
      }
      const found = await place(names)
      if (!found?.entry) throw new OsError('ENOENT', `/keg/${names.join('/')}: no such directory`)
      permit(`/keg/${names.join('/')}`, found.entry, READ)
      const directory = await tree.directory(found.entry.cid)
      return pageOf(directory, { ...page, limit: page.limit + 1 }).map(([name, { kind, size, mode, mtimeMs }]) => {
        return { name, kind, size, mode: mode & 0o555, mtimeMs }
      })
    },
    async open(names) {
      const found = await place(names)
      if (!found?.entry) throw new OsError('ENOENT', `/keg/${names.join('/')}: no such file`)
      permit(`/keg/${names.join('/')}`, found.entry, READ)
      return fileReader(new DagReader(blocks, found.entry), found.entry.size)
    },
  }
}
