// Writing anywhere in a file, against the same done to plain bytes.
import * as dagPb from '@ipld/dag-pb'
import fc from 'fast-check'
import { UnixFS } from 'ipfs-unixfs'
import { beforeEach, describe, expect, it } from 'vitest'
import { SeededRandom } from '../../adapters/memory/random.ts'
import type { Disk } from '../../adapters/memory/stores.ts'
import { concat, equalBytes } from '../../base/bytes.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { DAG_PB, parseCid, RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { BLOCK_BYTES, MAX_CHANGED_LEAVES, MAX_DAG_LEAVES } from '../limits.ts'
import type { Chunks } from './chunker.ts'
import { allCids, DagReader, type FileRoot } from './dag.ts'
import { DagWriter } from './dag-writer.ts'

const MIB = 1024 * 1024
const random = new SeededRandom(5)
const noise = random.bytes(5 * MIB)

let disk: Disk
let blocks: Blocks
beforeEach(async () => {
  const lab = new Lab()
  ;({ disk, blocks } = blocksOf(lab, await lab.node('a')))
})

async function write(bytes: Uint8Array, chunks?: Chunks): Promise<FileRoot> {
  const writer = new DagWriter(blocks, { chunks })
  await writer.write(bytes)
  return writer.finish()
}

async function readAll(root: FileRoot): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of new DagReader(blocks, root).read(0, root.size)) parts.push(part)
  return concat(parts)
}

/** A file with leaves of those sizes, as another tool may have made it. */
async function foreign(sizes: readonly number[]): Promise<{ root: FileRoot; bytes: Uint8Array }> {
  const bytes = noise.slice(
    0,
    sizes.reduce((sum, size) => sum + size, 0),
  )
  const stored: [string, Uint8Array][] = []
  let at = 0
  for (const size of sizes) {
    const leaf = bytes.subarray(at, at + size)
    at += size
    stored.push([await blocks.cidOf(RAW, leaf), leaf])
  }
  const node = dagPb.encode({
    Data: new UnixFS({ type: 'file', blockSizes: sizes.map(BigInt) }).marshal(),
    Links: stored.map(([cid, leaf]) => ({ Name: '', Hash: parseCid(cid), Tsize: leaf.byteLength })),
  })
  const cid = await blocks.cidOf(DAG_PB, node)
  await blocks.putMany([...stored, [cid, node]])
  return { root: { cid, size: bytes.byteLength }, bytes }
}

type Op =
  | { do: 'write'; at: number; length: number }
  | { do: 'truncate'; size: number }
  | { do: 'read'; at: number }
  | { do: 'store' }

const offset = fc.oneof(
  fc.integer({ min: 0, max: 3 * MIB }),
  fc.constantFrom(0, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB - 1),
)
const length = fc.oneof(fc.integer({ min: 0, max: 5_000 }), fc.integer({ min: 0, max: MIB + 2 }))
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('write' as const), at: offset, length }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('truncate' as const), size: offset }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('read' as const), at: offset }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('store' as const) }) },
)

function apply(bytes: Uint8Array, each: Op): Uint8Array {
  if (each.do === 'read' || each.do === 'store') return bytes
  const size = each.do === 'truncate' ? each.size : Math.max(bytes.byteLength, each.at + each.length)
  const out = new Uint8Array(each.do === 'write' && each.length === 0 ? bytes.byteLength : size)
  out.set(bytes.subarray(0, out.byteLength))
  if (each.do === 'write' && each.length > 0) out.set(noise.subarray(0, each.length), each.at)
  return out
}

/** @returns the file as the writer and as plain bytes have it. */
async function both(start: FileRoot, bytes: Uint8Array, ops: readonly Op[]): Promise<[FileRoot, Uint8Array]> {
  const writer = await DagWriter.open(blocks, start, {})
  let expected = bytes
  for (const each of ops) {
    if (each.do === 'write') await writer.writeAt(each.at, noise.subarray(0, each.length))
    else if (each.do === 'truncate') await writer.truncate(each.size)
    else if (each.do === 'store') await writer.finish()
    else {
      const { bytes: found } = await writer.readAt(each.at, 1_000)
      expect(equalBytes(found, expected.subarray(each.at, each.at + found.byteLength))).toBe(true)
      expect(found.byteLength > 0 || each.at >= expected.byteLength).toBe(true)
    }
    expected = apply(expected, each)
    expect(writer.size).toBe(expected.byteLength)
  }
  return [await writer.finish(), expected]
}

describe('a file whose writing was interrupted', () => {
  const content = new SeededRandom(11).bytes(20 * MIB + 5)
  /** As much as is stored of it when a tab goes: then one with the same disk comes. */
  async function interrupted(chunks?: Chunks): Promise<string[]> {
    const writer = new DagWriter(blocks, { chunks })
    for (let at = 0; at < 18 * MIB; at += MIB) await writer.write(content.subarray(at, at + MIB))
    const lab = new Lab()
    ;({ blocks } = blocksOf(lab, await lab.node('b'), { disk }))
    return [...disk.blocks.keys()]
  }
  /** @returns the names of blocks that are stored meanwhile. */
  async function again(chunks?: Chunks): Promise<{ root: FileRoot; alreadyHere: number; stored: string[] }> {
    const stored: string[] = []
    disk.blocks.set = function (cid, bytes) {
      stored.push(cid)
      return Map.prototype.set.call(this, cid, bytes) as typeof this
    }
    const writer = new DagWriter(blocks, { chunks })
    for (let at = 0; at < content.byteLength; at += MIB) await writer.write(content.subarray(at, at + MIB))
    const root = await writer.finish()
    return { root, alreadyHere: writer.alreadyHere, stored }
  }

  it.each([[undefined], ['content'] as const])('goes on with what is here already, cut as %s', async (chunks) => {
    const before = await interrupted(chunks)
    expect(before.length).toBeGreaterThanOrEqual(16)
    const { root, alreadyHere, stored } = await again(chunks)
    expect(stored.filter((cid) => before.includes(cid))).toEqual([])
    expect(alreadyHere).toBe(before.reduce((sum, cid) => sum + (disk.blocks.get(cid)?.byteLength ?? 0), 0))
    expect(equalBytes(await readAll(root), content)).toBe(true)
    expect((await again(chunks)).alreadyHere).toBe(content.byteLength)
  })

  it('stores anew what the disk has corrupted meanwhile', async () => {
    const [first, second] = await interrupted()
    disk.blocks.set(second as string, new Uint8Array(MIB))
    const { alreadyHere, stored, root } = await again()
    expect(stored).toContain(second)
    expect(stored).not.toContain(first)
    expect(alreadyHere).toBe(MIB)
    expect(equalBytes(await readAll(root), content)).toBe(true)
  })

  it('is not taken for one where a block is there twice in itself', async () => {
    const writer = new DagWriter(blocks)
    for (let at = 0; at < 30; at++) await writer.write(new Uint8Array(MIB))
    await writer.finish()
    expect(writer.alreadyHere).toBe(0)
  })
})

describe('a file that is written anywhere', () => {
  it('is what plain bytes would be, and has the CID of a file written whole', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 3 * MIB }), fc.array(op, { maxLength: 8 }), async (size, ops) => {
        const bytes = noise.slice(0, size)
        const [root, expected] = await both(await write(bytes), bytes, ops)
        expect(equalBytes(await readAll(root), expected)).toBe(true)
        expect(root).toEqual(await write(expected))
      }),
      { numRuns: 40 },
    )
  })

  it('that is cut by content has the leaves of one that is written at once, whatever was done to it', async () => {
    // Also what repeats itself, where a cut is due to the largest size, and short pieces that move no cut.
    const flat = fc.record({ at: offset, length: fc.integer({ min: 1, max: 60_000 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: MIB / 4 }),
        fc.array(flat, { maxLength: 3 }),
        fc.array(op, { maxLength: 8 }),
        fc.boolean(),
        async (size, flats, ops, between) => {
          const bytes = noise.slice(0, size)
          for (const { at, length } of flats) bytes.fill(7, at % (size + 1), (at % (size + 1)) + length)
          const start = await write(bytes, 'content')
          expect(start.chunks).toBe('content')
          const half = between ? Math.floor(ops.length / 2) : 0
          const [middle, then] = await both(start, bytes, ops.slice(0, half))
          const [root, expected] = await both(middle, then, ops.slice(half))
          expect(equalBytes(await readAll(root), expected)).toBe(true)
          expect(root).toEqual(await write(expected, 'content'))
        },
      ),
      { numRuns: 60 },
    )
  })

  it('that is stored, and then changed behind its last whole leaf, changes nowhere else', async () => {
    const most = 12 * 1024
    const writer = new DagWriter(blocks, { chunks: 'content' })
    await writer.write(new Uint8Array(85 * most + most))
    await writer.finish()
    await writer.writeAt(85 * most + 5, new Uint8Array([9]))
    await writer.writeAt(100, new Uint8Array([1]))
    const bytes = await readAll(await writer.finish())
    expect([bytes[5], bytes[100], bytes[85 * most + 5]]).toEqual([0, 1, 9])
  })

  it('whose tail grew when it was cut anew can be made longer', async () => {
    const random = new SeededRandom(77)
    for (let round = 0; round < 10; round++) {
      const writer = new DagWriter(blocks, { chunks: 'content' })
      await writer.write(random.bytes(MIB))
      await writer.write(random.bytes(MIB - 850))
      const cut = 20_000 + random.below(40_000)
      await writer.writeAt(MIB - cut, new Uint8Array(cut - 10))
      await writer.finish()
      await writer.truncate(writer.size + 10)
      await writer.write(random.bytes(MIB))
      const root = await writer.finish()
      expect(root).toEqual(await write(await readAll(root), 'content'))
    }
  })

  it('is not taken for one with the same leaves and other sizes', async () => {
    const { root: liar, bytes } = await foreign([MIB, 5])
    const node = dagPb.decode(await blocks.get(liar.cid))
    const sizes = [BigInt(MIB - 7), 5n]
    const wrong = dagPb.encode({ ...node, Data: new UnixFS({ type: 'file', blockSizes: sizes }).marshal() })
    const cid = await blocks.put(DAG_PB, wrong)
    await DagWriter.open(blocks, { cid, size: MIB - 2 }, {}).then((writer) => writer.finish())
    expect(await write(bytes)).toMatchObject({ size: MIB + 5 })
    expect(equalBytes(await readAll(await write(bytes)), bytes)).toBe(true)
  })

  it('that is cut by content shares what is the same in two versions of it, wherever something was put in', async () => {
    const bytes = noise.slice(0, 4 * MIB)
    const first = await write(bytes, 'content')
    const stored = disk.usedBytes()
    expect(stored).toBeLessThan(bytes.byteLength * 1.04)
    for (const at of [0, MIB, 4 * MIB - 10]) {
      const before = disk.usedBytes()
      await write(concat([bytes.subarray(0, at), new Uint8Array([1, 2, 3]), bytes.subarray(at)]), 'content')
      expect(disk.usedBytes() - before).toBeLessThan(25_000)
    }
    const before = disk.usedBytes()
    const editor = await DagWriter.open(blocks, first, {})
    await editor.writeAt(2 * MIB, new Uint8Array([1, 2, 3]))
    await editor.finish()
    expect(disk.usedBytes() - before).toBeLessThan(25_000)
  })

  it('that is cut by content is plain UnixFS, whose nodes have not many children', async () => {
    const root = await write(noise, 'content')
    const cids = await allCids(blocks, root, {})
    const nodes = cids.filter((cid) => parseCid(cid).code === DAG_PB)
    for (const cid of nodes) expect(dagPb.decode(await blocks.get(cid)).Links.length).toBeLessThanOrEqual(64)
    expect(nodes.length).toBeLessThan(cids.length / 8)
    const { Data, Links } = dagPb.decode(await blocks.get(root.cid))
    const file = UnixFS.unmarshal(Data ?? new Uint8Array(0))
    expect(file).toMatchObject({ type: 'file', data: undefined })
    expect(Number(file.fileSize())).toBe(noise.byteLength)
    expect(Links.map(({ Name }) => Name).join('')).toBe('')
  })

  it('that another tool has made, with leaves of all sizes, is what plain bytes would be', async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: MIB + MIB / 2 }), { minLength: 2, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(sizes, fc.array(op, { maxLength: 6 }), async (leaves, ops) => {
        const { root: start, bytes } = await foreign(leaves)
        const [root, expected] = await both(start, bytes, ops)
        expect(equalBytes(await readAll(root), expected)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('whose last leaf is larger than ours is what plain bytes would be', async () => {
    const { root: start, bytes } = await foreign([MIB + MIB / 2])
    const ops: Op[] = [
      { do: 'write', at: MIB + 100, length: 10 },
      { do: 'write', at: bytes.byteLength, length: MIB },
      { do: 'write', at: MIB + MIB / 4, length: 7 },
      { do: 'read', at: MIB + MIB / 3 },
    ]
    const [root, expected] = await both(start, bytes, ops)
    expect(equalBytes(await readAll(root), expected)).toBe(true)
  })

  it('stores only what a change in the middle touches', async () => {
    const size = 40 * MIB
    const writer = new DagWriter(blocks)
    for (let i = 0; i < 40; i++) {
      const leaf = noise.slice(0, MIB)
      leaf[0] = i
      await writer.write(leaf)
    }
    const root = await writer.finish()
    const before = new Set(disk.blocks.keys())
    const editor = await DagWriter.open(blocks, root, {})
    await editor.writeAt(20 * MIB + 5, new Uint8Array([1, 2, 3]))
    const changed = await editor.finish()
    expect(changed.size).toBe(size)
    expect([...disk.blocks.keys()].filter((cid) => !before.has(cid))).toHaveLength(2) // the leaf and the root
  })

  it('holds few changed leaves in memory, however many it changes, and loses none', async () => {
    const count = 3 * MAX_CHANGED_LEAVES
    const bytes = new Uint8Array(count * BLOCK_BYTES)
    const editor = await DagWriter.open(blocks, await write(bytes), {})
    for (const round of [1, 2]) {
      for (let i = 0; i < count; i++) await editor.writeAt(i * BLOCK_BYTES + round, new Uint8Array([i]))
    }
    const found = await readAll(await editor.finish())
    for (let i = 0; i < count; i++)
      expect([...found.subarray(i * BLOCK_BYTES, i * BLOCK_BYTES + 4)]).toEqual([0, i, i, 0])
  })

  it('goes on after it was stored, and what was stored stays', async () => {
    const writer = new DagWriter(blocks)
    await writer.write(noise.subarray(0, 1_000))
    const first = await writer.finish()
    await writer.writeAt(0, new Uint8Array([9, 9]))
    await writer.write(noise.subarray(1_000, 2_000))
    const second = await writer.finish()
    expect(equalBytes(await readAll(first), noise.subarray(0, 1_000))).toBe(true)
    expect([...(await readAll(second)).subarray(0, 3)]).toEqual([9, 9, noise[2]])
    expect(second.size).toBe(2_000)
  })

  it('has holes that cost one block, and an end', async () => {
    const writer = new DagWriter(blocks)
    await writer.truncate(50 * MIB + 7)
    const root = await writer.finish()
    expect(root.size).toBe(50 * MIB + 7)
    expect(disk.blocks.size).toBe(3) // zeros, the seven bytes, the root
    await expect(writer.truncate(MAX_DAG_LEAVES * BLOCK_BYTES + 1)).rejects.toMatchObject({ code: 'EFBIG' })
    await expect(writer.writeAt(MAX_DAG_LEAVES * BLOCK_BYTES, noise)).rejects.toMatchObject({ code: 'EFBIG' })
    expect((await writer.finish()).cid).toBe(root.cid)
  })
})
