// Databases of other slots that do not open, which no real browser can be made to do on demand: an open request waits while
// a deletion or an upgrade is held up by a tab that stands still.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { databaseName } from './database.ts'
import { IndexedDbDeviceStore } from './devicestore.ts'

/** As much of an IDBRequest as is used. */
interface Request {
  result?: unknown
  onsuccess?: () => void
}
/** Slots whose databases are held up. */
const HELD_UP = [1, 3, 4, 5]
const block = new Uint8Array([1])
let opened: string[]
let closed: string[]
/** Lets one of those that are held up open. */
let held: (() => void)[]

function answered(result: () => unknown): Request {
  const request: Request = {}
  queueMicrotask(() => {
    request.result = result()
    request.onsuccess?.()
  })
  return request
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  opened = []
  closed = []
  held = []
  const database = (name: string) => ({
    close: () => closed.push(name),
    transaction: () => ({
      commit: () => undefined,
      objectStore: () => ({ get: (key: string) => answered(() => (key === 'a' ? block : undefined)) }),
    }),
  })
  const open = (name: string): Request => {
    opened.push(name)
    if (!HELD_UP.some((slot) => name === databaseName(slot))) return answered(() => database(name))
    const request: Request = {}
    held.push(() => {
      request.result = database(name)
      request.onsuccess?.()
    })
    return request
  }
  vi.stubGlobal('indexedDB', { open })
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

describe('a slot whose database does not open', () => {
  it('keeps nobody from reading the others for long, nor again', async () => {
    const store = new IndexedDbDeviceStore(0, async () => [...HELD_UP, 2])
    const first = store.getMany(['a'])
    await vi.advanceTimersByTimeAsync(400)
    expect(await first).toEqual([block])
    expect(await store.getMany(['a', 'x'])).toEqual([block, undefined]) // without time passing
    expect(opened.filter((name) => name === databaseName(1))).toHaveLength(1)
  })

  it('does not keep the store from being closed', async () => {
    const store = new IndexedDbDeviceStore(0, async () => [1])
    const read = store.getMany(['a'])
    await vi.advanceTimersByTimeAsync(100)
    await store.close()
    held[0]?.()
    await vi.advanceTimersByTimeAsync(1_000)
    expect(await read).toEqual([undefined])
    expect(closed).toEqual([databaseName(1)])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('is read once it does, and let go of when nobody does', async () => {
    const store = new IndexedDbDeviceStore(0, async () => [1])
    const first = store.getMany(['a'])
    await vi.advanceTimersByTimeAsync(20_000)
    expect(await first).toEqual([undefined])
    held[0]?.()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(closed).toEqual([databaseName(1)])
  })
})

describe('other slots', () => {
  it('are known to all who ask at first', async () => {
    const listed = Promise.withResolvers<number[]>()
    const store = new IndexedDbDeviceStore(0, () => listed.promise)
    const all = Promise.all([1, 2, 3].map(() => store.getMany(['a'])))
    listed.resolve([2])
    expect(await all).toEqual([[block], [block], [block]])
  })

  it('are let go of when nobody reads them any more, and opened again when somebody does', async () => {
    const store = new IndexedDbDeviceStore(0, async () => [2])
    await store.getMany(['a'])
    expect(closed).toEqual([])
    await vi.advanceTimersByTimeAsync(60_000)
    expect(closed).toEqual([databaseName(2)])
    expect(await store.getMany(['a'])).toEqual([block])
    expect(opened).toHaveLength(2)
  })
})
