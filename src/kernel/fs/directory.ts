// One immutable directory as a block: a UnixFS directory node that any IPFS tool can list. What UnixFS has no
// place for (mode, time and size of the entries) travels in the node's own data field, which such tools skip.
import * as dagPb from '@ipld/dag-pb'
import { decode, encode } from 'cborg'
import { UnixFS } from 'ipfs-unixfs'
import * as v from 'valibot'
import { concat, fromUtf8, utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { isKid, type Kid } from '../../base/ids.ts'
import { Latest } from '../../base/latest.ts'
import { MAX_PATH_LENGTH } from '../../syscalls/limits.ts'
import type { FileInfo } from '../../syscalls/types.ts'
import { type CidText, kidOfCid, parseCid } from '../blocks/cid.ts'
import { MAX_BLOCK_BYTES, MAX_ENCODED_LINKS, MAX_LINK_BYTES } from '../limits.ts'
import type { Chunks } from './chunker.ts'
import { decodeNode, MalformedDag } from './dag.ts'

export interface Entry {
  kind: 'file' | 'directory' | 'symlink'
  cid: CidText
  /** Bytes of content, or of a link's target; 0 for directories. */
  size: number
  mode: number
  mtimeMs: number
  /** How a file is cut into leaves, where that is not every mebibyte; of a directory: how files that are made in it are. */
  chunks?: Chunks | undefined
  /** Of a directory, which is empty: the keg that is mounted over it. */
  keg?: Kid | undefined
}

/** What callers are told of it. */
export function infoOf({ kind, size, mtimeMs, mode, cid, chunks, keg }: Entry): Omit<FileInfo, 'path'> {
  const known = { kind, size, mtimeMs, mode, kid: kidOfCid(parseCid(cid)), cid }
  return { ...known, ...(chunks ? { chunks } : {}), ...(keg ? { keg } : {}) }
}

/** Entries by name. Never changed in place once it has a CID. */
export type Directory = ReadonlyMap<string, Entry>

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** By their numbers in the details of a directory. */
const KINDS = ['file', 'directory', 'symlink'] as const
/** kind, size, mode, mtimeMs; and 1 for what is cut by content; of a directory, the keg that is mounted over it. */
const plain = [v.picklist([0, 1, 2]), int, int, int] as const
const mounted = [
  v.literal(1),
  int,
  int,
  int,
  v.picklist([0, 1]),
  v.custom<Kid>((value) => typeof value === 'string' && isKid(value)),
] as const
const detailsOf = v.map(
  v.string(),
  v.union([v.strictTuple(plain), v.strictTuple([...plain, v.literal(1)]), v.strictTuple(mounted)]),
)

/**
 * Links as they were encoded lately, by all that is in them: of the hundreds in a directory, one change leaves all others as they
 * are. (In Protocol Buffers, messages one after the other are one with the fields of all.)
 */
const encodedLinks = new Latest<Uint8Array>(MAX_ENCODED_LINKS)

function encodedLink(name: string, { cid, size }: Entry): Uint8Array {
  const key = `${cid} ${size} ${name}`
  const known = encodedLinks.get(key)
  if (known) return known
  const bytes = dagPb.encode({ Links: [{ Name: name, Hash: parseCid(cid), Tsize: size }] })
  encodedLinks.set(key, bytes)
  return bytes
}

/** The order of their UTF-8, in which links have to be. */
function byCodePoint(a: string, b: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}

/** Halves of characters beyond the first 65,536 come after all others. */
function rank(unit: number): number {
  return (unit & 0xf800) === 0xd800 ? unit + 0x10000 : unit
}

/** No entry is called so: its details say that the entries are parts of one directory. */
const PARTED = ''

/**
 * @param parted the entries are parts of the directory, called as the last name in each: to whoever only looks for blocks,
 * they are directories like others.
 * @throws {OsError} EFBIG when there are too many entries for one block.
 */
export function encodeDirectory(directory: Directory, parted = false): Uint8Array {
  const names = [...directory.keys()].sort(byCodePoint)
  const details: [string, (number | Kid)[]][] = names.map((name) => {
    const { kind, size, mode, mtimeMs, chunks, keg } = directory.get(name) as Entry
    const cut = chunks === 'content' ? 1 : 0
    if (keg && kind !== 'directory') throw new OsError('EINVAL', `a keg is mounted over a directory, not a ${kind}`)
    const more = keg ? [cut, keg] : cut ? [cut] : []
    return [name, [KINDS.indexOf(kind), size, mode, mtimeMs, ...more]]
  })
  const data = encode(new Map(parted ? [[PARTED, [1, 0, 0, 0]], ...details] : details))
  const node = { Data: new UnixFS({ type: 'directory', data }).marshal(), Links: [] }
  const bytes = concat([...names.map((name) => encodedLink(name, directory.get(name) as Entry)), dagPb.encode(node)])
  if (bytes.byteLength > MAX_BLOCK_BYTES) {
    throw new OsError('EFBIG', `a directory of ${directory.size} entries does not fit one block: use subdirectories`)
  }
  return bytes
}

/** @returns its entries, or its parts. @throws {OsError} EIO when the block is not such a directory. */
export function decodeDirectory(cid: CidText, bytes: Uint8Array): Directory {
  return decodeDirectoryBlock(cid, bytes).entries
}

/** @throws {OsError} EIO when the block is not such a directory. */
export function decodeDirectoryBlock(cid: CidText, bytes: Uint8Array): { entries: Directory; parted: boolean } {
  const { node, unixfs } = decodeNode(cid, bytes)
  if (unixfs.type !== 'directory') throw new MalformedDag(`block ${cid} is a ${unixfs.type}, not a directory`)
  let known: v.InferOutput<typeof detailsOf> = new Map()
  if (unixfs.data && unixfs.data.byteLength > 0) {
    try {
      known = v.parse(detailsOf, decode(unixfs.data, { useMaps: true }))
    } catch (error) {
      throw new MalformedDag(`directory ${cid} has malformed details`, { cause: error })
    }
  }
  const directory = new Map<string, Entry>()
  for (const link of node.Links) {
    const name = link.Name ?? ''
    const [kind, size, mode, mtimeMs, cut, keg] = known.get(name) ?? [0, link.Tsize ?? 0, 0o644, 0]
    if (!isEntryName(name)) throw new MalformedDag(`directory ${cid} has an entry without a proper name`)
    const more = { ...(cut === 1 ? { chunks: 'content' as const } : {}), ...(keg ? { keg } : {}) }
    directory.set(name, { kind: KINDS[kind], cid: String(link.Hash), size, mode, mtimeMs, ...more })
  }
  return { entries: directory, parted: known.has(PARTED) }
}

/** A symbolic link as a block, as any IPFS tool makes it. */
export function encodeLink(target: string): Uint8Array {
  return dagPb.encode({ Data: new UnixFS({ type: 'symlink', data: utf8(target) }).marshal(), Links: [] })
}

/** @returns where it leads. @throws {OsError} EIO when the block is no symbolic link. */
export function decodeLink(cid: CidText, bytes: Uint8Array): string {
  const { unixfs } = decodeNode(cid, bytes)
  if (unixfs.type !== 'symlink' || !unixfs.data || unixfs.data.byteLength > MAX_LINK_BYTES) {
    throw new OsError('EIO', `block ${cid} is no symbolic link`)
  }
  const target = fromUtf8(unixfs.data)
  if (target === '' || target.length > MAX_PATH_LENGTH) throw new OsError('EIO', `link ${cid} leads to no path`)
  return target
}

function isEntryName(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !name.includes('/') && !name.includes('\0')
}
