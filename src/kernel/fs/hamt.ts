// A directory that other tools cut into shards: a trie by the hash of each name, a block for each of its nodes. Loaded when
// the first large directory goes out (it brings a hash of its own). Above: car.ts. Below: nothing. Source:
// https://specs.ipfs.tech/unixfs/ ; checked against ipfs-unixfs-importer in car-shards.test.ts.
import * as dagPb from '@ipld/dag-pb'
import { murmur364 } from '@multiformats/murmur3'
import { UnixFS } from 'ipfs-unixfs'
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { type CidText, parseCid } from '../blocks/cid.ts'
import { MAX_SHARD_DEPTH } from '../limits.ts'

/** Children of one shard, each with a byte of the hash for its number. */
const FANOUT = 256
const HASH_BYTES = 8
/** The multicodec of murmur3-x64-64. */
const HASH_CODE = 0x22n

/** A link of a directory. */
export interface NamedLink {
  Name: string
  Hash: dagPb.PBLink['Hash']
  /** Bytes of what is there, with all below it. */
  Tsize: number
}

/** A name's hash, as far as it was needed. */
interface Hashed {
  link: NamedLink
  name: Uint8Array
  hash: Uint8Array
}

/** A node of the trie: in each place a name, or another node. The last place comes first. */
interface Shard {
  places: readonly (readonly [number, NamedLink | Shard])[]
  /** Set once those below have theirs. */
  cid?: CidText
  block?: Uint8Array
  /** Of it and all below it. */
  bytes?: number
}

/** A block that is made of it. */
export interface ShardBlock {
  cid: CidText
  block: Uint8Array
}

/** Blocks that are hashed at a time. */
const TOGETHER = 256
/** Names that are hashed in one go: some milliseconds. */
const BREATHE_EVERY = 2_048

/**
 * @param links names are all different; at least one.
 * @param nameOf hashes a block. @param breathe lets whatever else there is to do go first.
 * @returns the blocks, each after those below it; the last is the directory, and it with all below has so many bytes.
 * @throws {OsError} EFBIG when more names have the same hash than chance would have it.
 */
export async function shardDirectory(
  links: readonly NamedLink[],
  nameOf: (block: Uint8Array) => Promise<CidText>,
  breathe?: () => Promise<void>,
): Promise<{ blocks: ShardBlock[]; bytes: number }> {
  const hashed: Hashed[] = []
  for (const link of links) {
    const name = utf8(link.Name)
    hashed.push({ link, name, hash: hashOf(name) })
    if (hashed.length % BREATHE_EVERY === 0) await breathe?.()
  }
  const levels: Shard[][] = []
  const root = shard(hashed, 0, levels)
  for (const level of levels.reverse()) {
    for (let at = 0; at < level.length; at += TOGETHER) {
      await Promise.all(
        level.slice(at, at + TOGETHER).map(async (each) => {
          each.cid = await nameOf(encodeShard(each))
        }),
      )
    }
  }
  return { blocks: [...blocksOf(root)], bytes: root.bytes as number }
}

function shard(names: readonly Hashed[], depth: number, levels: Shard[][]): Shard {
  const made: Shard = {
    places: byNumber(names, depth).map(([number, some]) => {
      const [{ link }] = some as [Hashed]
      return [number, some.length === 1 ? link : shard(some, depth + 1, levels)]
    }),
  }
  const level = levels[depth] ?? []
  levels[depth] = level
  level.push(made)
  return made
}

function encodeShard(made: Shard): Uint8Array {
  const present = new Uint8Array(FANOUT / 8)
  let bytes = 0
  const links = made.places.map(([number, there]): NamedLink => {
    const prefix = number.toString(16).toUpperCase().padStart(2, '0')
    // The first number's bit is the last of all.
    const at = FANOUT / 8 - 1 - (number >> 3)
    present[at] = (present[at] ?? 0) | (1 << (number & 7))
    const link = isName(there)
      ? { ...there, Name: prefix + there.Name }
      : { Name: prefix, Hash: parseCid(there.cid as CidText), Tsize: there.bytes as number }
    bytes += link.Tsize
    return link
  })
  const data = new UnixFS({
    type: 'hamt-sharded-directory',
    data: present.subarray(present.findIndex((byte) => byte !== 0)),
    fanout: BigInt(FANOUT),
    hashType: HASH_CODE,
  })
  made.block = dagPb.encode(dagPb.prepare({ Data: data.marshal(), Links: links }))
  made.bytes = bytes + made.block.byteLength
  return made.block
}

function* blocksOf({ places, cid, block }: Shard): Generator<ShardBlock> {
  for (const [, there] of places) if (!isName(there)) yield* blocksOf(there)
  yield { cid: cid as CidText, block: block as Uint8Array }
}

function isName(there: NamedLink | Shard): there is NamedLink {
  return 'Name' in there
}

/** Which of them have the same byte in that place of their hashes; the last first. */
function byNumber(names: readonly Hashed[], depth: number): [number, Hashed[]][] {
  const found = new Map<number, Hashed[]>()
  for (const each of names) {
    const number = byteOf(each, depth)
    const some = found.get(number)
    if (some) some.push(each)
    else found.set(number, [each])
  }
  return [...found].sort(([a], [b]) => b - a)
}

/** A hash that is used up is followed by that of the name with a number behind it. */
function byteOf(each: Hashed, depth: number): number {
  if (depth >= MAX_SHARD_DEPTH) throw new OsError('EFBIG', `too many names have the hash of '${each.link.Name}'`)
  const at = depth % HASH_BYTES
  if (at === 0 && depth > 0) each.hash = hashOf(Uint8Array.of(...each.name, depth / HASH_BYTES))
  return each.hash[at] as number
}

function hashOf(name: Uint8Array): Uint8Array {
  return murmur364.encode(name) as Uint8Array
}
