// Port: durable journals and small records of one node. Unlike the block store, every write here is on stable
// storage when its promise resolves (IndexedDB durability 'strict'): acknowledgements depend on it.

/**
 * Semantics (logstore.contract.ts):
 * - entries of a log are numbered from 1 without gaps; `append` at `lastIndex + 1` only, else EINVAL.
 * - `append` is atomic: all of its entries or none survive a crash.
 * - concurrent appends to different logs may share one flush.
 * - after `compact(log, upTo, snapshot)`, entries ≤ `upTo` are gone and `snapshot` is what `load` returns; with
 *   `drop`, those after it are gone as well, in the same step.
 */
export interface LogStore {
  /** Names of all logs that have at least one entry or a snapshot. */
  list(): Promise<string[]>
  load(log: string): Promise<StoredLog>
  append(log: string, firstIndex: number, entries: readonly Uint8Array[]): Promise<void>
  /** Drops entries ≥ `fromIndex`: for a follower whose tail was never committed. */
  truncate(log: string, fromIndex: number): Promise<void>
  compact(log: string, upTo: number, snapshot: Uint8Array, later?: 'keep' | 'drop'): Promise<void>
  remove(log: string): Promise<void>
  /** A small named record (identity, settings, votes); undefined when absent. */
  getRecord(name: string): Promise<Uint8Array<ArrayBuffer> | undefined>
  putRecord(name: string, bytes: Uint8Array): Promise<void>
  /** Of one that is absent: nothing happens. */
  removeRecord(name: string): Promise<void>
  close(): Promise<void>
}

export interface StoredLog {
  /** Index that the snapshot covers; 0 when there is none. */
  snapshotIndex: number
  snapshot: Uint8Array<ArrayBuffer> | undefined
  /** Entries `snapshotIndex + 1 …`, in order. */
  entries: Uint8Array<ArrayBuffer>[]
}
