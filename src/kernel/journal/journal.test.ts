import { describe, expect, it } from 'vitest'
import { Disk, MemoryLogStore } from '../../adapters/memory/stores.ts'
import { OsError } from '../../base/errors.ts'
import { Journals } from './journal.ts'

const bytes = (...values: number[]) => new Uint8Array(values)
const values = (disk: Disk, name = 'a') => disk.logs.get(name)?.entries.map((entry) => entry[0])

describe('a journal', () => {
  it('keeps entries in the order of their appends, whoever waits', async () => {
    const disk = new Disk()
    const { journal } = await new Journals(new MemoryLogStore(disk)).open('a')
    await Promise.all(Array.from({ length: 50 }, (_, i) => journal.append([bytes(i)])))
    expect(values(disk)).toEqual(Array.from({ length: 50 }, (_, i) => i))
    expect([journal.lastIndex, journal.length]).toEqual([50, 50])
  })

  it('flushes together what arrives while a flush is under way', async () => {
    const disk = new Disk()
    const store = new MemoryLogStore(disk)
    let flushes = 0
    const append = store.append.bind(store)
    store.append = (...args) => {
      flushes++
      return append(...args)
    }
    const { journal } = await new Journals(store).open('a')
    await Promise.all(Array.from({ length: 100 }, (_, i) => journal.append([bytes(i)])))
    expect(flushes).toBeLessThan(5)
  })

  it('acknowledges only what is on stable storage (invariant 5)', async () => {
    const disk = new Disk()
    const { journal } = await new Journals(new MemoryLogStore(disk)).open('a')
    const first = journal.append([bytes(1), bytes(2)])
    void journal.append([bytes(3)])
    expect(await first).toEqual({ level: 'local', devices: 1 })
    expect(values(disk)?.slice(0, 2)).toEqual([1, 2])
  })

  it('continues after a reload where it was', async () => {
    const disk = new Disk()
    const before = await new Journals(new MemoryLogStore(disk)).open('a')
    await before.journal.append([bytes(1), bytes(2)])
    const { journal, entries, snapshot } = await new Journals(new MemoryLogStore(disk)).open('a')
    expect([entries.map((entry) => entry[0]), snapshot]).toEqual([[1, 2], undefined])
    await journal.append([bytes(3)])
    expect(values(disk)).toEqual([1, 2, 3])
  })

  it('is replaced by a snapshot without losing what is appended meanwhile', async () => {
    const disk = new Disk()
    const { journal } = await new Journals(new MemoryLogStore(disk)).open('a')
    void journal.append([bytes(1), bytes(2)])
    const compacted = journal.compact(bytes(9))
    const after = journal.append([bytes(3)])
    await Promise.all([compacted, after])
    expect(disk.logs.get('a')).toMatchObject({ snapshotIndex: 2, snapshot: bytes(9), entries: [bytes(3)] })
    expect(journal.length).toBe(1)
    const again = await new Journals(new MemoryLogStore(disk)).open('a')
    expect([again.snapshot, again.entries]).toEqual([bytes(9), [bytes(3)]])
  })

  it('fails every later append once one has failed, so that no gap can arise (invariant 1)', async () => {
    const disk = new Disk(5)
    const { journal } = await new Journals(new MemoryLogStore(disk)).open('a')
    await journal.append([bytes(1)])
    const tooLarge = journal.append([new Uint8Array(100)])
    const small = journal.append([bytes(2)])
    await expect(tooLarge).rejects.toMatchObject({ code: 'ENOSPC' })
    await expect(small).rejects.toBeInstanceOf(OsError)
    disk.quotaBytes = Number.POSITIVE_INFINITY
    await expect(journal.append([bytes(3)])).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(values(disk)).toEqual([1])
  })

  it('is open once, and can be opened again after it was removed or could not be read', async () => {
    const store = new MemoryLogStore(new Disk())
    const journals = new Journals(store)
    await journals.open('a')
    await expect(journals.open('a')).rejects.toMatchObject({ code: 'EBUSY' })
    await journals.remove('a')
    await journals.open('a')
    const load = store.load.bind(store)
    store.load = async () => {
      throw new OsError('EIO', 'the disk says no')
    }
    await expect(journals.open('b')).rejects.toMatchObject({ code: 'EIO' })
    store.load = load
    await journals.open('b')
  })

  it('is listed by its name', async () => {
    const journals = new Journals(new MemoryLogStore(new Disk()))
    for (const name of ['process/1', 'process/2', 'tree']) await (await journals.open(name)).journal.append([bytes(1)])
    expect((await journals.list('process/')).sort()).toEqual(['process/1', 'process/2'])
  })
})
