// Who is asked without having said that it holds what is wanted.
import { expect, it } from 'vitest'
import { blocksOf, Lab } from '../harness.contract.ts'
import { RAW } from './cid.ts'

it('those that are likely to hold blocks hold some of them each: all come, and nobody else is looked for', async () => {
  const lab = new Lab({ split: true })
  const reader = await lab.node('m')
  let looked = 0
  const findProviders = async () => {
    looked++
    return []
  }
  const { blocks } = blocksOf(lab, reader, { findProviders })
  const contents = Array.from({ length: 4 }, (_, i) => new Uint8Array(1024 * 1024).fill(i))
  const cids = await Promise.all(contents.map((bytes) => blocks.cidOf(RAW, bytes)))
  // Each is asked first for what the other one has.
  const [p, q] = [await lab.node('p'), await lab.node('q')]
  for (const [node, held] of [
    [p, [2, 3]],
    [q, [0, 1]],
  ] as const) {
    await lab.run(blocksOf(lab, node).blocks.putMany(held.map((i) => [cids[i] as string, contents[i] as Uint8Array])))
    await lab.link(reader, node)
  }
  const read = await lab.run(blocks.getMany(cids, { hints: [p.id, q.id] }))
  expect(read.map((bytes) => bytes[0])).toEqual([0, 1, 2, 3])
  expect(looked).toBe(0)
})
