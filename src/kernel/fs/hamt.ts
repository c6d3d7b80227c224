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

/** What the shards of a directory are, together. */
interface Shard {
  cid: CidText
  /** Of it and all below it. */
  bytes: number
}

/**
 * @param links names are all different; at least one.
 * @param add takes a block, those below it first. @returns its name.
 * @returns the first shard of all.
 * @throws {OsError} EFBIG when more names have the same hash than chance would have it.
 */
export function shardDirectory(
  links: readonly NamedLink[],
  add: (block: Uint8Array) => Promise<CidText>,
): Promise<Shard> {
  const hashed = links.map((link): Hashed => {
    const name = utf8(link.Name)
    return { link, name, hash: hashOf(name) }
  })
  return shard(hashed, 0, add)
}

async function shard(
  names: readonly Hashed[],
  depth: number,
  add: (block: Uint8Array) => Promise<CidText>,
): Promise<Shard> {
  const links: NamedLink[] = []
  const present = new Uint8Array(FANOUT / 8)
  let bytes = 0
  for (const [number, some] of byNumber(names, depth)) {
    const prefix = number.toString(16).toUpperCase().padStart(2, '0')
    // The first number's bit is the last of all.
    present[FANOUT / 8 - 1 - (number >> 3)] = (present[FANOUT / 8 - 1 - (number >> 3)] ?? 0) | (1 << (number & 7))
    const [{ link }] = some as [Hashed]
    if (some.length === 1) links.push({ ...link, Name: prefix + link.Name })
    else {
      const below = await shard(some, depth + 1, add)
      links.push({ Name: prefix, Hash: parseCid(below.cid), Tsize: below.bytes })
    }
    bytes += links.at(-1)?.Tsize ?? 0
  }
  const data = new UnixFS({
    type: 'hamt-sharded-directory',
    data: present.subarray(present.findIndex((byte) => byte !== 0)),
    fanout: BigInt(FANOUT),
    hashType: HASH_CODE,
  })
  const block = dagPb.encode(dagPb.prepare({ Data: data.marshal(), Links: links }))
  return { cid: await add(block), bytes: bytes + block.byteLength }
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
