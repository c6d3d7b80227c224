// What every BlockStore must do; each adapter's test calls this with a factory.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isOsError } from '../base/errors.ts'
import type { BlockStore, DeviceStore } from './blockstore.ts'

export interface BlockStoreHarness {
  store: BlockStore
  /** The same storage, opened again, as after a reload of the tab. */
  reopen(): Promise<BlockStore>
  /** Throws the storage away. */
  cleanup(): void | Promise<void>
}

const bytes = (...values: number[]) => new Uint8Array(values)

export function blockStoreContract(name: string, make: () => Promise<BlockStoreHarness>): void {
  describe(`${name} keeps the block store contract`, () => {
    let harness: BlockStoreHarness
    let store: BlockStore

    beforeEach(async () => {
      harness = await make()
      store = harness.store
    })
    afterEach(async () => {
      await store.close()
      await harness.cleanup()
    })

    it('answers in the order of the keys, with undefined for what is absent', async () => {
      await store.putMany([
        ['a', bytes(1)],
        ['b', bytes(2, 2)],
      ])
      expect(await store.getMany(['b', 'x', 'a', 'b'])).toEqual([bytes(2, 2), undefined, bytes(1), bytes(2, 2)])
      expect(await store.hasMany(['x', 'a', 'b'])).toEqual([false, true, true])
    })

    it('finds keys in any order, also where many others lie between them', async () => {
      const all = Array.from({ length: 100 }, (_, i) => `k${String(i).padStart(3, '0')}`)
      await store.putMany(all.map((key) => [key, bytes(1)]))
      for (const wanted of [
        ['k', 'k000', 'k0005', 'k001', 'k050', 'k0505', 'k099', 'x'],
        ['k001', 'k002', 'k0025'],
        all,
      ]) {
        const held = wanted.map((key) => all.includes(key))
        expect(await store.hasMany(wanted)).toEqual(held)
        expect(await store.hasMany(wanted.toReversed())).toEqual(held.toReversed())
      }
      expect(await store.hasMany(['k001', 'k001', 'k0'])).toEqual([true, true, false])
    })

    it('accepts empty lists and empty blocks', async () => {
      await store.putMany([])
      await store.putMany([['empty', bytes()]])
      await store.deleteMany([])
      expect(await store.getMany([])).toEqual([])
      expect(await store.hasMany([])).toEqual([])
      expect(await store.getMany(['empty'])).toEqual([bytes()])
    })

    it('overwrites', async () => {
      await store.putMany([['a', bytes(1)]])
      await store.putMany([['a', bytes(2)]])
      expect(await store.getMany(['a'])).toEqual([bytes(2)])
    })

    it('keeps the last of equal keys in one call', async () => {
      await store.putMany([
        ['a', bytes(1)],
        ['a', bytes(2)],
      ])
      expect(await store.getMany(['a'])).toEqual([bytes(2)])
    })

    it('stores a private copy of a view, and only the view', async () => {
      const buffer = new Uint8Array(1024).fill(7)
      const view = buffer.subarray(10, 12)
      await store.putMany([['a', view]])
      buffer.fill(0)
      const [got] = await store.getMany(['a'])
      expect(got).toEqual(bytes(7, 7))
      expect(got?.buffer.byteLength).toBe(2)
      got?.fill(9)
      expect(await store.getMany(['a'])).toEqual([bytes(7, 7)])
    })

    it('lists its keys', async () => {
      await store.putMany(['c', 'a', 'b'].map((key) => [key, bytes(1)] as const))
      expect((await store.keys()).sort()).toEqual(['a', 'b', 'c'])
    })

    it('deletes what is there and ignores what is not', async () => {
      await store.putMany([
        ['a', bytes(1)],
        ['b', bytes(2)],
      ])
      await store.deleteMany(['a', 'x'])
      expect(await store.hasMany(['a', 'b'])).toEqual([false, true])
      expect(await store.keys()).toEqual(['b'])
    })

    it('holds many large blocks', async () => {
      const entries = Array.from({ length: 32 }, (_, i) => [`k${i}`, new Uint8Array(256 * 1024).fill(i)] as const)
      await store.putMany(entries)
      const got = await store.getMany(entries.map(([key]) => key))
      expect(got.map((block) => [block?.byteLength, block?.[0]])).toEqual(entries.map(([, b]) => [b.byteLength, b[0]]))
    })

    it('serves concurrent calls', async () => {
      const keys = Array.from({ length: 50 }, (_, i) => `k${i}`)
      await Promise.all(keys.map((key, i) => store.putMany([[key, bytes(i)]])))
      const got = await Promise.all(keys.map((key) => store.getMany([key])))
      expect(got.map(([block]) => block?.[0])).toEqual(keys.map((_, i) => i))
    })

    it('has its blocks after it was opened again', async () => {
      await store.putMany([['a', bytes(1)]])
      await store.close()
      store = await harness.reopen()
      expect(await store.getMany(['a'])).toEqual([bytes(1)])
    })

    it('tells what it uses', async () => {
      const usage = await store.usage()
      expect(usage.usedBytes).toBeGreaterThanOrEqual(0)
      expect(usage.quotaBytes).toBeGreaterThanOrEqual(0)
      expect(typeof usage.persisted).toBe('boolean')
    })

    it('rejects with EIO once closed; closing twice is harmless', async () => {
      await store.close()
      await store.close()
      const isEio = (error: unknown) => isOsError(error, 'EIO')
      await expect(store.getMany(['a'])).rejects.toSatisfy(isEio)
      await expect(store.putMany([['a', bytes(1)]])).rejects.toSatisfy(isEio)
      await expect(store.hasMany(['a'])).rejects.toSatisfy(isEio)
      await expect(store.deleteMany(['a'])).rejects.toSatisfy(isEio)
      await expect(store.keys()).rejects.toSatisfy(isEio)
    })
  })
}

export interface DeviceStoreHarness {
  device: DeviceStore
  /** This node's own, and those of two other tabs of the device. */
  own: BlockStore
  others: [BlockStore, BlockStore]
  /** The second of the others is closed, and what it has stored is deleted. Resolves when it is. */
  deleteSecond(): Promise<void>
  /** Throws the storage away. */
  cleanup(): void | Promise<void>
}

export function deviceStoreContract(name: string, make: () => Promise<DeviceStoreHarness>): void {
  describe(`${name} keeps the device store contract`, () => {
    let harness: DeviceStoreHarness
    let device: DeviceStore

    beforeEach(async () => {
      harness = await make()
      device = harness.device
    })
    afterEach(async () => {
      await device.close()
      for (const store of [harness.own, ...harness.others]) await store.close()
      await harness.cleanup()
    })

    it('answers in the order of the keys, with what any other tab has', async () => {
      const [one, two] = harness.others
      await one.putMany([['a', bytes(1)]])
      await two.putMany([
        ['a', bytes(1)],
        ['b', bytes(2, 2)],
      ])
      expect(await device.getMany(['b', 'x', 'a', 'b'])).toEqual([bytes(2, 2), undefined, bytes(1), bytes(2, 2)])
      expect(await device.getMany([])).toEqual([])
    })

    it('has nothing of what this node has stored itself', async () => {
      await harness.own.putMany([['a', bytes(1)]])
      expect(await device.getMany(['a'])).toEqual([undefined])
    })

    it('has what is stored while it is open, and not what is deleted', async () => {
      const [one] = harness.others
      expect(await device.getMany(['a'])).toEqual([undefined])
      await one.putMany([['a', bytes(1)]])
      expect(await device.getMany(['a'])).toEqual([bytes(1)])
      await one.deleteMany(['a'])
      expect(await device.getMany(['a'])).toEqual([undefined])
    })

    it('hands out private copies', async () => {
      await harness.others[0].putMany([['a', bytes(1)]])
      const [got] = await device.getMany(['a'])
      got?.fill(9)
      expect(await device.getMany(['a'])).toEqual([bytes(1)])
    })

    it('reads what a tab left when it was closed', async () => {
      await harness.others[0].putMany([['a', bytes(1)]])
      await harness.others[0].close()
      expect(await device.getMany(['a'])).toEqual([bytes(1)])
    })

    it('keeps nobody from deleting what it reads, and has nothing of it then', async () => {
      const [one, two] = harness.others
      await one.putMany([['a', bytes(1)]])
      await two.putMany([['b', bytes(2)]])
      expect(await device.getMany(['a', 'b'])).toEqual([bytes(1), bytes(2)])
      await harness.deleteSecond()
      expect(await device.getMany(['a', 'b'])).toEqual([bytes(1), undefined])
    })

    it('rejects with EIO once closed; closing twice is harmless', async () => {
      await device.close()
      await device.close()
      await expect(device.getMany(['a'])).rejects.toSatisfy((error: unknown) => isOsError(error, 'EIO'))
    })
  })
}
