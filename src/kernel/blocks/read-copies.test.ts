// What is kept of files that are read: small blocks, and large ones that are read again, here or by somebody else.
import { beforeEach, describe, expect, it } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { boot, newCluster, oneHome } from '../cluster.contract.ts'
import { type BlockNode, blockNode, Lab } from '../harness.contract.ts'
import { READ_KEPT_BYTES } from '../limits.ts'
import type { Blocks } from './blocks.ts'
import { RAW } from './cid.ts'

let lab: Lab
let holder: BlockNode
const READING = { keep: 'wanted' } as const
const large = new Uint8Array(300_000).fill(7)

const join = (name: string) => blockNode(lab, name)

const cidOf = (blocks: Blocks, bytes: Uint8Array) => blocks.cidOf(RAW, bytes)

beforeEach(async () => {
  lab = new Lab({ split: true })
  holder = await join('h')
  await holder.blocks.putMany([[await cidOf(holder.blocks, large), large]])
})

describe('what is read of a file', () => {
  it.each([
    ['once, where it is small', [utf8('x'), new Uint8Array(READ_KEPT_BYTES - 1)], 1],
    ['twice, in any size', [new Uint8Array(READ_KEPT_BYTES), large], 2],
  ])('is kept when it is read %s', async (_when, all, times) => {
    const reader = await join('p')
    await lab.link(reader, holder)
    for (const bytes of all) {
      const cid = await cidOf(holder.blocks, bytes)
      await holder.blocks.putMany([[cid, bytes]])
      for (let i = 0; i < times; i++) {
        expect(reader.disk.blocks.has(cid)).toBe(false)
        expect(await lab.run(reader.blocks.get(cid, { ...READING, hints: [holder.id] }))).toEqual(bytes)
      }
      expect(reader.disk.blocks.has(cid)).toBe(true)
    }
  })
})

describe('a large block of a file', () => {
  it('that others have read is kept by whoever reads it next', async () => {
    const cid = await cidOf(holder.blocks, large)
    const [first, second] = [await join('p'), await join('q')]
    for (const node of [first, second]) await lab.link(node, holder)
    await lab.run(first.blocks.get(cid, READING))
    expect(first.disk.blocks.has(cid)).toBe(false)
    expect(await lab.run(second.blocks.get(cid, READING))).toEqual(large)
    expect(second.disk.blocks.has(cid)).toBe(true)
  })

  it('that others keep in any case is not taken for one that many read', async () => {
    const cid = await cidOf(holder.blocks, large)
    const [other, reader] = [await join('p'), await join('q')]
    for (const node of [other, reader]) await lab.link(node, holder)
    await lab.run(other.blocks.get(cid))
    await lab.run(reader.blocks.get(cid, { ...READING, hints: [holder.id] }))
    expect([other, reader].map(({ disk }) => disk.blocks.has(cid))).toEqual([true, false])
  })

  it('that others were told to hold is not taken for one that many read', async () => {
    const cid = await cidOf(holder.blocks, large)
    const [keeper, reader] = [await join('p'), await join('q')]
    for (const node of [keeper, reader]) await lab.link(node, holder)
    await lab.run(keeper.blocks.hold([cid]))
    expect(keeper.disk.blocks.has(cid)).toBe(true)
    await lab.run(reader.blocks.get(cid, { ...READING, hints: [holder.id] }))
    expect(reader.disk.blocks.has(cid)).toBe(false)
  })

  it('that two read at once in one tab is kept', async () => {
    const cid = await cidOf(holder.blocks, large)
    const reader = await join('p')
    await lab.link(reader, holder)
    const read = await lab.run(Promise.all([reader.blocks.get(cid, READING), reader.blocks.get(cid, READING)]))
    expect(read).toEqual([large, large])
    expect(reader.disk.blocks.has(cid)).toBe(true)
  })

  it('that the disk has corrupted is stored anew, though it is read once', async () => {
    const cid = await cidOf(holder.blocks, large)
    const reader = await join('p')
    await lab.link(reader, holder)
    reader.disk.blocks.set(
      cid,
      large.map((byte) => byte + 1),
    )
    expect(await lab.run(reader.blocks.get(cid, READING))).toEqual(large)
    expect(reader.disk.blocks.get(cid)).toEqual(large)
  })

  it('that is not kept belongs to whoever reads it, one that is kept does not', async () => {
    const cid = await cidOf(holder.blocks, large)
    const reader = await join('p')
    await lab.link(reader, holder)
    const owns: boolean[] = []
    for (let i = 0; i < 3; i++) {
      const [piece] = reader.blocks.getEach([cid], READING)
      owns.push((await lab.run(piece as NonNullable<typeof piece>)).own)
      await lab.advance(100)
    }
    expect(owns).toEqual([true, false, true]) // the third comes from the disk
  })

  it.each([
    ['a block that nobody asked for', [3]],
    ['no number of a block', [0.5]],
    ['a block twice', [0, 0]],
  ])('of a peer that names %s comes from another', async (_what, named) => {
    const cid = await cidOf(holder.blocks, large)
    const [reader, crook] = [await join('p'), await lab.node('q')]
    crook.rpc.handle('blocks.get', async (_args, { item }) => {
      for (const index of named) await item(index)
      await item([0, 0, large.byteLength, large])
      return null
    })
    for (const node of [holder, crook]) await lab.link(reader, node)
    expect(await lab.run(reader.blocks.get(cid, { ...READING, hints: [crook.id] }))).toEqual(large)
    expect(reader.blocks.liars().get(crook.id)).toContain('not asked for')
  })
})

describe('a file that many read', () => {
  it('has a copy at those who read it later, besides those that keep it', async () => {
    const cluster = newCluster()
    const nodes = await boot(cluster, 9)
    await oneHome(cluster)
    const content = cluster.random.bytes(300_000)
    const [writer, ...others] = nodes
    const { cid } = await cluster.run((writer as (typeof nodes)[number]).fs.writeFile('/f', content, { ack: 'all' }))
    const holders = () => nodes.filter(({ disk }) => disk.blocks.has(cid as string)).length
    const before = holders()
    for (const node of others) expect(await cluster.run(node.fs.readFile('/f'))).toEqual(content)
    await cluster.advance(1_000)
    // Of five who lack it, at least one asks somebody whom another has asked before: four have it, with the writer.
    expect(before).toBeLessThanOrEqual(4)
    expect(holders()).toBeGreaterThan(before)
    for (const node of others) expect(await cluster.run(node.fs.readFile('/f'))).toEqual(content)
    await cluster.advance(1_000)
    expect(holders()).toBe(9)
  })
})
