// Blocks in memory beside the disk: which are, for how long, and that nobody is given what is not in the store.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemoryBlockStore } from '../../adapters/memory/stores.ts'
import { utf8 } from '../../base/bytes.ts'
import { type BlockNode, blockNode, Lab } from '../harness.contract.ts'
import { CACHED_BYTES, CACHED_FRESH_BYTES, CACHED_MS, TOUCHED_MS } from '../limits.ts'
import { BlockCache } from './cache.ts'
import { RAW } from './cid.ts'

const MIB = 1024 * 1024
const READING = { keep: 'wanted' } as const

let lab: Lab
let holder: BlockNode
let reader: BlockNode
/** Blocks that were looked for on any disk. */
let sought: string[]

const join = (name: string) => blockNode(lab, name)

async function stored(bytes: Uint8Array): Promise<string> {
  const cid = await holder.blocks.cidOf(RAW, bytes)
  await holder.blocks.putMany([[cid, bytes]])
  return cid
}

/** How often it was read from a disk where it is. */
const reads = (cid: string) => sought.filter((each) => each === cid).length

beforeEach(async () => {
  lab = new Lab({ split: true })
  holder = await join('h')
  reader = await join('p')
  await lab.link(reader, holder)
  sought = []
  const getMany = MemoryBlockStore.prototype.getMany
  vi.spyOn(MemoryBlockStore.prototype, 'getMany').mockImplementation(async function (this: MemoryBlockStore, keys) {
    const found = await getMany.call(this, keys)
    sought.push(...keys.filter((_key, i) => found[i]))
    return found
  })
})
afterEach(() => {
  vi.restoreAllMocks()
})

describe('what was stored lately', () => {
  it('is sent, and read here, without the disk', async () => {
    const bytes = new Uint8Array(300_000).fill(7)
    const cid = await stored(bytes)
    expect(await lab.run(reader.blocks.get(cid, READING))).toEqual(bytes)
    expect(await lab.run(holder.blocks.get(cid))).toEqual(bytes)
    expect(reads(cid)).toBe(0)
  })

  it('is read from the disk when nobody has used any of it for a while', async () => {
    const cid = await stored(utf8('x'))
    for (let i = 0; i < 3; i++) {
      await lab.advance(CACHED_MS - 1_000)
      await lab.run(holder.blocks.get(cid))
    }
    expect(reads(cid)).toBe(0)
    await lab.advance(2 * CACHED_MS)
    await lab.run(holder.blocks.get(cid))
    expect(reads(cid)).toBe(1)
  })

  it('is not given once it was freed', async () => {
    const cid = await stored(utf8('x'))
    for (let passedMs = 0; passedMs < TOUCHED_MS; passedMs += CACHED_MS / 2) {
      await lab.advance(CACHED_MS / 2)
      await lab.run(holder.blocks.get(cid))
    }
    expect(reads(cid)).toBe(0)
    expect(await holder.blocks.drop([cid], holder.blocks.mark())).toBe(1)
    await expect(lab.run(reader.blocks.get(cid))).rejects.toMatchObject({ code: 'EIO' })
  })

  it('is not given when the disk would not have it', async () => {
    const bytes = utf8('x')
    const cid = await holder.blocks.cidOf(RAW, bytes)
    holder.disk.quotaBytes = 0
    await expect(holder.blocks.putMany([[cid, bytes]])).rejects.toMatchObject({ code: 'ENOSPC' })
    await expect(lab.run(reader.blocks.get(cid))).rejects.toMatchObject({ code: 'EIO' })
  })

  it('is what was stored, whatever a reader does to its copy', async () => {
    const bytes = new Uint8Array(300_000).fill(7)
    const cid = await stored(bytes.slice())
    const [piece] = await lab.run(Promise.all(holder.blocks.getEach([cid])))
    expect(piece?.own).toBe(true)
    piece?.bytes.fill(0)
    structuredClone(piece?.bytes, { transfer: [piece?.bytes.buffer as ArrayBuffer] })
    expect(await lab.run(reader.blocks.get(cid, READING))).toEqual(bytes)
  })
})

describe('what several read', () => {
  it('is read from the disk twice', async () => {
    const cid = await stored(new Uint8Array(300_000).fill(7))
    await lab.advance(2 * CACHED_MS)
    for (const name of ['q', 'r', 's', 't']) {
      const other = await join(name)
      await lab.link(other, holder)
      await lab.run(other.blocks.get(cid, { ...READING, hints: [holder.id] }))
    }
    expect(reads(cid)).toBe(2)
  })

  it('is right again when this node has found that the disk has corrupted it', async () => {
    const bytes = new Uint8Array(300_000).fill(7)
    const cid = await stored(bytes)
    await lab.run(reader.blocks.get(cid))
    await lab.advance(2 * CACHED_MS)
    holder.disk.blocks.set(cid, new Uint8Array(300_000))
    for (const name of ['q', 'r']) {
      const other = await join(name)
      for (const node of [holder, reader]) await lab.link(other, node)
      expect(await lab.run(other.blocks.get(cid, { ...READING, hints: [holder.id] }))).toEqual(bytes)
    }
    expect(await lab.run(holder.blocks.get(cid))).toEqual(bytes)
    const last = await join('z')
    await lab.link(last, holder)
    expect(await lab.run(last.blocks.get(cid, { ...READING, hints: [holder.id] }))).toEqual(bytes)
    expect(last.blocks.liars().size).toBe(0)
  })
})

describe('the cache', () => {
  let cache: BlockCache
  beforeEach(() => {
    cache = new BlockCache(new MemoryBlockStore(), lab.clock)
  })
  const fill = (from: number, to: number) => {
    for (let i = from; i < to; i++) cache.add(`c${i}`, new Uint8Array(MIB))
  }
  const held = (to: number) => Array.from({ length: to }, (_, i) => i).filter((i) => cache.get(`c${i}`))

  it('is bounded: those go that were used longest ago', () => {
    const most = CACHED_BYTES / MIB - 1 // each costs a little more than its bytes
    fill(0, most)
    expect(cache.get('c0')).toBeDefined()
    fill(most, most + 3)
    expect(held(most + 3)).toHaveLength(most)
    expect(cache.get('c0')).toBeDefined()
    expect([1, 2, 3].map((i) => cache.get(`c${i}`))).toEqual([undefined, undefined, undefined])
  })

  it('keeps what is asked for when as much as it holds is written, and has room for what is written', () => {
    const most = CACHED_BYTES / MIB - 1
    fill(0, most)
    const asked = held(most)
    fill(most, 4 * most)
    const still = held(most)
    expect(still).toEqual(asked.slice(-still.length))
    expect(still.length).toBe(most - CACHED_FRESH_BYTES / MIB + 1)
    expect(cache.peek(`c${4 * most - 1}`)).toBeDefined()
  })

  it('keeps as much as fits of what is read again and again, however large it is', () => {
    const most = CACHED_BYTES / MIB - 1
    const hits = [1, 2, 3].map(() => {
      let found = 0
      for (let i = 0; i < 2 * most; i++) {
        if (cache.get(`c${i}`)) found++
        else cache.filling()(`c${i}`, new Uint8Array(MIB))
      }
      return found
    })
    expect(hits).toEqual([0, most, most])
  })

  it('lets those go for what is read that nobody asks for, and keeps some of them', () => {
    const most = CACHED_BYTES / MIB - 1
    fill(0, most)
    for (let i = most; i < 3 * most; i++) cache.filling()(`c${i}`, new Uint8Array(MIB))
    const written = Array.from({ length: most }, (_, i) => i).filter((i) => cache.peek(`c${i}`))
    expect(written.length).toBeGreaterThanOrEqual(CACHED_FRESH_BYTES / MIB - 1)
    expect(written.length).toBeLessThanOrEqual(CACHED_FRESH_BYTES / MIB)
    expect(held(3 * most)).toHaveLength(most)
  })

  it('makes room for others a minute after the last asked', async () => {
    const most = CACHED_BYTES / MIB - 1
    for (let i = 0; i < most; i++) cache.filling()(`c${i}`, new Uint8Array(MIB))
    await lab.advance(2 * CACHED_MS)
    cache.filling()('new', new Uint8Array(MIB))
    expect(cache.peek('new')).toBeDefined()
  })

  it('holds nothing of the memory around a block', () => {
    cache.add('c', new Uint8Array(MIB).subarray(10, 20))
    expect(cache.get('c')?.buffer.byteLength).toBe(10)
  })

  it('has no timer while it is empty, and holds nothing once it is closed', async () => {
    const timers = vi.spyOn(lab.clock, 'setTimer')
    const set = () => timers.mock.calls.filter(([, , label]) => label === 'cached blocks').length
    fill(0, 2)
    await lab.advance(2 * CACHED_MS)
    expect(held(2)).toEqual([])
    const before = set()
    await lab.advance(10 * CACHED_MS)
    expect(set()).toBe(before)
    fill(0, 1)
    cache.close()
    fill(1, 2)
    expect(held(2)).toEqual([])
  })
})
