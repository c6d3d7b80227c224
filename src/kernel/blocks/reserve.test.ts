import { describe, expect, it } from 'vitest'
import { Disk, MemoryLogStore } from '../../adapters/memory/stores.ts'
import { isOsError, OsError } from '../../base/errors.ts'
import { RESERVE_FROM_BYTES, RESERVE_PIECE_BYTES, RESERVE_PIECES } from '../limits.ts'
import { Reserve } from './reserve.ts'

const isFull = (error: unknown) => isOsError(error, 'ENOSPC')

/** A disk that is full but for the reserve. */
async function full() {
  const disk = new Disk()
  const store = new MemoryLogStore(disk)
  let notices = 0
  const reserve = new Reserve(store, () => notices++)
  await reserve.refill(RESERVE_FROM_BYTES)
  disk.quotaBytes = disk.usedBytes()
  const put = (name: string, bytes: number) => store.putRecord(name, new Uint8Array(bytes))
  return { disk, store, reserve, put, notices: () => notices }
}

describe('the reserve', () => {
  it('is laid out once there is something to delete', async () => {
    const disk = new Disk()
    const reserve = new Reserve(new MemoryLogStore(disk), () => {})
    await reserve.refill(RESERVE_FROM_BYTES - 1)
    expect(disk.usedBytes()).toBe(0)
    await reserve.refill(RESERVE_FROM_BYTES)
    expect(disk.usedBytes()).toBe(RESERVE_PIECES * RESERVE_PIECE_BYTES)
    expect(reserve.short).toBe(false)
  })

  it('gives what a write needs that may use it, until it is used up', async () => {
    const { reserve, put, notices } = await full()
    await expect(put('other', 1)).rejects.toSatisfy(isFull)
    await reserve.use(() => put('a', RESERVE_PIECE_BYTES * 1.5))
    expect([reserve.short, notices()]).toEqual([true, 1])
    await reserve.use(() => put('b', RESERVE_PIECE_BYTES * 2.5))
    await expect(reserve.use(() => put('c', 1))).rejects.toSatisfy(isFull)
    expect(notices()).toBe(1)
  })

  it('gives one piece to several small writes that find no room at a time', async () => {
    const { disk, reserve, put } = await full()
    await Promise.all(Array.from({ length: 20 }, (_, i) => reserve.use(() => put(`a${i}`, 100))))
    expect(disk.quotaBytes - disk.usedBytes()).toBe(RESERVE_PIECE_BYTES - 2_000)
  })

  it('is whole again when there is room, and after a reload', async () => {
    const { disk, store, reserve, put } = await full()
    await reserve.use(() => put('a', 100))
    await reserve.refill(RESERVE_FROM_BYTES)
    expect(reserve.short).toBe(true)
    disk.quotaBytes += 100
    await reserve.refill(0)
    expect(reserve.short).toBe(false)
    disk.quotaBytes = disk.usedBytes()
    const again = new Reserve(store, () => {})
    await again.refill(RESERVE_FROM_BYTES)
    expect(again.short).toBe(false)
    await again.use(() => put('b', 100))
    const third = new Reserve(store, () => {})
    await third.refill(RESERVE_FROM_BYTES)
    expect(third.short).toBe(true)
  })

  it('is open to some journals and records only', async () => {
    const { store, reserve } = await full()
    const opened = reserve.openTo(store, (name) => name.startsWith('tree/'))
    await expect(opened.append('process/1', 1, [new Uint8Array(10)])).rejects.toSatisfy(isFull)
    await opened.append('tree/1', 1, [new Uint8Array(10)])
    await opened.compact('tree/1', 1, new Uint8Array(RESERVE_PIECE_BYTES))
    await expect(opened.putRecord('process/1', new Uint8Array(RESERVE_PIECE_BYTES * 3))).rejects.toSatisfy(isFull)
    await opened.putRecord('tree/1', new Uint8Array(10))
  })

  it('is not used for what fails otherwise', async () => {
    const { reserve } = await full()
    const broken = reserve.use(() => Promise.reject(new OsError('EIO', 'broken')))
    await expect(broken).rejects.toSatisfy((error: unknown) => isOsError(error, 'EIO'))
    expect(reserve.short).toBe(false)
  })
})
