// Block and log stores in memory, on a simulated disk (disk.ts), which outlives the kernel that uses it, so that a reload
// finds what was stored. Implements ports/blockstore.ts and ports/logstore.ts.
import { OsError } from '../../base/errors.ts'
import type { BlockStore, DeviceStore, StorageUsage } from '../../ports/blockstore.ts'
import type { LogStore, StoredLog } from '../../ports/logstore.ts'
import { type Bytes, Disk } from './disk.ts'

export { Disk }

const copy = (bytes: Uint8Array): Bytes => new Uint8Array(bytes)

/** How what the disk answers reaches a tab: one that stands still hears of it later. */
type Pass = (action: () => void) => void
const atOnce: Pass = (action) => action()

export class MemoryBlockStore implements BlockStore {
  readonly #disk: Disk
  readonly #pass: Pass
  #closed = false

  constructor(disk = new Disk(), pass = atOnce) {
    this.#disk = disk
    this.#pass = pass
  }

  async getMany(keys: readonly string[]): Promise<(Bytes | undefined)[]> {
    return this.#read(({ blocks }) =>
      keys.map((key) => {
        const bytes = blocks.get(key)
        return bytes && copy(bytes)
      }),
    )
  }

  async putMany(entries: readonly (readonly [string, Uint8Array])[]): Promise<void> {
    const copies = entries.map(([key, bytes]) => [key, copy(bytes)] as const)
    return this.#write((disk) => {
      disk.demand(copies.reduce((sum, [, bytes]) => sum + bytes.byteLength, 0))
      for (const [key, bytes] of copies) disk.blocks.set(key, bytes)
    })
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    return this.#read(({ blocks }) => keys.map((key) => blocks.has(key)))
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    return this.#write(({ blocks }) => {
      for (const key of keys) blocks.delete(key)
    })
  }

  async keys(): Promise<string[]> {
    return this.#read(({ blocks }) => [...blocks.keys()])
  }

  async usage(): Promise<StorageUsage> {
    const { quotaBytes } = this.#disk
    const known = quotaBytes === Number.POSITIVE_INFINITY ? 0 : quotaBytes
    return { usedBytes: this.#disk.usedBytes(), quotaBytes: known, persisted: false }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #read<T>(what: (disk: Disk) => T): Promise<T> {
    this.#open()
    return this.#disk.read(() => what(this.#disk), this.#pass)
  }

  #write(what: (disk: Disk) => void): Promise<void> {
    this.#open()
    return this.#disk.write(() => what(this.#disk), this.#pass)
  }

  #open(): void {
    if (this.#closed) throw new OsError('EIO', 'the block store is closed')
  }
}

/** Disks of other tabs of one device. */
export class MemoryDeviceStore implements DeviceStore {
  readonly #disks: () => Iterable<Disk>
  readonly #pass: Pass
  #closed = false

  /** @param disks of the others, as they are now. */
  constructor(disks: () => Iterable<Disk>, pass = atOnce) {
    this.#disks = disks
    this.#pass = pass
  }

  async getMany(keys: readonly string[]): Promise<(Bytes | undefined)[]> {
    if (this.#closed) throw new OsError('EIO', 'the device store is closed')
    const disks = [...this.#disks()]
    const found = keys.map((key) => {
      const bytes = disks.find(({ blocks }) => blocks.has(key))?.blocks.get(key)
      return bytes && copy(bytes)
    })
    // What a tab that dies was about to read or write is nothing to this one.
    return new Promise((resolve) => this.#pass(() => resolve(found)))
  }

  async close(): Promise<void> {
    this.#closed = true
  }
}

export class MemoryLogStore implements LogStore {
  readonly #disk: Disk
  readonly #pass: Pass
  #closed = false

  constructor(disk = new Disk(), pass = atOnce) {
    this.#disk = disk
    this.#pass = pass
  }

  async list(): Promise<string[]> {
    return this.#read(({ logs }) => [...logs.keys()])
  }

  async load(name: string): Promise<StoredLog> {
    return this.#read(({ logs }) => {
      const log = logs.get(name)
      if (!log) return { snapshotIndex: 0, snapshot: undefined, entries: [] }
      const { snapshotIndex, snapshot, entries } = log
      return { snapshotIndex, snapshot: snapshot && copy(snapshot), entries: entries.map(copy) }
    })
  }

  async append(name: string, firstIndex: number, entries: readonly Uint8Array[]): Promise<void> {
    const copies = entries.map(copy)
    return this.#write((disk) => {
      const log = disk.logs.get(name) ?? { snapshotIndex: 0, snapshot: undefined, entries: [] }
      const lastIndex = log.snapshotIndex + log.entries.length
      if (firstIndex !== lastIndex + 1) {
        throw new OsError('EINVAL', `cannot append at ${firstIndex}: the last index of ${name} is ${lastIndex}`)
      }
      disk.demand(copies.reduce((sum, bytes) => sum + bytes.byteLength, 0))
      log.entries.push(...copies)
      if (copies.length > 0) disk.logs.set(name, log)
    })
  }

  async truncate(name: string, fromIndex: number): Promise<void> {
    return this.#write(({ logs }) => {
      const log = logs.get(name)
      if (log) log.entries.splice(Math.max(0, fromIndex - log.snapshotIndex - 1))
    })
  }

  async compact(name: string, upTo: number, snapshot: Uint8Array, later: 'keep' | 'drop' = 'keep'): Promise<void> {
    const copied = copy(snapshot)
    return this.#write((disk) => {
      const { logs } = disk
      const log = logs.get(name) ?? { snapshotIndex: 0, snapshot: undefined, entries: [] }
      if (upTo < log.snapshotIndex) {
        throw new OsError('EINVAL', `cannot compact ${name} to ${upTo}: its snapshot covers ${log.snapshotIndex}`)
      }
      disk.demand(copied.byteLength - (log.snapshot?.byteLength ?? 0))
      if (later === 'drop') log.entries = []
      log.entries.splice(0, upTo - log.snapshotIndex)
      log.snapshotIndex = upTo
      log.snapshot = copied
      logs.set(name, log)
    })
  }

  async remove(name: string): Promise<void> {
    return this.#write(({ logs }) => void logs.delete(name))
  }

  async getRecord(name: string): Promise<Bytes | undefined> {
    return this.#read(({ records }) => {
      const bytes = records.get(name)
      return bytes && copy(bytes)
    })
  }

  async putRecord(name: string, bytes: Uint8Array): Promise<void> {
    const copied = copy(bytes)
    return this.#write((disk) => {
      disk.demand(copied.byteLength - (disk.records.get(name)?.byteLength ?? 0))
      disk.records.set(name, copied)
    })
  }

  async removeRecord(name: string): Promise<void> {
    return this.#write(({ records }) => void records.delete(name))
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #read<T>(what: (disk: Disk) => T): Promise<T> {
    this.#open()
    return this.#disk.read(() => what(this.#disk), this.#pass)
  }

  #write(what: (disk: Disk) => void): Promise<void> {
    this.#open()
    return this.#disk.write(() => what(this.#disk), this.#pass)
  }

  #open(): void {
    if (this.#closed) throw new OsError('EIO', 'the log store is closed')
  }
}
