// What is stored in vain is freed, and nothing else.
import { expect, it } from 'vitest'
import { blocksOf, Lab } from '../harness.contract.ts'
import { WRITE_BATCH_BLOCKS } from '../limits.ts'
import { RAW } from './cid.ts'

it.each([1, 2 * WRITE_BATCH_BLOCKS])(
  'a block that was on the disk before this session is not freed by who stores it in vain with %i others',
  async (others) => {
    const lab = new Lab()
    const { disk, blocks } = blocksOf(lab, await lab.node('m'))
    const contents = Array.from({ length: others + 1 }, (_, i) => new Uint8Array([i]))
    const cids = await Promise.all(contents.map((bytes) => blocks.cidOf(RAW, bytes)))
    const named = cids.at(-1) as string
    disk.blocks.set(named, new Uint8Array([others])) // a file has it
    const own = new Map()
    await lab.run(
      blocks.putNew(
        cids.map((cid, i) => [cid, contents[i] as Uint8Array] as const),
        own,
      ),
    )
    await lab.run(blocks.takeBack(own))
    expect([...disk.blocks.keys()]).toEqual([named])
  },
)

it('a block that stands twice in what is stored in vain is freed', async () => {
  const lab = new Lab()
  const { disk, blocks } = blocksOf(lab, await lab.node('m'))
  const bytes = new Uint8Array([1])
  const cid = await blocks.cidOf(RAW, bytes)
  const own = new Map()
  for (let i = 0; i < 2; i++) await lab.run(blocks.putNew([[cid, bytes]], own))
  await lab.run(blocks.takeBack(own))
  expect(disk.blocks.size).toBe(0)
})
