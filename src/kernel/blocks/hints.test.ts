// Holders of some of the blocks that are wanted, and others that do not say what they hold.
import { beforeEach, expect, it } from 'vitest'
import { OsError } from '../../base/errors.ts'
import { blocksOf, Lab, type LabNode } from '../harness.contract.ts'
import type { Blocks } from './blocks.ts'
import { RAW } from './cid.ts'

let lab: Lab
let reader: LabNode
let blocks: Blocks
let looked: number
let cids: string[]
/** Each is asked first for what the other one has. */
let holders: LabNode[]

beforeEach(async () => {
  lab = new Lab({ split: true })
  reader = await lab.node('m')
  looked = 0
  const findProviders = async () => {
    looked++
    return []
  }
  ;({ blocks } = blocksOf(lab, reader, { findProviders }))
  const contents = Array.from({ length: 4 }, (_, i) => new Uint8Array(1024 * 1024).fill(i))
  cids = await Promise.all(contents.map((bytes) => blocks.cidOf(RAW, bytes)))
  const parts = [
    [2, 3],
    [0, 1],
  ]
  holders = []
  for (const [k, part] of parts.entries()) {
    const node = await lab.node(`p${k}`)
    await lab.run(blocksOf(lab, node).blocks.putMany(part.map((i) => [cids[i] as string, contents[i] as Uint8Array])))
    await lab.link(reader, node)
    holders.push(node)
  }
})

/** A node that is there, and does not answer. */
async function mute(): Promise<LabNode> {
  const node = await lab.node('z')
  node.rpc.handle('blocks.have', () => new Promise<never>(() => undefined))
  await lab.link(reader, node)
  return node
}

it('those that are likely to hold blocks hold some of them each: all come, and nobody else is looked for', async () => {
  const read = await lab.run(blocks.getMany(cids, { hints: holders.map(({ id }) => id) }))
  expect(read.map((bytes) => bytes[0])).toEqual([0, 1, 2, 3])
  expect(looked).toBe(0)
})

it('where several hold all of them together, nobody waits for the mute', async () => {
  await mute()
  const beganMs = lab.clock.nowMs()
  const read = await lab.run(blocks.getMany(cids))
  expect(read.map((bytes) => bytes[0])).toEqual([0, 1, 2, 3])
  expect(lab.clock.nowMs() - beganMs).toBeLessThan(1_000)
})

it('whoever gives up does not wait for the mute either', async () => {
  await mute()
  const abort = new AbortController()
  const nowhere = await blocks.cidOf(RAW, new Uint8Array([1, 2, 3]))
  const reading = blocks.get(nowhere, { signal: abort.signal }).catch((error: unknown) => error)
  await lab.advance(500)
  const beganMs = lab.clock.nowMs()
  abort.abort(new OsError('ECANCELED', 'enough'))
  expect(await lab.run(reading)).toMatchObject({ code: 'ECANCELED' })
  expect(lab.clock.nowMs() - beganMs).toBeLessThan(100)
})
