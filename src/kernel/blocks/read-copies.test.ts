// What is kept of what is read: a copy of each large block that is read again, here or by somebody else.
import { beforeEach, describe, expect, it } from 'vitest'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import type { Blocks } from './blocks.ts'
import { RAW } from './cid.ts'

type Node = LabNode & ReturnType<typeof blocksOf>

let lab: Lab
let holder: Node
const large = new Uint8Array(300_000).fill(7)

async function join(name: string): Promise<Node> {
  const node = await lab.node(name)
  return Object.assign(node, blocksOf(lab, node))
}

const cidOf = (blocks: Blocks, bytes: Uint8Array) => blocks.cidOf(RAW, bytes)

beforeEach(async () => {
  lab = new Lab({ split: true })
  holder = await join('h')
  await holder.blocks.putMany([[await cidOf(holder.blocks, large), large]])
})

describe('a large block', () => {
  it('that others have read is kept by whoever reads it next', async () => {
    const cid = await cidOf(holder.blocks, large)
    const [first, second] = [await join('p'), await join('q')]
    for (const node of [first, second]) await lab.link(node, holder)
    await lab.run(first.blocks.get(cid))
    expect(first.disk.blocks.has(cid)).toBe(false)
    expect(await lab.run(second.blocks.get(cid))).toEqual(large)
    expect(second.disk.blocks.has(cid)).toBe(true)
  })

  it('that others were told to hold is not taken for one that many read', async () => {
    const cid = await cidOf(holder.blocks, large)
    const [keeper, reader] = [await join('p'), await join('q')]
    for (const node of [keeper, reader]) await lab.link(node, holder)
    await lab.run(keeper.blocks.hold([cid]))
    expect(keeper.disk.blocks.has(cid)).toBe(true)
    await lab.run(reader.blocks.get(cid, { hints: [holder.id] }))
    expect(reader.disk.blocks.has(cid)).toBe(false)
  })

  it('that two read at once in one tab is kept', async () => {
    const cid = await cidOf(holder.blocks, large)
    const reader = await join('p')
    await lab.link(reader, holder)
    const read = await lab.run(Promise.all([reader.blocks.get(cid), reader.blocks.get(cid)]))
    expect(read).toEqual([large, large])
    expect(reader.disk.blocks.has(cid)).toBe(true)
  })

  it('that is not kept belongs to whoever reads it, one that is kept does not', async () => {
    const cid = await cidOf(holder.blocks, large)
    const reader = await join('p')
    await lab.link(reader, holder)
    const owns: boolean[] = []
    for (let i = 0; i < 3; i++) {
      const [piece] = reader.blocks.getEach([cid])
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
    expect(await lab.run(reader.blocks.get(cid, { hints: [crook.id] }))).toEqual(large)
    expect(reader.blocks.liars().get(crook.id)).toContain('not asked for')
  })
})
