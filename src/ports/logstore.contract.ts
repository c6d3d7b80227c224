// What every LogStore must do; each adapter's test calls this with a factory.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isOsError } from '../base/errors.ts'
import type { LogStore } from './logstore.ts'

export interface LogStoreHarness {
  store: LogStore
  /** The same storage, opened again, as after a reload of the tab. */
  reopen(): Promise<LogStore>
  cleanup(): void | Promise<void>
}

const bytes = (...values: number[]) => new Uint8Array(values)
const isInvalid = (error: unknown) => isOsError(error, 'EINVAL')

export function logStoreContract(name: string, make: () => Promise<LogStoreHarness>): void {
  describe(`${name} keeps the log store contract`, () => {
    let harness: LogStoreHarness
    let store: LogStore

    beforeEach(async () => {
      harness = await make()
      store = harness.store
    })
    afterEach(async () => {
      await store.close()
      await harness.cleanup()
    })

    const values = async (log: string) => (await store.load(log)).entries.map((entry) => entry[0])

    it('has an empty log under every unused name', async () => {
      expect(await store.load('a')).toEqual({ snapshotIndex: 0, snapshot: undefined, entries: [] })
      expect(await store.list()).toEqual([])
    })

    it('keeps entries in order, numbered from 1', async () => {
      await store.append('a', 1, [bytes(1), bytes(2)])
      await store.append('a', 3, [bytes(3)])
      expect(await values('a')).toEqual([1, 2, 3])
    })

    it('sorts more than ten entries by number, not by text', async () => {
      for (let i = 1; i <= 12; i++) await store.append('a', i, [bytes(i)])
      expect(await values('a')).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    })

    it('refuses gaps and overlaps with EINVAL and stores nothing of them', async () => {
      await expect(store.append('a', 2, [bytes(2)])).rejects.toSatisfy(isInvalid)
      await expect(store.append('a', 0, [bytes(0)])).rejects.toSatisfy(isInvalid)
      await store.append('a', 1, [bytes(1), bytes(2)])
      await expect(store.append('a', 2, [bytes(9)])).rejects.toSatisfy(isInvalid)
      await expect(store.append('a', 4, [bytes(9)])).rejects.toSatisfy(isInvalid)
      expect(await values('a')).toEqual([1, 2])
    })

    it('accepts appends that follow one another without waiting, in one log and in many', async () => {
      const logs = ['a', 'b', 'c']
      await Promise.all(
        logs.flatMap((log) => Array.from({ length: 20 }, (_, i) => store.append(log, i + 1, [bytes(i + 1)]))),
      )
      for (const log of logs) expect(await values(log)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    })

    it('fails only the wrong one of concurrent appends', async () => {
      const outcomes = await Promise.allSettled([
        store.append('a', 1, [bytes(1)]),
        store.append('a', 5, [bytes(5)]),
        store.append('b', 1, [bytes(2)]),
        store.append('a', 2, [bytes(2)]),
      ])
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled'])
      expect(await values('a')).toEqual([1, 2])
    })

    it('accepts an append of nothing', async () => {
      await store.append('a', 1, [])
      expect(await values('a')).toEqual([])
    })

    it('stores a private copy of a view, and only the view', async () => {
      const buffer = new Uint8Array(64).fill(5)
      await store.append('a', 1, [buffer.subarray(3, 5)])
      buffer.fill(0)
      const [entry] = (await store.load('a')).entries
      expect(entry).toEqual(bytes(5, 5))
      expect(entry?.buffer.byteLength).toBe(2)
    })

    it('truncates a tail, after which the log goes on from there', async () => {
      await store.append('a', 1, [bytes(1), bytes(2), bytes(3)])
      await store.truncate('a', 2)
      expect(await values('a')).toEqual([1])
      await store.append('a', 2, [bytes(22)])
      expect(await values('a')).toEqual([1, 22])
    })

    it('truncates beyond the end without effect', async () => {
      await store.append('a', 1, [bytes(1)])
      await store.truncate('a', 9)
      expect(await values('a')).toEqual([1])
    })

    it('replaces entries by a snapshot when it compacts', async () => {
      await store.append('a', 1, [bytes(1), bytes(2), bytes(3)])
      await store.compact('a', 2, bytes(42))
      expect(await store.load('a')).toEqual({ snapshotIndex: 2, snapshot: bytes(42), entries: [bytes(3)] })
      await store.append('a', 4, [bytes(4)])
      expect(await values('a')).toEqual([3, 4])
    })

    it('cuts what was appended together wherever it is told to, also after a reload', async () => {
      const five = (first: number) => [0, 1, 2, 3, 4].map((i) => bytes(first + i))
      await store.append('a', 1, five(1))
      await store.append('a', 6, five(6))
      await store.append('a', 11, five(11))
      await store.truncate('a', 14)
      await store.compact('a', 3, bytes(42))
      expect(await values('a')).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13])
      await store.compact('a', 8, bytes(43))
      await store.truncate('a', 10)
      expect(await values('a')).toEqual([9])
      await store.append('a', 10, [bytes(110), bytes(111)])
      await store.close()
      store = await harness.reopen()
      await expect(store.append('a', 11, [bytes(0)])).rejects.toSatisfy(isInvalid)
      await store.append('a', 12, [bytes(112)])
      await store.truncate('a', 11)
      expect(await values('a')).toEqual([9, 110])
      await store.truncate('a', 9)
      expect(await store.load('a')).toEqual({ snapshotIndex: 8, snapshot: bytes(43), entries: [] })
      await store.append('a', 9, [bytes(209)])
      expect(await values('a')).toEqual([209])
    })

    it('installs a snapshot that is ahead of its entries; the log goes on behind it', async () => {
      await store.append('a', 1, [bytes(1)])
      await store.compact('a', 10, bytes(42))
      expect(await store.load('a')).toEqual({ snapshotIndex: 10, snapshot: bytes(42), entries: [] })
      await expect(store.append('a', 2, [bytes(2)])).rejects.toSatisfy(isInvalid)
      await store.append('a', 11, [bytes(11)])
      expect(await values('a')).toEqual([11])
    })

    it('drops what comes after a snapshot, when told so; the log goes on behind it', async () => {
      await store.append('a', 1, [bytes(1), bytes(2), bytes(3), bytes(4)])
      await store.compact('a', 2, bytes(9), 'drop')
      expect(await store.load('a')).toEqual({ snapshotIndex: 2, snapshot: bytes(9), entries: [] })
      await store.append('a', 3, [bytes(5)])
      expect(await values('a')).toEqual([5])
    })

    it('lists logs with entries or a snapshot, each once', async () => {
      await store.append('a', 1, [bytes(1), bytes(2)])
      await store.append('b', 1, [bytes(1)])
      await store.compact('b', 1, bytes(9))
      await store.append('gone', 1, [bytes(1)])
      await store.remove('gone')
      expect((await store.list()).sort()).toEqual(['a', 'b'])
    })

    it('removes a log and its snapshot; it then begins anew', async () => {
      await store.append('a', 1, [bytes(1)])
      await store.compact('a', 1, bytes(9))
      await store.remove('a')
      await store.remove('a')
      expect(await store.load('a')).toEqual({ snapshotIndex: 0, snapshot: undefined, entries: [] })
      await store.append('a', 1, [bytes(1)])
    })

    it('does not mix logs whose names share a beginning', async () => {
      await store.append('a', 1, [bytes(1)])
      await store.append('ab', 1, [bytes(2)])
      await store.remove('a')
      expect(await values('ab')).toEqual([2])
    })

    it('keeps small records', async () => {
      expect(await store.getRecord('identity')).toBeUndefined()
      await store.putRecord('identity', bytes(1))
      await store.putRecord('identity', bytes(2, 2))
      expect(await store.getRecord('identity')).toEqual(bytes(2, 2))
      expect(await store.list()).toEqual([])
    })

    it('removes a record, and only that one', async () => {
      await store.putRecord('raft/a', bytes(1))
      await store.putRecord('raft/ab', bytes(2))
      await store.append('raft/a', 1, [bytes(3)])
      await store.removeRecord('raft/a')
      await store.removeRecord('raft/a')
      await store.removeRecord('never there')
      expect(await store.getRecord('raft/a')).toBeUndefined()
      expect(await store.getRecord('raft/ab')).toEqual(bytes(2))
      expect(await values('raft/a')).toEqual([3])
      const again = [
        store.putRecord('raft/a', bytes(4)),
        store.removeRecord('raft/a'),
        store.putRecord('raft/a', bytes(5)),
      ]
      await Promise.all(again)
      await store.close()
      store = await harness.reopen()
      expect(await store.getRecord('raft/a')).toEqual(bytes(5))
    })

    it('sees its own writes, awaited or not', async () => {
      const append = store.append('a', 1, [bytes(1)])
      const record = store.putRecord('r', bytes(3))
      expect(await values('a')).toEqual([1])
      expect(await store.getRecord('r')).toEqual(bytes(3))
      await Promise.all([append, record])
    })

    it('has everything after it was opened again', async () => {
      await store.append('a', 1, [bytes(1), bytes(2), bytes(3)])
      await store.compact('a', 1, bytes(7))
      await store.putRecord('r', bytes(8))
      await store.close()
      store = await harness.reopen()
      expect(await store.load('a')).toEqual({ snapshotIndex: 1, snapshot: bytes(7), entries: [bytes(2), bytes(3)] })
      expect(await store.getRecord('r')).toEqual(bytes(8))
      await expect(store.append('a', 2, [bytes(9)])).rejects.toSatisfy(isInvalid)
      await store.append('a', 4, [bytes(4)])
    })

    it('rejects with EIO once closed; closing twice is harmless', async () => {
      await store.close()
      await store.close()
      const isEio = (error: unknown) => isOsError(error, 'EIO')
      await expect(store.load('a')).rejects.toSatisfy(isEio)
      await expect(store.append('a', 1, [bytes(1)])).rejects.toSatisfy(isEio)
      await expect(store.putRecord('r', bytes(1))).rejects.toSatisfy(isEio)
      await expect(store.removeRecord('r')).rejects.toSatisfy(isEio)
    })
  })
}
