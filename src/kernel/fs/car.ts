// CARs: a file or a directory with all its blocks as one file that any IPFS tool reads, with the CIDs that such tools give
// it. Directories of ours carry more than theirs, so they are made anew on the way out, and taken apart on the way in.
// Above: car-mount.ts, car-import.ts. Below: blocks, tree.ts. Source: https://ipld.io/specs/transport/car/carv1/ ; checked
// against @ipld/car and ipfs-unixfs-importer in car.test.ts.
import * as dagPb from '@ipld/dag-pb'
import { decode, encode } from 'cborg'
import { UnixFS } from 'ipfs-unixfs'
import { CID } from 'multiformats/cid'
import { concat, utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Blocks, FetchOptions } from '../blocks/blocks.ts'
import { type CidText, checkedCid, DAG_PB, isRawCid, parseCid, RAW } from '../blocks/cid.ts'
import {
  BLOCK_BYTES,
  MAX_BLOCK_BYTES,
  MAX_CAR_BLOCKS,
  MAX_CAR_HEADER_BYTES,
  MAX_TREE_DEPTH,
  MAX_TREE_DIRECTORIES,
  SHARD_ABOVE_BYTES,
} from '../limits.ts'
import { allCids, decodeNode, findLeaf, MalformedDag } from './dag.ts'
import type { Entry } from './directory.ts'
import type { NamedLink } from './hamt.ts'
import type { Tree } from './tree.ts'

/** A CIDv1 with sha2-256. */
const CID_BYTES = 36
const CID_TAG = 42

/** One block of a CAR, in its order: where it stands, and whence its bytes come. */
interface Section {
  start: number
  /** Of the whole section: length, CID and block. */
  length: number
  cid: CidText
  /** Of a directory, which is made here; undefined for a block that is stored. */
  bytes?: Uint8Array
}

/** A CAR that has not been written: its size and order are known, its content is read where it is wanted. */
export interface CarPlan {
  root: CidText
  size: number
  header: Uint8Array
  sections: readonly Section[]
}

export interface CarSource {
  tree: Tree
  blocks: Blocks
  options: FetchOptions
  /** Lets whatever else there is to do go first. */
  breathe?: () => Promise<void>
}

/** Names that are worked at in one go: some milliseconds. */
const BREATHE_EVERY = 2_048

/** @throws {OsError} EFBIG for more blocks than one CAR may have; EIO when a directory cannot be had. */
export async function planCar(source: CarSource, entry: Entry): Promise<CarPlan> {
  const planner = new Planner(source)
  const { cid } = await planner.plan(entry, 0)
  const header = headerOf(cid)
  let start = header.byteLength
  const sections = planner.sections.toReversed().map(({ cid, length, bytes }): Section => {
    const whole = varint(CID_BYTES + length).byteLength + CID_BYTES + length
    const section = { start, length: whole, cid, ...(bytes ? { bytes } : {}) }
    start += whole
    return section
  })
  return { root: cid, size: start, header, sections }
}

/** Bytes of a CAR, at most as many as asked for. */
export async function readCar(
  { blocks }: CarSource,
  { header, sections, size }: CarPlan,
  offset: number,
  length: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const end = Math.min(size, offset + length)
  const parts: Uint8Array[] = offset < header.byteLength ? [header.subarray(offset, end)] : []
  const wanted: Section[] = []
  for (let i = findLeaf(sections, offset); i < sections.length && (sections[i] as Section).start < end; i++) {
    wanted.push(sections[i] as Section)
    if (wanted.length >= CAR_READ_BLOCKS) break
  }
  const stored = wanted.filter(({ bytes }) => !bytes).map(({ cid }) => cid)
  const got = new Map((await blocks.getMany(stored, { signal })).map((bytes, i) => [stored[i], bytes]))
  for (const { start, length: planned, cid, bytes = got.get(cid) as Uint8Array } of wanted) {
    const whole = [varint(CID_BYTES + bytes.byteLength), parseCid(cid).bytes, bytes]
    if (whole.reduce((sum, piece) => sum + piece.byteLength, 0) !== planned) {
      throw new MalformedDag(`block ${cid} is not of the size that its file says`)
    }
    let at = start
    for (const piece of whole) {
      if (at < end && at + piece.byteLength > offset) {
        parts.push(piece.subarray(Math.max(0, offset - at), Math.min(piece.byteLength, end - at)))
      }
      at += piece.byteLength
    }
  }
  return concat(parts)
}

/** Blocks read at a time: directories and small files are many, large ones are bounded by what is asked for. */
const CAR_READ_BLOCKS = 256

class Planner {
  readonly #source: CarSource
  /** Children before their parents: a CAR has them the other way round. */
  readonly sections: { cid: CidText; length: number; bytes?: Uint8Array }[] = []
  readonly #planned = new Map<CidText, Planned>()
  readonly #blocks = new Set<CidText>()
  #directories = 0

  constructor(source: CarSource) {
    this.#source = source
  }

  /** @param entry a file, a directory or a link. */
  async plan(entry: Entry, depth: number): Promise<Planned> {
    const known = this.#planned.get(entry.cid)
    if (known) return known
    if (depth > MAX_TREE_DEPTH) throw new OsError('EFBIG', 'directories lie too deep for a CAR')
    const planned = entry.kind === 'directory' ? await this.#directory(entry.cid, depth) : await this.#file(entry)
    this.#planned.set(entry.cid, planned)
    return planned
  }

  async #directory(cid: CidText, depth: number): Promise<Planned> {
    const { tree, blocks, options, breathe } = this.#source
    if (++this.#directories > MAX_TREE_DIRECTORIES) throw new OsError('EFBIG', 'too many directories for a CAR')
    const links: NamedLink[] = []
    let counted = EMPTY_DIRECTORY_BYTES
    for (const [name, child] of [...(await tree.directory(cid, options))].reverse()) {
      const planned = await this.plan(child, depth + 1)
      const link = { Name: name, Hash: parseCid(planned.cid), Tsize: planned.size }
      links.push(link)
      // An importer decides before it knows what directories in it are called, unless they are empty.
      if (!planned.holds && counted <= SHARD_ABOVE_BYTES) counted += linkBytes(link)
      if (links.length % BREATHE_EVERY === 0) await breathe?.()
    }
    options.signal?.throwIfAborted()
    const holds = links.length > 0
    if (counted <= SHARD_ABOVE_BYTES) {
      const bytes = dagPb.encode(
        dagPb.prepare({ Data: new UnixFS({ type: 'directory' }).marshal(), Links: [...links] }),
      )
      if (bytes.byteLength <= MAX_BLOCK_BYTES) {
        const own = await blocks.cidOf(DAG_PB, bytes)
        this.#add(own, bytes.byteLength, bytes)
        return { cid: own, size: sizeOf(bytes.byteLength, links), holds }
      }
    }
    const { shardDirectory } = await loadHamt()
    const shards = await shardDirectory(links, (bytes) => blocks.cidOf(DAG_PB, bytes), breathe)
    for (const { cid: each, block } of shards.blocks) this.#add(each, block.byteLength, block)
    return { cid: shards.blocks.at(-1)?.cid as CidText, size: exact(shards.bytes), holds }
  }

  async #file(entry: Entry): Promise<Planned> {
    const { blocks, options } = this.#source
    if (isRawCid(entry.cid)) {
      this.#add(entry.cid, entry.size)
      return { cid: entry.cid, size: entry.size }
    }
    const root = await blocks.get(entry.cid, options)
    const { node } = decodeNode(entry.cid, root)
    const cids = entry.kind === 'symlink' ? [entry.cid] : await allCids(blocks, entry, options)
    const lengths: number[] = []
    for (const cid of cids) lengths.push(await this.#lengthOf(cid)) // the nodes above leaves come before them
    for (const [i, cid] of [...cids.entries()].reverse()) this.#add(cid, lengths[i] as number)
    return { cid: entry.cid, size: sizeOf(root.byteLength, node.Links) }
  }

  readonly #lengths = new Map<CidText, number>()

  /** Leaves are told by the nodes above them; only those nodes are read. */
  async #lengthOf(cid: CidText): Promise<number> {
    const known = this.#lengths.get(cid)
    if (known !== undefined) return known
    const bytes = await this.#source.blocks.get(cid, this.#source.options)
    if (isRawCid(cid)) return bytes.byteLength
    const { node, unixfs } = decodeNode(cid, bytes)
    for (const [i, { Hash }] of node.Links.entries()) {
      const length = Number(unixfs.blockSizes[i] ?? 0)
      if (length > MAX_BLOCK_BYTES && Hash.code === RAW) throw new MalformedDag(`block ${Hash} cannot be so large`)
      if (Hash.code === RAW) this.#lengths.set(Hash.toString(), length)
    }
    return bytes.byteLength
  }

  #add(cid: CidText, length: number, bytes?: Uint8Array): void {
    if (this.#blocks.has(cid)) return
    this.#blocks.add(cid)
    if (this.#blocks.size > MAX_CAR_BLOCKS) throw new OsError('EFBIG', `a CAR has at most ${MAX_CAR_BLOCKS} blocks`)
    this.sections.push({ cid, length, ...(bytes ? { bytes } : {}) })
  }
}

/** What stands in a directory: its CID and the bytes of all its blocks, those that are there twice counted twice. */
interface Planned {
  cid: CidText
  size: number
  /** It is a directory with something in it. */
  holds?: boolean
}

/** Bytes of a directory without links. */
const EMPTY_DIRECTORY_BYTES = 4

/** Bytes that a link adds to the block that it is in. */
function linkBytes({ Name, Hash, Tsize }: NamedLink): number {
  const field = (length: number) => 1 + varint(length).byteLength + length
  return field(field(Hash.byteLength) + field(utf8(Name).byteLength) + 1 + varint(Tsize).byteLength)
}

/** @throws {OsError} EAGAIN. */
async function loadHamt(): Promise<typeof import('./hamt.ts')> {
  try {
    return await import('./hamt.ts')
  } catch (error) {
    throw new OsError('EAGAIN', 'what large directories need could not be loaded: the relay is away', { cause: error })
  }
}

/** Bytes of a node and all below it, as its parent tells them. @throws {OsError} EFBIG. */
function sizeOf(own: number, links: readonly dagPb.PBLink[]): number {
  return exact(links.reduce((sum, { Tsize = 0 }) => sum + Tsize, own))
}

/** @throws {OsError} EFBIG. */
function exact(size: number): number {
  if (!Number.isSafeInteger(size)) throw new OsError('EFBIG', 'it unfolds into more bytes than a number can tell')
  return size
}

function headerOf(root: CidText): Uint8Array {
  // cborg encodes no tags by itself: the CID is put where a place was kept for it.
  const cid = concat([new Uint8Array([0]), parseCid(root).bytes])
  const map = encode({ roots: [cid], version: 1 })
  const at = map.findIndex((_, i) => cid.every((byte, j) => map[i + j] === byte)) - 2 // before the head of the bytes
  const tagged = concat([map.subarray(0, at), new Uint8Array([0xd8, CID_TAG]), map.subarray(at)])
  return concat([varint(tagged.byteLength), tagged])
}

/** @throws {OsError} EINVAL for what is no header of a CAR of version 1 with one root. */
export function rootOf(header: Uint8Array): CidText {
  let parsed: unknown
  try {
    const tags = { [CID_TAG]: (read: () => unknown) => CID.decode((read() as Uint8Array).subarray(1)) }
    parsed = decode(header, { tags: tags as never })
  } catch (error) {
    throw new OsError('EINVAL', 'it does not begin as a CAR does', { cause: error })
  }
  const { version, roots } = (parsed ?? {}) as { version?: unknown; roots?: unknown }
  if (version !== 1) throw new OsError('EINVAL', `it is a CAR of version ${String(version).slice(0, 20)}, not of 1`)
  const [root, ...more] = Array.isArray(roots) ? roots : []
  if (!(root instanceof CID) || more.length > 0) throw new OsError('EINVAL', 'a CAR with one root is needed')
  return stored(root)
}

/** @throws {OsError} EINVAL. */
function stored(cid: CID): CidText {
  if (cid.version === 0) throw new OsError('EINVAL', `it has CIDs of version 0, such as ${cid}: make it with version 1`)
  return String(checkedCid(cid))
}

/** Sections of a CAR, in order. @throws {OsError} EINVAL for what is no CAR; nothing is believed of it. */
export async function* carSections(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<{ root: CidText } | { cid: CidText; bytes: Uint8Array }> {
  const reader = new SectionReader(pieces)
  const header = await reader.next(MAX_CAR_HEADER_BYTES)
  if (!header) throw new OsError('EINVAL', 'it is empty')
  yield { root: rootOf(header) }
  for (let section = await reader.next(MAX_SECTION_BYTES); section; section = await reader.next(MAX_SECTION_BYTES)) {
    let cid: CID
    let rest: Uint8Array
    try {
      ;[cid, rest] = CID.decodeFirst(section)
    } catch (error) {
      throw new OsError('EINVAL', 'a block in it has no CID', { cause: error })
    }
    yield { cid: stored(cid), bytes: rest }
  }
}

const MAX_SECTION_BYTES = 2 * BLOCK_BYTES + 128

/** Cuts a stream where lengths say so. */
class SectionReader {
  readonly #pieces: AsyncIterator<Uint8Array>
  #held: Uint8Array = new Uint8Array(0)

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]()
  }

  /** Undefined at the end. */
  async next(most: number): Promise<Uint8Array | undefined> {
    let length = 0
    for (let i = 0; ; i++) {
      if (!(await this.#fill(i + 1))) {
        if (i === 0) return undefined
        throw new OsError('EINVAL', 'it ends in the middle of a block')
      }
      const byte = this.#held[i] as number
      length += (byte & 0x7f) * 2 ** (7 * i)
      if (length > most || i > 8) throw new OsError('EINVAL', `a block in it is of more than ${most} bytes`)
      if (byte < 0x80) {
        this.#held = this.#held.subarray(i + 1)
        break
      }
    }
    if (length === 0) throw new OsError('EINVAL', 'a block in it is empty')
    if (!(await this.#fill(length))) throw new OsError('EINVAL', 'it ends in the middle of a block')
    const section = this.#held.slice(0, length)
    this.#held = this.#held.subarray(length)
    return section
  }

  async #fill(length: number): Promise<boolean> {
    const parts = [this.#held]
    let have = this.#held.byteLength
    while (have < length) {
      const { value, done } = await this.#pieces.next()
      if (done) break
      parts.push(value)
      have += value.byteLength
    }
    if (parts.length > 1) this.#held = concat(parts)
    return have >= length
  }
}

function varint(value: number): Uint8Array {
  const out: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) out.push((rest % 128) | 0x80)
  return new Uint8Array([...out, rest])
}
