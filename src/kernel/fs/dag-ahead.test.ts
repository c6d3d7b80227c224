// What a reader of a file asks for ahead, and how much of it is under way.
import { expect, it, vi } from 'vitest'
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { RAW } from '../blocks/cid.ts'
import { blocksOf, Lab } from '../harness.contract.ts'
import { BLOCK_BYTES, BLOCK_ITEM_BYTES, CACHED_MS, MIN_WINDOW_BYTES, READAHEAD_BLOCKS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'
import { DagReader } from './dag.ts'
import { DagWriter } from './dag-writer.ts'
import { fileReader } from './handles.ts'

const mebibytes = (count: number) =>
  concat(Array.from({ length: count }, (_, i) => new Uint8Array(BLOCK_BYTES).fill(i + 1)))

it('a reader of one file lets one holder send no more ahead than one window', async () => {
  const lab = new Lab()
  const reader = await lab.node('m')
  const { disk, blocks } = blocksOf(lab, reader)
  const writer = new DagWriter(blocks)
  await lab.run(writer.write(mebibytes(32)))
  const root = await lab.run(writer.finish())
  const stored = new Map(disk.blocks)
  await lab.advance(2 * CACHED_MS)
  for (const [cid, bytes] of stored) if (bytes.byteLength >= BLOCK_BYTES) disk.blocks.delete(cid)
  const raw = await lab.raw('a', reader)
  const { bulk, control } = await raw.greet()
  await lab.until(() => reader.rpc.linked(raw.id))
  const dag = new DagReader(blocks, root, { keep: 'never', hints: [raw.id] })
  const gets = () =>
    [bulk, control, ...raw.accepted]
      .flatMap(({ frames }) => frames)
      .flatMap((frame) => (frame[0] === FRAME.CALL && frame[2] === 'blocks.get' ? [frame] : []))
  const first = dag.readAt(0, BLOCK_BYTES)
  await lab.until(() => gets().length > 0)
  const [, id, , , , args] = gets()[0] as typeof gets extends () => (infer F)[] ? F : never
  const bytes = stored.get((args as { cids: string[] }).cids[0] as string) as Uint8Array
  for (let at = 0; at < BLOCK_BYTES; at += BLOCK_ITEM_BYTES) {
    bulk.send([FRAME.ITEM, id, [0, at, BLOCK_BYTES, bytes.subarray(at, at + BLOCK_ITEM_BYTES)]])
    await lab.advance(1)
  }
  bulk.send([FRAME.RESULT, id, null])
  await lab.run(first)
  dag.readAt(BLOCK_BYTES, BLOCK_BYTES).catch(() => undefined)
  dag.readAt(2 * BLOCK_BYTES, BLOCK_BYTES).catch(() => undefined)
  await lab.advance(500)
  const ahead = gets().slice(1)
  expect(ahead.length).toBeGreaterThan(1)
  expect(ahead.reduce((sum, [, , , , credit]) => sum + credit, 0)).toBeLessThanOrEqual(MIN_WINDOW_BYTES)
})

it('what could not be had ahead is asked for anew by whoever reads it when the holder is back', async () => {
  const lab = new Lab({ split: true })
  const reader = await lab.node('m')
  const { blocks } = blocksOf(lab, reader)
  const holder = await lab.node('p')
  const theirs = blocksOf(lab, holder)
  const writer = new DagWriter(theirs.blocks)
  await lab.run(writer.write(mebibytes(32)))
  const root = await lab.run(writer.finish())
  await lab.link(reader, holder)
  const dag = new DagReader(blocks, root, { keep: 'never' })
  const read = async (i: number) => (await lab.run(dag.readAt(i * BLOCK_BYTES, BLOCK_BYTES))).bytes[0]
  for (const i of [0, 1]) await read(i)
  await lab.advance(2 * CACHED_MS)
  const away = [...theirs.disk.blocks].filter(([, bytes]) => bytes.byteLength >= BLOCK_BYTES)
  for (const [cid] of away) theirs.disk.blocks.delete(cid)
  await read(2)
  await lab.advance(30_000)
  for (const [cid, bytes] of away) theirs.disk.blocks.set(cid, bytes)
  await lab.advance(600_000)
  for (let i = 3; i < 32; i++) expect(await read(i)).toBe(i + 1)
})

/** Reads a file of 32 MiB, with how many leaves were asked for. */
async function readingNode() {
  const lab = new Lab()
  const { blocks } = blocksOf(lab, await lab.node('m'))
  const writer = new DagWriter(blocks)
  await lab.run(writer.write(mebibytes(32)))
  const root = await lab.run(writer.finish())
  const asked = vi.spyOn(blocks, 'getEach')
  const leaves = () => asked.mock.calls.reduce((sum, [cids]) => sum + cids.length, 0)
  return { lab, reader: new DagReader(blocks, root), leaves }
}

it('who says how far it reads has just that fetched, from the first leaf on', async () => {
  const { lab, reader, leaves } = await readingNode()
  const until = 5 * BLOCK_BYTES - 1
  await lab.run(reader.readAt(BLOCK_BYTES + 1, 10, until))
  expect(leaves()).toBe(4)
  for (let at = 2; at < 5; at++) await lab.run(reader.readAt(at * BLOCK_BYTES, BLOCK_BYTES - 1, until))
  expect(leaves()).toBe(4)
})

it('who reads all of it has it fetched far ahead at once', async () => {
  const { lab, reader, leaves } = await readingNode()
  await lab.run(reader.readAt(0, BLOCK_BYTES, Number.MAX_SAFE_INTEGER))
  expect(leaves()).toBe(READAHEAD_BLOCKS)
})

it.each([1, 2, 3, 5, 8])(
  'of who reads %i leaves and does not say so at most as many are fetched ahead',
  async (count) => {
    const { lab, reader, leaves } = await readingNode()
    for (let at = 0; at < count; at++) await lab.run(reader.readAt(at * BLOCK_BYTES, BLOCK_BYTES))
    expect(leaves()).toBeGreaterThanOrEqual(count)
    expect(leaves()).toBeLessThanOrEqual(2 * count)
  },
)

it('one long read has all of its leaves fetched at once', async () => {
  const { lab, reader, leaves } = await readingNode()
  await lab.run(reader.readAt(0, 4 * BLOCK_BYTES))
  expect(leaves()).toBe(4)
})

it('what is fetched ahead is given up when the file is closed, but not before what is being read is here', async () => {
  const lab = new Lab({ split: true })
  const [reader, holder] = [await lab.node('m'), await lab.node('p')]
  const writer = new DagWriter(blocksOf(lab, holder).blocks)
  await lab.run(writer.write(mebibytes(32)))
  const root = await lab.run(writer.finish())
  await lab.link(reader, holder)
  const { blocks } = blocksOf(lab, reader)
  const asked = vi.spyOn(blocks, 'getEach')
  const handle = fileReader(new DagReader(blocks, root), root.size)
  const read = handle.read(0, BLOCK_BYTES, new AbortController().signal, root.size)
  handle.release?.()
  expect((await lab.run(read)).bytes.byteLength).toBe(BLOCK_BYTES)
  expect(asked.mock.lastCall?.[0]).toHaveLength(READAHEAD_BLOCKS)
  expect(asked.mock.lastCall?.[1]?.signal?.aborted).toBe(true)
})

it('a read that is given up is not waited for, and does not go on when the file is closed', async () => {
  const lab = new Lab({ split: true })
  const [reader, holder] = [await lab.node('m'), await lab.node('p')]
  holder.rpc.handle('blocks.have', async ({ cids }) => new Uint8Array(cids.length).fill(1))
  holder.rpc.handle('blocks.get', () => new Promise<never>(() => undefined))
  await lab.link(reader, holder)
  const { blocks } = blocksOf(lab, reader)
  const asked = vi.spyOn(blocks, 'getEach')
  const cid = await blocks.cidOf(RAW, new Uint8Array(BLOCK_BYTES))
  const handle = fileReader(new DagReader(blocks, { cid, size: BLOCK_BYTES }), BLOCK_BYTES)
  const abort = new AbortController()
  const read = handle.read(0, BLOCK_BYTES, abort.signal).catch((error: unknown) => error)
  await lab.advance(100)
  const beganMs = lab.clock.nowMs()
  abort.abort(new OsError('ECANCELED', 'the event has ended'))
  expect(await lab.run(read)).toMatchObject({ code: 'ECANCELED' })
  expect(lab.clock.nowMs() - beganMs).toBeLessThan(100)
  expect(asked.mock.lastCall?.[1]?.signal?.aborted).toBe(false)
  handle.release?.()
  expect(asked.mock.lastCall?.[1]?.signal?.aborted).toBe(true)
})
