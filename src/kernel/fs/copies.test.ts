import { beforeEach, describe, expect, it } from 'vitest'
import type { Disk } from '../../adapters/memory/stores.ts'
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { DAG_PB, RAW } from '../blocks/cid.ts'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import { CACHED_MS } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { holdFiles, TreeCopies } from './copies.ts'
import type { Entry } from './directory.ts'
import { Tree } from './tree.ts'

let lab: Lab
let keeper: LabNode
let holder: LabNode
let disk: Disk
let blocks: Blocks
let theirs: Blocks
let theirDisk: Disk
let tree: Tree
let copies: TreeCopies
let missing: string[]

beforeEach(async () => {
  lab = new Lab()
  ;[keeper, holder] = await lab.pair()
  ;({ disk, blocks } = blocksOf(lab, keeper))
  ;({ disk: theirDisk, blocks: theirs } = blocksOf(lab, holder))
  tree = new Tree(theirs)
  missing = []
  copies = new TreeCopies({ tree: new Tree(blocks), blocks, onMissing: (path) => missing.push(path) })
})

const everything = (root: string) => lab.run(copies.everything(root, { hints: [holder.id] }))

async function file(text: string): Promise<Entry> {
  const cid = await theirs.cidOf(RAW, utf8(text))
  await theirs.putMany([[cid, utf8(text)]])
  return { kind: 'file', cid, size: text.length, mode: 0o644, mtimeMs: 0 }
}
/** Their disk has lost it. */
async function lose({ cid }: Entry): Promise<void> {
  await lab.advance(2 * CACHED_MS)
  theirDisk.blocks.delete(cid)
}
async function folder(entries: Record<string, Entry>): Promise<Entry> {
  const cid = await tree.store(new Map(Object.entries(entries)))
  return { kind: 'directory', cid, size: 0, mode: 0o755, mtimeMs: 0 }
}

describe('files that were put into the tree', () => {
  it('are asked for together: a hundred small ones take few questions', async () => {
    const ops: TreeOp[] = []
    for (let i = 0; i < 100; i++) {
      const { cid, size, mode } = await file(`file ${i}`)
      ops.push({ op: 'put', path: `/f${i}`, cid, size, mode, mtimeMs: 0 })
    }
    const { cid, size } = await file('link')
    ops.push({ op: 'graft', path: '/l', kind: 'symlink', cid, size, mode: 0o777, mtimeMs: 0, atMs: 0 })
    let questions = 0
    const call = keeper.rpc.call.bind(keeper.rpc)
    keeper.rpc.call = (...args) => {
      questions++
      return call(...args)
    }
    await lab.run(holdFiles(blocks, ops, { hints: [holder.id] }))
    expect(disk.blocks.size).toBe(101)
    expect(questions).toBeLessThan(10)
  })

  it('come once, also where a hundred have the same content', async () => {
    const { cid, size, mode } = await file('x'.repeat(60_000))
    const ops = Array.from(
      { length: 100 },
      (_, i): TreeOp => ({ op: 'put', path: `/f${i}`, cid, size, mode, mtimeMs: 0 }),
    )
    let asked = 0
    const call = keeper.rpc.call.bind(keeper.rpc)
    keeper.rpc.call = (...args: Parameters<typeof call>) => {
      if (args[1] === 'blocks.get') asked += (args[2] as { cids: string[] }).cids.length
      return call(...args)
    }
    await lab.run(holdFiles(blocks, ops, { hints: [holder.id] }))
    expect(asked).toBe(1)
  })
})

describe('a copy of a whole tree', () => {
  it('has every block of it', async () => {
    const root = await folder({ a: await file('a'), d: await folder({ b: await file('b') }) })
    expect(await everything(root.cid)).toBe(true)
    expect(disk.blocks.size).toBe(4)
    expect(missing).toEqual([])
  })

  it('goes without a file that nobody has, or that is none, and tells', async () => {
    const lost = await file('lost')
    await lose(lost)
    const garbage = await theirs.cidOf(DAG_PB, utf8('garbage'))
    await theirs.putMany([[garbage, utf8('garbage')]])
    const root = await folder({ a: await file('a'), lost, none: { ...lost, cid: garbage } })
    expect(await everything(root.cid)).toBe(false)
    expect(missing.sort()).toEqual(['/lost', '/none'])
  })

  it('goes without a directory that nobody has, and tells; not without the root', async () => {
    const lost = await folder({ x: await file('x') })
    const root = await folder({ d: await folder({ lost }), z: await file('behind it') })
    await lose(lost)
    expect(await everything(root.cid)).toBe(false)
    expect(missing).toEqual(['/d/lost'])
    expect(disk.blocks.has((await file('behind it')).cid)).toBe(true)
    await lose(root)
    await lab.advance(2 * CACHED_MS)
    disk.blocks.delete(root.cid)
    copies = new TreeCopies({ tree: new Tree(blocks), blocks, onMissing: (path) => missing.push(path) })
    await expect(everything(root.cid)).rejects.toMatchObject({ code: 'EIO' })
  })

  it('does not go without a file whose holder does not deliver it now', async () => {
    const a = await file('a')
    const root = await folder({ a })
    await lose(a)
    const busy = await lab.node('busy')
    busy.rpc.handle('blocks.have', async ({ cids }) => new Uint8Array(cids.length).fill(1))
    busy.rpc.handle('blocks.get', () => new Promise(() => undefined))
    await lab.link(keeper, busy)
    await expect(everything(root.cid)).rejects.toMatchObject({ code: 'EIO', certain: false })
    expect(missing).toEqual([])
  })

  it('does not go without a file whose holder has just gone', async () => {
    const root = await folder({ a: await file('a') })
    await lab.run(copies.directories(root.cid, { hints: [holder.id] }))
    lab.hub.setPartition(keeper.id, holder.id, true)
    await lab.until(() => !keeper.rpc.linked(holder.id))
    await expect(everything(root.cid)).rejects.toMatchObject({ code: 'EIO', certain: false })
    expect(missing).toEqual([])
  })

  it('does not go without a file because its own disk fails', async () => {
    const root = await folder({ a: await file('a') })
    await lab.run(copies.directories(root.cid, { hints: [holder.id] }))
    blocks.putMany = () => Promise.reject(new OsError('EIO', 'the disk fails'))
    await expect(everything(root.cid)).rejects.toMatchObject({ code: 'EIO' })
    expect(missing).toEqual([])
  })

  it('looks at each directory once, however often a few hostile blocks name it', async () => {
    const lost = await file('lost')
    await lose(lost)
    let below = await folder({ lost })
    for (let level = 0; level < 40; level++) below = await folder({ a: below, b: below })
    expect(await everything(below.cid)).toBe(false)
    expect(missing).toHaveLength(1)
  })
})
