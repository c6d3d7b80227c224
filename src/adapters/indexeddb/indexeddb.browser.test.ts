import { describe, expect, it } from 'vitest'
import { isOsError } from '../../base/errors.ts'
import { blockStoreContract, deviceStoreContract } from '../../ports/blockstore.contract.ts'
import { logStoreContract } from '../../ports/logstore.contract.ts'
import { blockStoreOn, openBlockStore } from './blockstore.ts'
import { databaseName, SlotDatabase } from './database.ts'
import { IndexedDbDeviceStore } from './devicestore.ts'
import { IndexedDbLogStore, openLogStore } from './logstore.ts'

let lastSlot = 1000
const newSlot = () => ++lastSlot

function deleteDatabase(slot: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(databaseName(slot))
    request.onsuccess = () => resolve()
    request.onerror = () => reject(request.error)
  })
}

blockStoreContract('IndexedDB', async () => {
  const slot = newSlot()
  return {
    store: await openBlockStore(slot),
    reopen: () => openBlockStore(slot),
    cleanup: () => deleteDatabase(slot),
  }
})

deviceStoreContract('IndexedDB', async () => {
  const slots = [newSlot(), newSlot(), newSlot()] as const
  const [own, one, two] = [
    await openBlockStore(slots[0]),
    await openBlockStore(slots[1]),
    await openBlockStore(slots[2]),
  ]
  return {
    device: new IndexedDbDeviceStore(slots[0], async () => slots),
    own,
    others: [one, two],
    async deleteSecond() {
      await two.close()
      await deleteDatabase(slots[2])
    },
    async cleanup() {
      for (const slot of slots) await deleteDatabase(slot)
    },
  }
})

logStoreContract('IndexedDB', async () => {
  const slot = newSlot()
  return {
    store: await openLogStore(slot),
    reopen: () => openLogStore(slot),
    cleanup: () => deleteDatabase(slot),
  }
})

interface StorageBuckets {
  open(name: string, options: { quota: number }): Promise<{ indexedDB: IDBFactory }>
  delete(name: string): Promise<void>
}

/** A place with a quota of its own (Storage Buckets API): the origin's cannot be changed without side effects. */
async function smallPlace(): Promise<{ factory: IDBFactory; remove(): Promise<void> }> {
  const { storageBuckets } = navigator as unknown as { storageBuckets: StorageBuckets }
  const { indexedDB: factory } = await storageBuckets.open('small', { quota: 16 * 1024 * 1024 })
  return { factory, remove: () => storageBuckets.delete('small') }
}

/** Bytes that a database cannot compress. */
function noise(length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(out.subarray(at, at + 65_536))
  return out
}

const isEio = (error: unknown) => isOsError(error, 'EIO')
const isFull = (error: unknown) => isOsError(error, 'ENOSPC')
const bytes = (...values: number[]) => new Uint8Array(values)

describe('what other slots have', () => {
  it('is looked for without making a database where there is none', async () => {
    const slot = newSlot()
    const device = new IndexedDbDeviceStore(newSlot(), async () => [slot])
    expect(await device.getMany(['a'])).toEqual([undefined])
    expect((await indexedDB.databases()).map(({ name }) => name)).not.toContain(databaseName(slot))
    // Its tab may have come meanwhile.
    const blocks = await openBlockStore(slot)
    await blocks.putMany([['a', bytes(1)]])
    expect(await device.getMany(['a'])).toEqual([bytes(1)])
    await Promise.all([blocks.close(), device.close()])
    await deleteDatabase(slot)
  })

  it('is read past a database that is none of ours', async () => {
    const [strange, slot] = [newSlot(), newSlot()]
    const request = indexedDB.open(databaseName(strange), 1)
    request.onupgradeneeded = () => request.result.createObjectStore('something')
    await new Promise((resolve) => {
      request.onsuccess = resolve
    })
    request.result.close()
    const blocks = await openBlockStore(slot)
    await blocks.putMany([['a', bytes(1)]])
    const device = new IndexedDbDeviceStore(newSlot(), async () => [strange, slot])
    expect(await device.getMany(['a'])).toEqual([bytes(1)])
    await Promise.all([blocks.close(), device.close()])
    await Promise.all([strange, slot].map(deleteDatabase))
  })
})

describe('storage that the browser takes away', () => {
  it('fails with EIO once its database was deleted, since what it acknowledged is gone', async () => {
    const slot = newSlot()
    const [blocks, logs] = [await openBlockStore(slot), await openLogStore(slot)]
    await blocks.putMany([['a', bytes(1)]])
    await logs.append('l', 1, [bytes(1)])
    await deleteDatabase(slot)
    await expect(logs.append('l', 2, [bytes(2)])).rejects.toSatisfy(isEio)
    await expect(blocks.getMany(['a'])).rejects.toSatisfy(isEio)
    await expect(blocks.putMany([['b', bytes(1)]])).rejects.toThrow(/deleted this tab’s storage/)
    await Promise.all([blocks.close(), logs.close()])
    await deleteDatabase(slot)
  })

  it('tells of it while nobody reads or writes', async () => {
    const database = new SlotDatabase(newSlot())
    await database.open()
    await deleteDatabase(lastSlot)
    expect(await database.gone).toMatchObject({ code: 'EIO' })
    await deleteDatabase(lastSlot)
  })

  it('opens the database again after the browser closed the connection and kept the data', async () => {
    const slot = newSlot()
    const blocks = await openBlockStore(slot)
    await blocks.putMany([['a', bytes(1)]])
    // An upgrade attempt makes our connection close; aborting it leaves the data as it was.
    await new Promise<void>((resolve) => {
      const request = indexedDB.open(databaseName(slot), 99)
      request.onupgradeneeded = () => request.transaction?.abort()
      request.onerror = (event) => {
        event.preventDefault()
        resolve()
      }
    })
    expect(await blocks.getMany(['a'])).toEqual([bytes(1)])
    await blocks.close()
    await deleteDatabase(slot)
  })

  it('rejects with ENOSPC when the quota is used up, stores nothing of that call, and goes on', async () => {
    const { factory, remove } = await smallPlace()
    const database = new SlotDatabase(newSlot(), factory)
    const [blocks, logs] = [blockStoreOn(database), new IndexedDbLogStore(database)]
    await blocks.putMany([['small', bytes(1)]])
    const [fits, tooBig] = await Promise.allSettled([
      logs.append('a', 1, [bytes(1)]),
      logs.append('b', 1, [noise(64 * 1024 * 1024)]),
    ])
    expect([fits.status, tooBig.status]).toEqual(['fulfilled', 'rejected'])
    expect(tooBig.status === 'rejected' && isFull(tooBig.reason)).toBe(true)
    const big = Array.from({ length: 64 }, (_, i) => [`big${i}`, noise(1024 * 1024)] as const)
    await expect(blocks.putMany(big)).rejects.toSatisfy(isFull)
    expect(await blocks.keys()).toEqual(['small'])
    // Chromium counts what aborted transactions had written for a while: small writes fit again, perhaps not at once.
    const later = () =>
      blocks.putMany([['later', bytes(2)]]).then(
        () => 'stored',
        (error: unknown) => isFull(error) && 'full',
      )
    await expect.poll(later, { timeout: 45_000, interval: 500 }).toBe('stored')
    await logs.append('b', 1, [bytes(1)])
    expect((await blocks.keys()).sort()).toEqual(['later', 'small'])
    await database.close()
    await remove()
  })
})
