// What an attack on the blocks in memory, and a second look at it, have found: each of these failed.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { MemoryBlockStore } from '../../adapters/memory/stores.ts'
import { utf8 } from '../../base/bytes.ts'
import { type BlockNode, blockNode, Lab } from '../harness.contract.ts'
import { CACHED_MS, TOUCHED_MS } from '../limits.ts'
import { BlockCache } from './cache.ts'
import { RAW } from './cid.ts'

const MIB = 1024 * 1024
const READING = { keep: 'wanted' } as const

let lab: Lab
let holder: BlockNode
let reader: BlockNode

const join = (name: string) => blockNode(lab, name)
async function stored(bytes: Uint8Array): Promise<string> {
  const cid = await holder.blocks.cidOf(RAW, bytes)
  await holder.blocks.putMany([[cid, bytes]])
  return cid
}
/** The next read of that block on the holder is answered, as it was when it was asked, only when it is let go. */
function heldUp(cid: string): { begun: Promise<void>; go: () => void } {
  const begun = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  const getMany = MemoryBlockStore.prototype.getMany
  let once = true
  vi.spyOn(MemoryBlockStore.prototype, 'getMany').mockImplementation(async function (this: MemoryBlockStore, keys) {
    const found = await getMany.call(this, keys)
    if (once && keys.includes(cid) && found[keys.indexOf(cid)]) {
      once = false
      begun.resolve()
      await gate.promise
    }
    return found
  })
  return { begun: begun.promise, go: gate.resolve }
}

/** Another node reads it of the holder, whose disk has given it, but has not answered yet. */
async function beingRead(cid: string) {
  const read = heldUp(cid)
  const q = await join('q')
  await lab.link(q, holder)
  const reading = q.blocks.get(cid, { ...READING, hints: [holder.id] })
  reading.catch(() => undefined) // the test that awaits it meets the error
  await lab.run(read.begun)
  return { go: read.go, reading }
}

beforeEach(async () => {
  lab = new Lab({ split: true })
  holder = await join('h')
  reader = await join('p')
  await lab.link(reader, holder)
})
afterEach(() => {
  vi.restoreAllMocks()
})

describe('timers', () => {
  it('one at a time, however often the cache is empty in between', async () => {
    const live = new Set<number>()
    let n = 0
    const setTimer = lab.clock.setTimer.bind(lab.clock)
    vi.spyOn(lab.clock, 'setTimer').mockImplementation((callback, ms, label) => {
      if (label !== 'cached blocks') return setTimer(callback, ms, label)
      const id = n++
      live.add(id)
      const timer = setTimer(
        () => {
          live.delete(id)
          callback()
        },
        ms,
        label,
      )
      return timer
    })
    holder.disk.quotaBytes = 0
    for (let i = 0; i < 100; i++) await expect(stored(utf8(`${i}`))).rejects.toMatchObject({ code: 'ENOSPC' })
    holder.disk.quotaBytes = Number.POSITIVE_INFINITY
    const cid = await stored(utf8('x'))
    // Nor do they go while it is used.
    for (let i = 0; i < 10; i++) {
      await lab.advance(CACHED_MS / 2)
      await lab.run(holder.blocks.get(cid))
    }
    expect(live.size).toBe(1)
  })
})

describe('what was freed', () => {
  it('does not come back from a read for a peer that was under way', async () => {
    const bytes = new Uint8Array(300_000).fill(7)
    const cid = await stored(bytes)
    await lab.run(reader.blocks.get(cid, READING)) // so that the next is the second to read it
    await lab.advance(TOUCHED_MS + 2 * CACHED_MS)
    const { go, reading } = await beingRead(cid)
    expect(await lab.run(holder.blocks.drop([cid], holder.blocks.mark()))).toBe(1)
    go()
    await lab.run(reading)
    expect(await holder.blocks.hasMany([cid])).toEqual([false])
    const z = await join('z')
    await lab.link(z, holder)
    await expect(
      lab.run(z.blocks.get(cid, { hints: [holder.id] }).then(({ byteLength }) => byteLength)),
    ).rejects.toMatchObject({ code: 'EIO' })
  })

  it('does not come back from a copy that was being kept', async () => {
    const bytes = utf8('small, so it is kept')
    const cid = await stored(bytes)
    const putMany = MemoryBlockStore.prototype.putMany
    const begun = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    vi.spyOn(MemoryBlockStore.prototype, 'putMany').mockImplementation(async function (
      this: MemoryBlockStore,
      entries,
    ) {
      await putMany.call(this, entries) // it is on the disk; the answer takes its time
      begun.resolve()
      await gate.promise
    })
    const reading = reader.blocks.get(cid)
    await lab.run(begun.promise)
    expect(await lab.run(reader.blocks.drop([cid], reader.blocks.mark()))).toBe(1)
    gate.resolve()
    await lab.run(reading)
    expect(await reader.blocks.hasMany([cid])).toEqual([false])
    await holder.blocks.drop([cid], holder.blocks.mark())
    const z = await join('z')
    await lab.link(z, reader)
    await expect(
      lab.run(z.blocks.get(cid, { hints: [reader.id] }).then(({ byteLength }) => byteLength)),
    ).rejects.toMatchObject({ code: 'EIO' })
  })
})

it('what several read goes into memory also where this node fetches something else meanwhile', async () => {
  const cid = await stored(new Uint8Array(300_000).fill(7))
  await lab.run(reader.blocks.get(cid, READING))
  const elsewhere = utf8('elsewhere')
  const other = await reader.blocks.put(RAW, elsewhere)
  await lab.advance(2 * CACHED_MS)
  const { go, reading } = await beingRead(cid)
  expect(await lab.run(holder.blocks.get(other))).toEqual(elsewhere)
  go()
  await lab.run(reading)
  holder.disk.blocks.delete(cid)
  expect((await lab.run(holder.blocks.get(cid))).byteLength).toBe(300_000)
})

describe('what the disk had corrupted', () => {
  const bytes = new Uint8Array(300_000).fill(7)
  /** The holder reads it for a peer while it repairs it. */
  async function repairedMeanwhile(): Promise<string> {
    const cid = await stored(bytes)
    await lab.run(reader.blocks.get(cid, { keep: 'always' }))
    await lab.run(reader.blocks.get(cid, READING))
    const p = await join('p2')
    await lab.link(p, holder)
    await lab.run(p.blocks.get(cid, { ...READING, hints: [holder.id] }))
    await lab.advance(TOUCHED_MS + 2 * CACHED_MS)
    holder.disk.blocks.set(cid, new Uint8Array(300_000))
    const { go, reading } = await beingRead(cid)
    expect(await lab.run(holder.blocks.get(cid))).toEqual(bytes) // finds it, and repairs it
    expect(holder.disk.blocks.get(cid)).toEqual(bytes)
    go()
    await lab.run(reading.catch(() => undefined))
    return cid
  }

  it('is not sent any more once it is repaired', async () => {
    const cid = await repairedMeanwhile()
    const z = await join('z')
    await lab.link(z, holder)
    expect((await lab.run(z.blocks.get(cid, { ...READING, hints: [holder.id] })))[0]).toBe(7)
    expect(z.blocks.liars().size).toBe(0)
  })

  it('is read here, as the disk has it right, whatever memory has', async () => {
    const cid = await repairedMeanwhile()
    reader.disk.blocks.clear() // nobody else has it any more
    reader.network.close?.()
    expect((await lab.run(holder.blocks.get(cid, { hints: [] })))[0]).toBe(7)
  })
})

describe('bounds', () => {
  it('what nobody uses is freed, though somebody polls something else', async () => {
    const large = await Promise.all(Array.from({ length: 50 }, (_, i) => stored(new Uint8Array(MIB).fill(i + 1))))
    const small = await stored(utf8('x'))
    for (let i = 0; i < 60; i++) {
      await lab.advance(CACHED_MS - 1_000)
      await lab.run(reader.blocks.get(small, { keep: 'never' }))
    }
    const sought: string[] = []
    const getMany = MemoryBlockStore.prototype.getMany
    vi.spyOn(MemoryBlockStore.prototype, 'getMany').mockImplementation(async function (this: MemoryBlockStore, keys) {
      sought.push(...keys)
      return getMany.call(this, keys)
    })
    await lab.run(holder.blocks.get(large[0] as string))
    expect(sought).toContain(large[0]) // an hour after it was stored
  })
})

describe('cost', () => {
  it('other work has its turn while thousands are read from memory', async () => {
    const cids: string[] = []
    const entries: [string, Uint8Array][] = []
    for (let i = 0; i < 20_000; i++) {
      const bytes = utf8(`block ${i}`)
      const cid = await holder.blocks.cidOf(RAW, bytes)
      cids.push(cid)
      entries.push([cid, bytes])
    }
    await holder.blocks.putMany(entries)
    // As IndexedDB answers: nothing at once, anything with a task of its own.
    const getMany = MemoryBlockStore.prototype.getMany
    vi.spyOn(MemoryBlockStore.prototype, 'getMany').mockImplementation(async function (this: MemoryBlockStore, keys) {
      if (keys.length === 0) return []
      await new Promise((resolve) => setImmediate(resolve))
      return getMany.call(this, keys)
    })
    let turns = 0
    const tick = () => {
      turns++
      handle = setImmediate(tick)
    }
    let handle = setImmediate(tick)
    for (const cid of cids) await holder.blocks.get(cid)
    clearImmediate(handle)
    expect(turns).toBeGreaterThan(10)
  })

  it('a block that is a view is copied once, for the disk and the memory together', async () => {
    const bytes = new Uint8Array(MIB + 36).subarray(36) // as every block of a CAR that is imported
    const cid = await holder.blocks.cidOf(RAW, bytes)
    let given: Uint8Array | undefined
    const putMany = MemoryBlockStore.prototype.putMany
    vi.spyOn(MemoryBlockStore.prototype, 'putMany').mockImplementation(async function (
      this: MemoryBlockStore,
      entries,
    ) {
      given = entries[0]?.[1]
      return putMany.call(this, entries)
    })
    await holder.blocks.putMany([[cid, bytes]])
    expect(given?.byteLength).toBe(given?.buffer.byteLength)
  })
})

describe('memory', () => {
  it('no more is held of a buffer that may grow than its bytes', () => {
    const cache = new BlockCache(new MemoryBlockStore(), lab.clock)
    cache.add('c', structuredClone(new Uint8Array(new ArrayBuffer(MIB, { maxByteLength: 64 * MIB }))))
    const { buffer } = cache.get('c') as Uint8Array
    expect((buffer as ArrayBuffer).maxByteLength).toBe(MIB)
  })
})
