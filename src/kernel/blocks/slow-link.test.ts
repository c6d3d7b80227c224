import { expect, it } from 'vitest'
import { blocksOf, Lab } from '../harness.contract.ts'
import { BLOCK_ITEM_BYTES } from '../limits.ts'
import { RAW } from './cid.ts'

it.each([12, 20])('a block comes over a link of %i bytes per ms', async (bytesPerMs) => {
  const lab = new Lab({ split: true })
  const [reader, node] = [await lab.node('m'), await lab.node('p')]
  const { blocks } = blocksOf(lab, reader, { findProviders: async () => [] })
  const bytes = new Uint8Array(1024 * 1024).fill(1)
  const cid = await blocks.cidOf(RAW, bytes)
  const sleep = (ms: number) => new Promise<void>((resolve) => lab.clock.setTimer(resolve, ms, 'test'))
  node.rpc.handle('blocks.have', async () => Uint8Array.of(1))
  node.rpc.handle('blocks.get', async (_args, { item, signal }) => {
    for (let at = 0; at < bytes.byteLength && !signal.aborted; at += BLOCK_ITEM_BYTES) {
      const piece = bytes.subarray(at, at + BLOCK_ITEM_BYTES)
      await sleep(piece.byteLength / bytesPerMs)
      await item([0, at, bytes.byteLength, piece])
    }
    return null
  })
  await lab.link(reader, node)
  expect(await lab.run(blocks.get(cid, { keep: 'never' }))).toEqual(bytes)
})
