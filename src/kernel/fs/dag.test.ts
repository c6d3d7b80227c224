import * as dagPb from '@ipld/dag-pb'
import fc from 'fast-check'
import { UnixFS } from 'ipfs-unixfs'
import { importer } from 'ipfs-unixfs-importer'
import { CID } from 'multiformats/cid'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { SeededRandom } from '../../adapters/memory/random.ts'
import type { Disk } from '../../adapters/memory/stores.ts'
import { concat, equalBytes, utf8 } from '../../base/bytes.ts'
import { isOsError } from '../../base/errors.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { DAG_PB, parseCid, RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { BLOCK_BYTES, CACHED_MS, MAX_DAG_DEPTH, WRITE_BATCH_BLOCKS } from '../limits.ts'
import { allCids, DagReader, type FileRoot, rootSize } from './dag.ts'
import { DagWriter } from './dag-writer.ts'

const MIB = 1024 * 1024
const noise = new SeededRandom(7).bytes(64 * 1024)
/** `size` bytes, no two blocks of them alike. */
function content(size: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size)
  for (let at = 0; at < size; at += noise.byteLength) {
    out.set(noise.subarray(0, Math.min(noise.byteLength, size - at)), at)
    new DataView(out.buffer).setUint8(at, at / noise.byteLength)
  }
  return out
}

let lab: Lab
let disk: Disk
let blocks: Blocks
beforeEach(async () => {
  lab = new Lab()
  ;({ disk, blocks } = blocksOf(lab, await lab.node('a')))
})

async function write(pieces: readonly Uint8Array[]): Promise<FileRoot> {
  const writer = new DagWriter(blocks)
  for (const piece of pieces) await writer.write(piece)
  return writer.finish()
}

async function readAll(root: FileRoot): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of new DagReader(blocks, root).read(0, root.size)) parts.push(part)
  return concat(parts)
}

/** What other IPFS tools make of the same bytes: the unixfs-v1-2025 profile. */
async function imported(bytes: Uint8Array): Promise<{ cid: string; blocks: Map<string, Uint8Array> }> {
  const stored = new Map<string, Uint8Array>()
  const store = {
    put: async (cid: CID, block: Uint8Array) => {
      stored.set(cid.toString(), block)
      return cid
    },
  }
  let cid = ''
  for await (const entry of importer([{ content: bytes }], store as never, { profile: 'unixfs-v1-2025' }))
    cid = entry.cid.toString()
  return { cid, blocks: stored }
}

describe('a file’s DAG', () => {
  it.each([
    ['empty', 0],
    ['of one byte', 1],
    ['one byte short of a block', MIB - 1],
    ['of one block', MIB],
    ['one byte over a block', MIB + 1],
    ['of five blocks', 5 * MIB],
  ])('has the CID and the blocks that IPFS tools give it when it is %s', async (_what, size) => {
    const bytes = content(size)
    const root = await write([bytes])
    const theirs = await imported(bytes)
    expect(root).toEqual({ cid: theirs.cid, size })
    expect([...disk.blocks.keys()].sort()).toEqual([...theirs.blocks.keys()].sort())
    expect(rootSize(root.cid, disk.blocks.get(root.cid) as Uint8Array)).toBe(size)
    expect(equalBytes(await readAll(root), bytes)).toBe(true)
  })

  it('is the same in whatever pieces its bytes come', async () => {
    const bytes = content(2 * MIB + 17)
    const { cid } = await write([bytes])
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 2 * MIB + 17 }), { maxLength: 6 }), async (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.byteLength]
        expect((await write(at.slice(1).map((end, i) => bytes.subarray(at[i], end)))).cid).toBe(cid)
      }),
      { numRuns: 8 },
    )
  })

  it('takes a buffer of one leaf over, and copies what is more or less than that', async () => {
    const whole = content(MIB).slice()
    const copied = vi.spyOn(blocks, 'cidOf')
    const writer = new DagWriter(blocks)
    await writer.write(whole)
    expect(copied.mock.calls[0]?.[1].buffer).toBe(whole.buffer)
    await writer.write(whole.subarray(5))
    await writer.write(content(MIB))
    copied.mockRestore()
    expect(await readAll(await writer.finish())).toEqual(concat([whole, whole.subarray(5), content(MIB)]))
  })

  it('does not change when the caller changes its buffer afterwards', async () => {
    const buffer = utf8('first').slice()
    const writer = new DagWriter(blocks)
    await writer.write(buffer)
    buffer.fill(0)
    expect(await readAll(await writer.finish())).toEqual(utf8('first'))
  })

  it('is after an append what it would be if written whole', async () => {
    for (const [before, more] of [
      [0, 10],
      [1, MIB - 1],
      [MIB, 1],
      [MIB + 5, 2 * MIB],
      [2 * MIB - 1, 1],
    ] as const) {
      const bytes = content(before + more)
      const root = await write([bytes.subarray(0, before)])
      const writer = await DagWriter.open(blocks, root, {})
      await writer.write(bytes.subarray(before))
      expect(await writer.finish()).toEqual(await write([bytes]))
    }
  })

  it('is after an append of nothing what it was', async () => {
    const root = await write([content(MIB + 3)])
    expect(await (await DagWriter.open(blocks, root, {})).finish()).toEqual(root)
  })

  it('of another tool, with other leaves, reads back and can be appended to', async () => {
    const bytes = content(700_000)
    const old = new Map<string, Uint8Array>()
    const store = { put: async (cid: CID, block: Uint8Array) => void old.set(cid.toString(), block) }
    let cid = ''
    const options = { profile: 'unixfs-v0-2015', cidVersion: 1 } as const
    for await (const entry of importer([{ content: bytes }], store as never, options)) cid = entry.cid.toString()
    await blocks.putMany([...old])
    const root = { cid, size: bytes.byteLength }
    expect(rootSize(cid, old.get(cid) as Uint8Array)).toBe(bytes.byteLength)
    expect(equalBytes(await readAll(root), bytes)).toBe(true)
    const writer = await DagWriter.open(blocks, root, {})
    await writer.write(utf8('more'))
    expect((await readAll(await writer.finish())).byteLength).toBe(bytes.byteLength + 4)
  })

  it('lists all its blocks, each once', async () => {
    const root = await write([new Uint8Array(3 * MIB)]) // three equal leaves
    expect((await allCids(blocks, root, {})).sort()).toEqual([...disk.blocks.keys()].sort())
  })
})

describe('reading a file', () => {
  const bytes = content(3 * MIB + 123)
  let root: FileRoot
  beforeEach(async () => {
    root = await write([bytes])
  })

  it('gives the right bytes for any range, in any order', async () => {
    const reader = new DagReader(blocks, root)
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.byteLength + 10), fc.nat(2 * MIB), async (offset, length) => {
        const got: Uint8Array[] = []
        for await (const piece of reader.read(offset, offset + length)) got.push(piece)
        expect(equalBytes(concat(got), bytes.subarray(offset, offset + length))).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('gives a whole leaf away to who alone has asked for it: then nobody else misses its memory', async () => {
    const place = fc.record({
      leaf: fc.nat(2),
      within: fc.constantFrom(0, 0, 0, 1_000),
      length: fc.constantFrom(MIB, MIB, 2 * MIB, 500),
    })
    let given = 0
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(place, { minLength: 1, maxLength: 4 }), { maxLength: 6 }), async (rounds) => {
        const reader = new DagReader(blocks, root)
        for (const round of rounds) {
          await Promise.all(
            round.map(async ({ leaf, within, length }) => {
              const offset = leaf * MIB + within
              const { bytes: got, own } = await reader.readAt(offset, length)
              expect(equalBytes(got, bytes.subarray(offset, offset + got.byteLength))).toBe(true)
              expect(got.byteLength).toBeGreaterThan(0)
              if (!own) return
              given++
              structuredClone(got, { transfer: [got.buffer as ArrayBuffer] })
            }),
          )
        }
      }),
      { numRuns: 60 },
    )
    expect(given).toBeGreaterThan(0)
  })

  it('gives nothing at the end and beyond', async () => {
    const reader = new DagReader(blocks, root)
    expect((await reader.readAt(root.size, 10)).bytes.byteLength).toBe(0)
    expect((await reader.readAt(Number.MAX_SAFE_INTEGER, 10)).bytes.byteLength).toBe(0)
    expect((await reader.readAt(5, 0)).bytes.byteLength).toBe(0)
  })

  it('succeeds later when a block was missing and came back (no failure is remembered)', async () => {
    const reader = new DagReader(blocks, root)
    const leaf = (await reader.leaves())[2]?.cid as string
    const block = disk.blocks.get(leaf)
    await lab.advance(2 * CACHED_MS)
    disk.blocks.delete(leaf)
    await expect(reader.readAt(2 * MIB, 10)).rejects.toMatchObject({ code: 'EIO' })
    disk.blocks.set(leaf, block as never)
    expect((await reader.readAt(2 * MIB, 10)).bytes.byteLength).toBe(10)
  })
})

describe('a malformed DAG gives EIO, and never hangs', () => {
  const node = (unixfs: UnixFS, links: { cid: string; size: number }[]) =>
    dagPb.encode({
      Data: unixfs.marshal(),
      Links: links.map(({ cid, size }) => ({ Name: '', Hash: CID.parse(cid), Tsize: size })),
    })
  const fileNode = (links: { cid: string; size: number }[], sizes = links.map(({ size }) => size)) =>
    node(new UnixFS({ type: 'file', blockSizes: sizes.map(BigInt) }), links)
  const put = async (codec: typeof RAW | typeof DAG_PB, bytes: Uint8Array) => {
    const cid = await blocks.cidOf(codec, bytes)
    await blocks.putMany([[cid, bytes]])
    return cid
  }
  let leaf: string
  beforeEach(async () => {
    leaf = await put(RAW, utf8('ten bytes!'))
  })
  const expectEio = async (root: FileRoot) => {
    const isEio = (error: unknown) => isOsError(error, 'EIO')
    await expect(readAll(root)).rejects.toSatisfy(isEio)
    const change = async () => (await DagWriter.open(blocks, root, {})).write(utf8('x'))
    await expect(change()).rejects.toSatisfy(isEio)
  }

  it('when a block is no dag-pb, or no UnixFS', async () => {
    await expectEio({ cid: await put(DAG_PB, utf8('garbage')), size: 10 })
    await expectEio({ cid: await put(DAG_PB, dagPb.encode({ Data: utf8('\xff\xff'), Links: [] })), size: 10 })
    await expectEio({ cid: await put(DAG_PB, dagPb.encode({ Links: [] })), size: 10 })
  })

  it('when it is a directory, or has one below', async () => {
    const directory = await put(DAG_PB, node(new UnixFS({ type: 'directory' }), []))
    await expectEio({ cid: directory, size: 10 })
    await expectEio({ cid: await put(DAG_PB, fileNode([{ cid: directory, size: 10 }])), size: 10 })
  })

  it('when sizes and links differ in number', async () => {
    await expectEio({ cid: await put(DAG_PB, fileNode([{ cid: leaf, size: 10 }], [10, 10])), size: 10 })
    await expectEio({ cid: await put(DAG_PB, fileNode([{ cid: leaf, size: 10 }], [])), size: 10 })
  })

  it('when a leaf is not of the size that its parent says', async () => {
    await expectEio({ cid: await put(DAG_PB, fileNode([{ cid: leaf, size: 11 }])), size: 11 })
    await expectEio({ cid: leaf, size: 11 })
  })

  it('when the whole is not of the size that its directory says', async () => {
    const cid = await put(DAG_PB, fileNode([{ cid: leaf, size: 10 }]))
    await expectEio({ cid, size: 9 })
    await expectEio({ cid, size: 11 })
  })

  it('when an inner node is not of the size that its parent says', async () => {
    const inner = await put(DAG_PB, fileNode([{ cid: leaf, size: 10 }]))
    const outer = fileNode([
      { cid: inner, size: 5 },
      { cid: inner, size: 15 },
    ])
    await expectEio({ cid: await put(DAG_PB, outer), size: 20 })
  })

  it('when a link is a CID of a kind that is not stored here', async () => {
    const strange = CID.createV1(0x71, parseCid(leaf).multihash).toString()
    await expectEio({ cid: await put(DAG_PB, fileNode([{ cid: strange, size: 10 }])), size: 10 })
  })

  it('when it is deeper than any file can be', async () => {
    let cid = leaf
    for (let depth = 0; depth < MAX_DAG_DEPTH + 3; depth++) cid = await put(DAG_PB, fileNode([{ cid, size: 10 }]))
    await expectEio({ cid, size: 10 })
    await expect(allCids(blocks, { cid, size: 10 }, {})).rejects.toMatchObject({ code: 'EIO' })
  })

  it('when a few blocks unfold into billions of leaves', async () => {
    let cid = leaf
    let size = 10
    for (let depth = 0; depth < 4; depth++) {
      cid = await put(DAG_PB, fileNode(Array.from({ length: 1000 }, () => ({ cid, size }))))
      size *= 1000
    }
    await expectEio({ cid, size })
    expect(await allCids(blocks, { cid, size }, {})).toHaveLength(5)
  })

  it('when it has billions of empty leaves', async () => {
    let cid = await put(RAW, new Uint8Array(0))
    for (let depth = 0; depth < 4; depth++)
      cid = await put(DAG_PB, fileNode(Array.from({ length: 1000 }, () => ({ cid, size: 0 }))))
    await expectEio({ cid, size: 10 })
  })

  it('when it contains itself, as only a broken hash could make it', async () => {
    const loop = fileNode(Array.from({ length: 50 }, () => ({ cid: leaf, size: 10 })))
    const cid = await put(DAG_PB, loop)
    const cyclic = fileNode(Array.from({ length: 50 }, () => ({ cid, size: 500 })))
    const broken = { getMany: async (cids: string[]) => cids.map(() => cyclic), get: async () => cyclic } as never
    await expect(new DagReader(broken, { cid, size: 25_000 }).leaves()).rejects.toMatchObject({ code: 'EIO' })
    await expect(allCids(broken, { cid, size: 25_000 }, {})).rejects.toMatchObject({ code: 'EIO' })
  })

  it('whatever bytes stand in its blocks', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 120 }), fc.nat(100), async (bytes, size) => {
        const root = { cid: await put(DAG_PB, bytes), size }
        try {
          expect((await readAll(root)).byteLength).toBe(size)
        } catch (error) {
          if (!isOsError(error, 'EIO')) throw error
        }
      }),
    )
  })
})

it('holds no more than three batches of leaves that are not stored yet', async () => {
  const release: (() => void)[] = []
  const slow = Object.assign(Object.create(blocks) as Blocks, {
    cidOf: (...args: Parameters<Blocks['cidOf']>) => blocks.cidOf(...args),
    putNew: () => new Promise<string[]>((resolve) => release.push(() => resolve([]))),
  })
  const writer = new DagWriter(slow)
  let written = 0
  const writing = (async () => {
    for (; written < 4 * WRITE_BATCH_BLOCKS; written++) await writer.write(new Uint8Array(BLOCK_BYTES).fill(written))
  })()
  await expect.poll(() => written).toBe(3 * WRITE_BATCH_BLOCKS - 1)
  expect(release).toHaveLength(2)
  release.pop()?.() // the second is stored first: the first is waited for all the same
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  expect(written).toBe(3 * WRITE_BATCH_BLOCKS - 1)
  release.shift()?.()
  await writing
  expect(release).toHaveLength(2)
})

it('tells of a batch that could not be stored', async () => {
  disk.quotaBytes = BLOCK_BYTES
  const writer = new DagWriter(blocks)
  const writing = (async () => {
    for (let i = 0; i < 3 * WRITE_BATCH_BLOCKS; i++) await writer.write(new Uint8Array(BLOCK_BYTES).fill(i))
  })()
  await expect(writing).rejects.toMatchObject({ code: 'ENOSPC' })
  const small = new DagWriter(blocks)
  for (let i = 0; i < 2; i++) await small.write(new Uint8Array(BLOCK_BYTES).fill(i))
  await expect(small.finish()).rejects.toMatchObject({ code: 'ENOSPC' })
})
