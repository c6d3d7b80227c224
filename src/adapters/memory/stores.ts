// Block and log stores in memory, with the faults that disks have. A `Disk` outlives the kernel that uses it, so
// that a reload finds what was stored. Implements ports/blockstore.ts and ports/logstore.ts.
import { OsError } from '../../base/errors.ts'
import type { BlockStore, StorageUsage } from '../../ports/blockstore.ts'
import type { LogStore, StoredLog } from '../../ports/logstore.ts'

type Bytes = Uint8Array<ArrayBuffer>
interface Log {
  snapshotIndex: number
  snapshot: Bytes | undefined
  entries: Bytes[]
}

/** What one simulated browser profile slot has stored. */
export class Disk {
  readonly blocks = new Map<string, Bytes>()
  readonly logs = new Map<string, Log>()
  readonly records = new Map<string, Bytes>()
  quotaBytes: number

  constructor(quotaBytes = Number.POSITIVE_INFINITY) {
    this.quotaBytes = quotaBytes
  }

  usedBytes(): number {
    let used = 0
    for (const bytes of this.blocks.values()) used += bytes.byteLength
    for (const log of this.logs.values()) for (const entry of log.entries) used += entry.byteLength
    return used
  }
}

const copy = (bytes: Uint8Array): Bytes => new Uint8Array(bytes)

function checkQuota(disk: Disk, moreBytes: number): void {
  if (disk.quotaBytes !== Number.POSITIVE_INFINITY && disk.usedBytes() + moreBytes > disk.quotaBytes) {
    throw new OsError('ENOSPC', 'the storage quota is used up: delete files, or let the browser keep more')
  }
}

export class MemoryBlockStore implements BlockStore {
  readonly #disk: Disk
  #closed = false

  constructor(disk = new Disk()) {
    this.#disk = disk
  }

  async getMany(keys: readonly string[]): Promise<(Bytes | undefined)[]> {
    this.#open()
    return keys.map((key) => {
      const bytes = this.#disk.blocks.get(key)
      return bytes && copy(bytes)
    })
  }

  async putMany(entries: readonly (readonly [string, Uint8Array])[]): Promise<void> {
    this.#open()
    checkQuota(
      this.#disk,
      entries.reduce((sum, [, bytes]) => sum + bytes.byteLength, 0),
    )
    for (const [key, bytes] of entries) this.#disk.blocks.set(key, copy(bytes))
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    this.#open()
    return keys.map((key) => this.#disk.blocks.has(key))
  }

  async deleteMany(keys: readonly string[]): Promise<void> {
    this.#open()
    for (const key of keys) this.#disk.blocks.delete(key)
  }

  async keys(): Promise<string[]> {
    this.#open()
    return [...this.#disk.blocks.keys()]
  }

  async usage(): Promise<StorageUsage> {
    const { quotaBytes } = this.#disk
    const known = quotaBytes === Number.POSITIVE_INFINITY ? 0 : quotaBytes
    return { usedBytes: this.#disk.usedBytes(), quotaBytes: known, persisted: false }
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #open(): void {
    if (this.#closed) throw new OsError('EIO', 'the block store is closed')
  }
}

export class MemoryLogStore implements LogStore {
  readonly #disk: Disk
  #closed = false

  constructor(disk = new Disk()) {
    this.#disk = disk
  }

  async list(): Promise<string[]> {
    this.#open()
    return [...this.#disk.logs.keys()]
  }

  async load(name: string): Promise<StoredLog> {
    this.#open()
    const log = this.#disk.logs.get(name)
    if (!log) return { snapshotIndex: 0, snapshot: undefined, entries: [] }
    const { snapshotIndex, snapshot, entries } = log
    return { snapshotIndex, snapshot: snapshot && copy(snapshot), entries: entries.map(copy) }
  }

  async append(name: string, firstIndex: number, entries: readonly Uint8Array[]): Promise<void> {
    this.#open()
    const log = this.#disk.logs.get(name) ?? { snapshotIndex: 0, snapshot: undefined, entries: [] }
    const lastIndex = log.snapshotIndex + log.entries.length
    if (firstIndex !== lastIndex + 1) {
      throw new OsError('EINVAL', `cannot append at ${firstIndex}: the last index of ${name} is ${lastIndex}`)
    }
    checkQuota(
      this.#disk,
      entries.reduce((sum, bytes) => sum + bytes.byteLength, 0),
    )
    log.entries.push(...entries.map(copy))
    if (entries.length > 0) this.#disk.logs.set(name, log)
  }

  async truncate(name: string, fromIndex: number): Promise<void> {
    this.#open()
    const log = this.#disk.logs.get(name)
    if (log) log.entries.splice(Math.max(0, fromIndex - log.snapshotIndex - 1))
  }

  async compact(name: string, upTo: number, snapshot: Uint8Array, later: 'keep' | 'drop' = 'keep'): Promise<void> {
    this.#open()
    const log = this.#disk.logs.get(name) ?? { snapshotIndex: 0, snapshot: undefined, entries: [] }
    if (upTo < log.snapshotIndex) {
      throw new OsError('EINVAL', `cannot compact ${name} to ${upTo}: its snapshot covers ${log.snapshotIndex}`)
    }
    if (later === 'drop') log.entries = []
    log.entries.splice(0, upTo - log.snapshotIndex)
    log.snapshotIndex = upTo
    log.snapshot = copy(snapshot)
    this.#disk.logs.set(name, log)
  }

  async remove(name: string): Promise<void> {
    this.#open()
    this.#disk.logs.delete(name)
  }

  async getRecord(name: string): Promise<Bytes | undefined> {
    this.#open()
    const bytes = this.#disk.records.get(name)
    return bytes && copy(bytes)
  }

  async putRecord(name: string, bytes: Uint8Array): Promise<void> {
    this.#open()
    this.#disk.records.set(name, copy(bytes))
  }

  async removeRecord(name: string): Promise<void> {
    this.#open()
    this.#disk.records.delete(name)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #open(): void {
    if (this.#closed) throw new OsError('EIO', 'the log store is closed')
  }
}
