// What an attack on the serving of blocks has found: each of these failed.
import { afterEach, expect, it, vi } from 'vitest'
import { MemoryBlockStore } from '../../adapters/memory/stores.ts'
import { blockNode, Lab } from '../harness.contract.ts'
import { MAX_PEER_CALLS } from '../limits.ts'
import { FRAME } from '../rpc/frames.ts'
import { RAW } from './cid.ts'

const BLOCK = 64 * 1024
afterEach(() => {
  vi.restoreAllMocks()
})

it('who asks for blocks hundreds of times and takes none has a few of them read, and others are served', async () => {
  const lab = new Lab({ split: true })
  const holder = await blockNode(lab, 'h')
  const reader = await blockNode(lab, 'p')
  await lab.link(reader, holder)
  const cids: string[] = []
  for (let i = 0; i < MAX_PEER_CALLS; i++) {
    const bytes = new Uint8Array(BLOCK).fill(i % 251)
    bytes[0] = i >> 8
    const cid = await holder.blocks.cidOf(RAW, bytes)
    await holder.blocks.putMany([[cid, bytes]])
    cids.push(cid)
  }
  holder.blocks.close() // nothing comes from memory
  let readBytes = 0
  const getMany = MemoryBlockStore.prototype.getMany
  vi.spyOn(MemoryBlockStore.prototype, 'getMany').mockImplementation(async function (this: MemoryBlockStore, keys) {
    const found = await getMany.call(this, keys)
    for (const bytes of found) readBytes += bytes?.byteLength ?? 0
    return found
  })
  const hostile = await lab.raw('a', holder)
  const { bulk } = await hostile.greet()
  await lab.until(() => holder.rpc.linked(hostile.id))
  for (let i = 0; i < MAX_PEER_CALLS; i++) {
    bulk.send([FRAME.CALL, i, 'blocks.get', 0, 0, { cids: [cids[i], cids[(i + 1) % cids.length]] }])
  }
  await lab.advance(1_000)
  expect(readBytes).toBeLessThan((MAX_PEER_CALLS / 8) * BLOCK)
  readBytes = 0
  const got = await lab.run(reader.blocks.get(cids[7] as string, { hints: [holder.id] }))
  expect(got.byteLength).toBe(BLOCK)
  // Who gives up makes room for what it asked for besides.
  for (let i = 0; i < MAX_PEER_CALLS - 1; i++) bulk.send([FRAME.CANCEL, i])
  bulk.send([FRAME.CREDIT, MAX_PEER_CALLS - 1, 1e9])
  await lab.until(() => bulk.frames.some((frame) => frame[0] === FRAME.RESULT && frame[1] === MAX_PEER_CALLS - 1))
})

it('who asks hundreds of times what is here does not have all of it looked for at once', async () => {
  const lab = new Lab({ split: true })
  const holder = await blockNode(lab, 'h')
  const reader = await blockNode(lab, 'p')
  await lab.link(reader, holder)
  const cid = await holder.blocks.put(RAW, new Uint8Array(1))
  let looking = 0
  const gate = Promise.withResolvers<void>()
  const hasMany = MemoryBlockStore.prototype.hasMany
  vi.spyOn(MemoryBlockStore.prototype, 'hasMany').mockImplementation(async function (this: MemoryBlockStore, keys) {
    if (keys.length === 1) return hasMany.call(this, keys)
    looking++
    await gate.promise
    return hasMany.call(this, keys)
  })
  const hostile = await lab.raw('a', holder)
  const { control } = await hostile.greet()
  await lab.until(() => holder.rpc.linked(hostile.id))
  for (let i = 0; i < MAX_PEER_CALLS; i++) control.send([FRAME.CALL, i, 'blocks.have', 0, 0, { cids: [cid, cid] }])
  await lab.advance(1_000)
  expect(looking).toBeLessThan(8)
  expect([...(await lab.run(reader.rpc.call(holder.id, 'blocks.have', { cids: [cid] })))]).toEqual([1])
  gate.resolve()
  await lab.until(() => control.frames.filter(([kind]) => kind === FRAME.RESULT).length === MAX_PEER_CALLS)
})
