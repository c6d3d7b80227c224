import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cdp } from 'vitest/browser'
import { isOsError } from '../../base/errors.ts'
import { blockStoreContract } from '../../ports/blockstore.contract.ts'
import { logStoreContract } from '../../ports/logstore.contract.ts'
import { openBlockStore } from './blockstore.ts'
import { databaseName } from './database.ts'
import { openLogStore } from './logstore.ts'

let lastSlot = 1000
const newSlot = () => ++lastSlot

function deleteDatabase(slot: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(databaseName(slot))
    request.onsuccess = () => resolve()
    request.onerror = () => reject(request.error)
  })
}

// From the beginning: Chromium remembers for half a minute how much room it found when a database was first opened.
beforeAll(() => overrideQuota(SMALL_QUOTA))
afterAll(() => overrideQuota(undefined))

blockStoreContract('IndexedDB', async () => {
  const slot = newSlot()
  return {
    store: await openBlockStore(slot),
    reopen: () => openBlockStore(slot),
    cleanup: () => deleteDatabase(slot),
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

const SMALL_QUOTA = 32 * 1024 * 1024

async function overrideQuota(quotaSize: number | undefined): Promise<void> {
  const session = cdp() as unknown as { send(method: string, params: object): Promise<unknown> }
  const quota = quotaSize === undefined ? {} : { quotaSize }
  await session.send('Storage.overrideQuotaForOrigin', { origin: location.origin, ...quota })
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

  it('rejects with ENOSPC when the quota is used up, stores nothing of that call, and works again after', async () => {
    const slot = newSlot()
    const [blocks, logs] = [await openBlockStore(slot), await openLogStore(slot)]
    await blocks.putMany([['small', bytes(1)]])
    const big = Array.from({ length: 64 }, (_, i) => [`big${i}`, noise(1024 * 1024)] as const)
    await overrideQuota(SMALL_QUOTA)
    try {
      await expect(blocks.putMany(big)).rejects.toSatisfy(isFull)
      expect(await blocks.keys()).toEqual(['small'])
      const [fits, tooBig] = await Promise.allSettled([
        logs.append('a', 1, [bytes(1)]),
        logs.append('b', 1, [noise(64 * 1024 * 1024)]),
      ])
      expect([fits.status, tooBig.status]).toEqual(['fulfilled', 'rejected'])
      expect(tooBig.status === 'rejected' && isFull(tooBig.reason)).toBe(true)
    } finally {
      await overrideQuota(undefined)
    }
    await blocks.putMany([['later', bytes(2)]])
    await logs.append('b', 1, [bytes(1)])
    expect((await blocks.keys()).sort()).toEqual(['later', 'small'])
    await Promise.all([blocks.close(), logs.close()])
    await deleteDatabase(slot)
  })
})
