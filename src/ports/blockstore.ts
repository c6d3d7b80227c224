// Port: raw block storage of one node, and of its neighbours on the same disk. Real: adapters/indexeddb; simulated: adapters/memory.
// It does not know what a block means and does not verify hashes: kernel/blocks does.

export interface StorageUsage {
  usedBytes: number
  /** What the browser will grant in all; 0 when unknown. */
  quotaBytes: number
  /** True when the browser has promised not to evict. */
  persisted: boolean
}

/**
 * Semantics that every adapter keeps (blockstore.contract.ts):
 * - `putMany` is atomic per call and overwrites; when it resolves, the blocks survive a reload of the tab.
 * - `getMany` answers in the order of its keys, with undefined for what is absent; bytes are a private copy.
 * - a full disk rejects with ENOSPC and stores nothing of that call; a vanished database rejects with EIO.
 */
export interface BlockStore {
  getMany(keys: readonly string[]): Promise<(Uint8Array<ArrayBuffer> | undefined)[]>
  putMany(entries: readonly (readonly [key: string, bytes: Uint8Array])[]): Promise<void>
  /** Which of `keys` are held, in their order. Many are found the sooner if they ascend and lie close together. */
  hasMany(keys: readonly string[]): Promise<boolean[]>
  deleteMany(keys: readonly string[]): Promise<void>
  /** All keys held, in no particular order. */
  keys(): Promise<string[]>
  usage(): Promise<StorageUsage>
  /** Idempotent. Calls after it reject with EIO. */
  close(): Promise<void>
}

/** What other tabs of this device have stored, to be read: they share its disk. */
export interface DeviceStore {
  /**
   * As `BlockStore.getMany`, from whichever of them has it. A store that cannot be read has nothing.
   * @throws {OsError} EIO once it is closed.
   */
  getMany(keys: readonly string[]): Promise<(Uint8Array<ArrayBuffer> | undefined)[]>
  /** Idempotent. */
  close(): Promise<void>
}
