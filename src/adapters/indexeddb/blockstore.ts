// Blocks in IndexedDB, through idb-keyval. Implements ports/blockstore.ts for one slot, in a dedicated worker.
import { delMany, getMany, keys, promisifyRequest, setMany, type UseStore } from 'idb-keyval'
import { owned } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { BlockStore, StorageUsage } from '../../ports/blockstore.ts'
import { SlotDatabase, STORES } from './database.ts'
import { GroupCommit } from './group-commit.ts'
import { MAX_SMALL_WRITES, OTHERS_IN_RANGE, SMALL_WRITE_BYTES } from './limits.ts'

type Block = Uint8Array<ArrayBuffer>
type Entry = [key: string, block: Block]

/** @throws {OsError} EIO when the browser refuses the database. */
export async function openBlockStore(slot: number): Promise<BlockStore> {
  const database = new SlotDatabase(slot)
  await database.open()
  return blockStoreOn(database)
}

/** Closing it closes the database. */
export function blockStoreOn(database: SlotDatabase): BlockStore {
  // A block whose loss nobody notices can be fetched again: relaxed durability survives a reload and is faster.
  const store: UseStore = (mode, work) =>
    database.transact({ stores: [STORES.blocks], mode, durability: 'relaxed' }, async (transaction) =>
      work(transaction.objectStore(STORES.blocks)),
    )
  // A large write goes by itself, at once.
  const small = new GroupCommit<Entry[]>(MAX_SMALL_WRITES, async (group) => {
    await setMany(group.flat(), store)
    return new Map()
  })
  return {
    getMany: async (wanted) => (wanted.length === 0 ? [] : getMany<Block>([...wanted], store)),
    async putMany(entries) {
      if (entries.length === 0) return
      // `owned`: IndexedDB clones a view's whole buffer.
      const rows = entries.map(([key, bytes]): Entry => [key, owned(bytes)])
      const size = rows.reduce((sum, [, { byteLength }]) => sum + byteLength, 0)
      await (size > SMALL_WRITE_BYTES ? setMany(rows, store) : small.write(rows))
    },
    async hasMany(wanted) {
      if (wanted.length === 0) return []
      const found = new Set<IDBValidKey>()
      await store('readonly', async (blocks) => {
        const last = isAscending(wanted) ? await addRange(blocks, wanted, found) : undefined
        const rest = last === undefined ? wanted : wanted.filter((key) => key > last)
        // In a private window Chromium 156 reads the whole value for `getKey`, and nothing of it to count.
        const counts = await Promise.all(rest.map((key) => promisifyRequest(blocks.count(key))))
        for (const [i, key] of rest.entries()) if (counts[i]) found.add(key)
      })
      return wanted.map((key) => found.has(key))
    },
    async deleteMany(unwanted) {
      if (unwanted.length > 0) await delMany([...unwanted], store)
    },
    keys: () => keys<string>(store),
    usage: storageUsage,
    async close() {
      await small.close()
      await database.close()
    },
  }
}

function isAscending(keys: readonly string[]): boolean {
  return keys.every((key, i) => i === 0 || key > (keys[i - 1] as string))
}

/**
 * Reads the keys from the first wanted one on: a key takes a tenth of the time of a question. @returns how far it came, where
 * others lie too close between them.
 */
async function addRange(blocks: IDBObjectStore, wanted: readonly string[], found: Set<IDBValidKey>): Promise<string> {
  const [first, last] = [wanted[0] as string, wanted.at(-1) as string]
  const most = wanted.length * (1 + OTHERS_IN_RANGE)
  const keys = await promisifyRequest(blocks.getAllKeys(IDBKeyRange.bound(first, last), most))
  for (const key of keys) found.add(key)
  return keys.length < most ? last : (keys.at(-1) as string)
}

/** What this origin uses: the browser accounts for all of its tabs together. */
async function storageUsage(): Promise<StorageUsage> {
  try {
    const [{ usage = 0, quota = 0 }, persisted] = await Promise.all([
      navigator.storage.estimate(),
      navigator.storage.persisted(),
    ])
    return { usedBytes: usage, quotaBytes: quota, persisted }
  } catch (error) {
    throw new OsError('EIO', 'the browser does not tell how much storage is used', { cause: error })
  }
}
