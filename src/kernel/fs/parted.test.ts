// Directories of many entries, against plain maps.
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Disk } from '../../adapters/memory/stores.ts'
import { checkVersions } from '../../sim/checkers/versions.ts'
import type { SimNode } from '../../sim/cluster.ts'
import { Keg } from '../../syscalls/keg.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { boot, codeOf, homeAndOthers, newCluster } from '../cluster.contract.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { MAX_PLAIN_ENTRIES, SWEEP_AFTER_MS } from '../limits.ts'
import { type Directory, type Entry, encodeDirectory } from './directory.ts'
import { fitting, PartedDirectory, partsOf, withEntry, withoutEntry } from './parted.ts'
import { Tree } from './tree.ts'

const CID = 'bafkreib6epubmabzlffdhckpmvsodmjuro6xuaei2qwevs3t52xnlhaatu'
const entry = (mtimeMs: number): Entry => ({ kind: 'file', cid: CID, size: 3, mode: 0o644, mtimeMs })
const numbered = (count: number): [string, Entry][] => Array.from({ length: count }, (_, i) => [`n${i}`, entry(i)])

let disk: Disk
let blocks: Blocks
beforeEach(async () => {
  const lab = new Lab()
  ;({ disk, blocks } = blocksOf(lab, await lab.node('a')))
})

describe('a directory of many entries', () => {
  it('is what a plain map would be, and the same parts whatever was done before', () => {
    const name = fc.oneof(
      fc.integer({ min: 0, max: 3_000 }).map((n) => `n${n}`),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 3 }),
    )
    const change = fc.record({ name, there: fc.boolean(), mtimeMs: fc.nat(9) })
    fc.assert(
      fc.property(fc.integer({ min: 400, max: 2_000 }), fc.array(change, { maxLength: 300 }), (count, changes) => {
        const plain = new Map(numbered(count))
        let directory: Directory = fitting(new Map(plain))
        for (const { name, there, mtimeMs } of changes) {
          if (there) plain.set(name, entry(mtimeMs))
          else plain.delete(name)
          directory = fitting(there ? withEntry(directory, name, entry(mtimeMs)) : withoutEntry(directory, name))
          expect(directory.get(name)).toEqual(plain.get(name))
        }
        expect(directory.size).toBe(plain.size)
        expect(new Map(directory)).toEqual(plain)
        expect(directory instanceof PartedDirectory).toBe(plain.size > MAX_PLAIN_ENTRIES)
        if (directory instanceof PartedDirectory) expect(directory.parts).toEqual(PartedDirectory.of(plain).parts)
      }),
      { numRuns: 40 },
    )
  })

  it('is stored and read in parts, of which a change stores one', async () => {
    const tree = new Tree(blocks)
    const all = new Map([...numbered(20_000), ['\u{10000}', entry(1)], ['\uffff', entry(2)]] as [string, Entry][])
    const cid = await tree.store(all)
    const read = await new Tree(blocks).directory(cid)
    expect(new Map(read)).toEqual(all)
    expect(partsOf(read).length).toBeGreaterThan(60)
    expect(partsOf(read).length).toBeLessThan(100)
    for (const bytes of disk.blocks.values()) expect(bytes.byteLength).toBeLessThan(300_000)
    const before = disk.blocks.size
    const changed = withoutEntry(withEntry(read, 'another', entry(5)), 'n77')
    const next = await tree.store(changed)
    expect(disk.blocks.size - before).toBeLessThanOrEqual(4)
    expect(await tree.store(new Map(changed))).toBe(next)
    expect(await new Tree(blocks).store(withEntry(withoutEntry(changed, 'another'), 'n77', entry(77)))).toBe(cid)
  })

  it('of which a part is not what the others say, cannot be had', async () => {
    const tree = new Tree(blocks)
    const { parts } = PartedDirectory.of(new Map(numbered(3_000)))
    const stored = await Promise.all(
      parts.map(async (part) => ({ part, cid: await blocks.put(0x70, encodeDirectory(part.entries)) })),
    )
    const list = (rows: typeof stored) => {
      const named = rows.map(({ part, cid }): [string, Entry] => [part.last, { ...entry(0), kind: 'directory', cid }])
      return blocks.put(0x70, encodeDirectory(new Map(named), true))
    }
    expect((await new Tree(blocks).directory(await list(stored))).size).toBe(3_000)
    const [first, second, ...others] = stored as [(typeof stored)[0], (typeof stored)[0], ...typeof stored]
    const wrong = [
      [],
      [first],
      [{ part: first.part, cid: second.cid }, { part: second.part, cid: first.cid }, ...others],
      [first, { part: second.part, cid: first.cid }, ...others],
      [first, { part: second.part, cid: await list(stored) }, ...others],
      [first, { part: second.part, cid: await tree.store(new Map()) }, ...others],
    ]
    for (const rows of wrong) {
      const cid = await list(rows)
      await expect(new Tree(blocks).directory(cid)).rejects.toMatchObject({ code: 'EIO' })
    }
  })
})

it('is not remembered as its list of parts because another names that as a part', async () => {
  const tree = new Tree(blocks)
  const all = new Map(numbered(2_000))
  const large = await tree.store(all)
  const fresh = new Tree(blocks)
  const part: Entry = { ...entry(0), kind: 'directory', cid: large }
  const hostile = await blocks.put(0x70, encodeDirectory(new Map([['n999', part]]), true))
  await expect(fresh.directory(hostile)).rejects.toMatchObject({ code: 'EIO' })
  expect(new Map(await fresh.directory(large))).toEqual(all)
  await expect(fresh.directory(hostile)).rejects.toMatchObject({ code: 'EIO' })
})

describe('a shared directory of many entries', () => {
  it('survives its home, is merged from both sides of a split, and keeps what versions need when others are freed', async () => {
    const cluster = newCluster({ seed: 21 })
    const nodes = await boot(cluster, 3)
    const [home, others] = await homeAndOthers(cluster, nodes)
    const [lone, there] = others as [SimNode, SimNode]
    const fill = async (node: SimNode, from: number, to: number) => {
      for (let at = from; at < to; at += 100) {
        const some = Array.from({ length: Math.min(100, to - at) }, (_, i) => `/many/n${at + i}`)
        await cluster.run(Promise.all(some.map((path) => node.fs.writeFile(path, path))))
      }
    }
    await cluster.run(home.fs.mkdir('/many'))
    await fill(home, 0, 700)
    for (const node of nodes) expect(await cluster.run(node.fs.readdir('/many'))).toHaveLength(700)
    for (const node of nodes) if (node !== lone) cluster.hub.setPartition(lone.id, node.id, true)
    await cluster.advance(8_000)
    await fill(lone, 700, 760)
    await cluster.run(lone.fs.rm('/many/n7'))
    await fill(there, 760, 800)
    for (const node of nodes) if (node !== lone) cluster.hub.setPartition(lone.id, node.id, false)
    await cluster.until(async () => (await cluster.run(there.fs.readdir('/many'))).length === 799, 'both are there')
    const keg = new Keg(there.os)
    await cluster.run(keg.gc({ keep: 1, forMs: 0 }))
    await cluster.advance(SWEEP_AFTER_MS + 200_000)
    home.crash()
    await cluster.advance(5_000)
    const names = await cluster.run(there.fs.readdir('/many'))
    expect(names).toHaveLength(799)
    expect(names).not.toContain('n7')
    expect(await cluster.run(lone.fs.readFile('/many/n770', 'utf8'))).toBe('/many/n770')
    expect(await checkVersions(cluster)).toBeGreaterThan(0)
    await cluster.run(there.fs.rm('/many', { recursive: true }))
    expect(await codeOf(cluster.run(lone.fs.stat('/many')))).toBe('ENOENT')
  })
})
