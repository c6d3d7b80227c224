// Directories that are too large for one block of a CAR, against ipfs-unixfs-importer.
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { parseCid, RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { MAX_BLOCK_BYTES, SHARD_ABOVE_BYTES } from '../limits.ts'
import { type CarPlan, carSections, planCar, readCar } from './car.ts'
import { importCar } from './car-import.ts'
import type { Entry } from './directory.ts'
import { shardDirectory } from './hamt.ts'
import { imported } from './importer.contract.ts'
import { Tree } from './tree.ts'

/** Names of directories, and of files, which all have the same content. */
type Names = Map<string, Names | 'file'>

const content = utf8('all alike')
const numbered = (count: number, name = (i: number) => `n${i}`): Names =>
  new Map(Array.from({ length: count }, (_, i) => [name(i), 'file']))

let blocks: Blocks
let tree: Tree
beforeEach(async () => {
  const lab = new Lab()
  ;({ blocks } = blocksOf(lab, await lab.node('a')))
  tree = new Tree(blocks)
})

async function stored(names: Names): Promise<Entry> {
  const cid = await blocks.put(RAW, content)
  const entries = new Map<string, Entry>()
  for (const [name, below] of names) {
    const file = { kind: 'file' as const, cid, size: content.byteLength, mode: 0o600, mtimeMs: 1 }
    entries.set(name, below === 'file' ? file : await stored(below))
  }
  return { kind: 'directory', cid: await tree.store(entries), size: 0, mode: 0o700, mtimeMs: 1 }
}

function paths(names: Names, at = ''): Record<string, Uint8Array | undefined> {
  const found: Record<string, Uint8Array | undefined> = {}
  for (const [name, below] of names) {
    const path = `${at}/${name}`
    if (below !== 'file' && below.size > 0) Object.assign(found, paths(below, path))
    else found[path] = below === 'file' ? content : undefined
  }
  return found
}

const source = () => ({ tree, blocks, options: {} })

async function* pieces(plan: CarPlan): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < plan.size; ) {
    const piece = await readCar(source(), plan, at, 1024 * 1024, new AbortController().signal)
    at += piece.byteLength
    yield piece
  }
}

async function compare(names: Names): Promise<CarPlan> {
  const entry = await stored(names)
  const theirs = await imported(paths(names))
  const plan = await planCar(source(), entry)
  expect(plan.root).toBe(String(theirs.root))
  const [first] = plan.sections
  expect(first?.cid).toBe(plan.root)
  expect(plan.sections.map(({ cid }) => cid).sort()).toEqual([...theirs.blocks.keys()].sort())
  for await (const section of carSections(pieces(plan))) {
    if ('root' in section) continue
    expect(Buffer.compare(section.bytes, theirs.blocks.get(section.cid) as Uint8Array), section.cid).toBe(0)
  }
  return plan
}

const madeBlocks = ({ sections }: CarPlan) => sections.filter(({ bytes }) => bytes).length

describe('a large directory in a CAR', () => {
  it('is what other tools make of it, around where it is cut, and with all kinds of names (property)', async () => {
    const letters = fc.stringMatching(/^[ -.0-[\]-~é☂😀ﬀ]{1,40}$/u).filter((text) => !/^\.{1,2}$/.test(text))
    const bytes = fc.oneof(
      fc.integer({ min: SHARD_ABOVE_BYTES - 4_000, max: SHARD_ABOVE_BYTES + 4_000 }),
      fc.integer({ min: 1, max: 3 * SHARD_ABOVE_BYTES }), // of nothing the importer makes nothing
    )
    await fc.assert(
      fc.asyncProperty(letters, bytes, fc.boolean(), async (text, size, nested) => {
        const each = 53 + utf8(text).byteLength
        const names = numbered(Math.ceil(size / each), (i) => `${i % 2 ? '' : text}${i}${i % 2 ? text : ''}`)
        if (nested) {
          names.set(text, numbered(Math.ceil(size / 60)))
          names.set('empty', new Map())
        }
        await compare(names)
      }),
      { numRuns: 10 },
    )
  }, 120_000)

  it('is one block as long as that is not larger than the profile says', async () => {
    // So many links of 296 bytes, and one that fills it up.
    const names = numbered(885, (i) => `${i}`.padEnd(250, 'x'))
    const left = SHARD_ABOVE_BYTES - 4 - 885 * 296
    const most = new Map([...names, ['y'.repeat(left - 46), 'file' as const]])
    expect(madeBlocks(await compare(most))).toBe(1)
    const more = new Map([...names, ['y'.repeat(left - 45), 'file' as const]])
    expect(madeBlocks(await compare(more))).toBeGreaterThan(100)
  })

  it('is what other tools make of it when large ones are in large ones', async () => {
    const large = numbered(6_000, (i) => `ü${i} ☂`)
    const mixed: Names = new Map<string, Names | 'file'>([
      ...numbered(6_000),
      ['large', large],
      ['small', numbered(3)],
      ['none', new Map()],
    ])
    const directories: Names = new Map(Array.from({ length: 6_000 }, (_, i) => [`d${i}`, numbered(1)]))
    const empty: Names = new Map(Array.from({ length: 6_000 }, (_, i) => [`e${i}`, new Map()]))
    await compare(
      new Map([
        ['a', new Map([['mixed', mixed]])],
        ['directories', directories],
        ['empty', empty],
      ] as const),
    )
  }, 120_000)

  it('is cut as well when directories that are not counted would make a block too large', async () => {
    const names: Names = new Map(Array.from({ length: 9_000 }, (_, i) => [`${i}`.padEnd(250, 'x'), numbered(1)]))
    const plan = await planCar(source(), await stored(names))
    expect(Math.max(...plan.sections.map(({ bytes }) => bytes?.byteLength ?? 0))).toBeLessThan(MAX_BLOCK_BYTES)
    const back = await importCar({ ...source(), own: new Map(), mtimeMs: 1 }, pieces(plan))
    expect([...(await tree.directory(back.cid)).keys()].sort()).toEqual([...names.keys()].sort())
  }, 120_000)

  it('of a hundred thousand files goes out and comes back', async () => {
    const names = numbered(100_000, (i) => (i % 3 ? `file ${i}.txt` : `файл-${i}`))
    const plan = await compare(names)
    expect(madeBlocks(plan)).toBeGreaterThan(1_000)
    const back = await importCar({ ...source(), own: new Map(), mtimeMs: 1 }, pieces(plan))
    const is = await tree.directory(back.cid)
    expect(new Set(is.keys())).toEqual(new Set(names.keys()))
    expect([...is.values()].every(({ size }) => size === content.byteLength)).toBe(true)
  }, 120_000)

  it('is refused when names were made to have the same hash', async () => {
    const link = { Name: 'same', Hash: parseCid(await blocks.put(RAW, content)), Tsize: 1 }
    await expect(shardDirectory([link, link], (block) => blocks.cidOf(RAW, block))).rejects.toMatchObject({
      code: 'EFBIG',
    })
  })
})
