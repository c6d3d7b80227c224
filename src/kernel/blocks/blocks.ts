// Blocks of this node: hold, serve, and those of others (fetch.ts). Above: fs. Below: the block store port, rpc. A block
// handed to a reader hashes to its CID: one of the network was hashed here, one of the disk was, in this session, and has
// the same checksum since (known-blocks.ts), or is hashed now.

import { equalBytes } from '../../base/bytes.ts'
import { errorLine, isOsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { BlockStore, StorageUsage } from '../../ports/blockstore.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import { Turns } from '../rpc/turns.ts'
import { BlockCache, type BlockEntries } from './cache.ts'
import { type CidText, type Codec, cidOf } from './cid.ts'
import { Demand, isLarge } from './demand.ts'
import { DeviceBlocks, type DeviceBlocksOptions } from './device.ts'
import { Enclosed } from './enclosed.ts'
import { BlockFetcher, type BlockFetcherOptions, BlockMissing } from './fetch.ts'
import type { FetchOptions } from './fetch-batch.ts'
import { KnownBlocks } from './known-blocks.ts'
import type { Reserve } from './reserve.ts'
import { BlockServer } from './serve.ts'
import { type OwnBlocks, Touched } from './touched.ts'

export { BlockMissing } from './fetch.ts'
export type { FetchOptions } from './fetch-batch.ts'
export type { OwnBlocks } from './touched.ts'

/** @param found where it was: on this disk in another tab's storage, at a peer, or at one that has sent it to another reader lately. */
type OnFetched = (cid: CidText, bytes: Uint8Array, found: 'disk' | 'peer' | 'wanted') => void

/** Bytes, and whether nobody else has them: then they may be moved away. */
export interface Piece {
  bytes: Uint8Array
  own: boolean
}

export class Blocks {
  readonly #store: BlockStore
  readonly #hasher: Hasher
  readonly #log: LogSink
  readonly #fetcher: BlockFetcher
  readonly #cache: BlockCache
  readonly #enclosed: Enclosed
  readonly #device: DeviceBlocks | undefined
  /** What was stored here, or made sure of, lately: whoever did may be about to name it. */
  readonly #touched: Touched
  /** Blocks are being freed. Never rejects. */
  #dropping: Promise<void> = Promise.resolve()
  /** Frees copies that this node does not owe anybody. @returns whether there is room now. */
  #makeRoom: () => Promise<boolean> = async () => false
  readonly #reserve: Reserve
  readonly #onStored: (bytes: number) => void
  readonly #demand = new Demand()
  readonly #looks = new Turns(limits.MAX_PEER_LOOKS)
  /** Bytes of copies kept by readers since room was made last. */
  #copied = 0
  /** Which are in the store, without looking (a file of many small ones is held again with each change), and what was hashed. */
  readonly #known = new KnownBlocks(limits.MAX_KNOWN_BLOCKS)
  /** Blocks that the disk has corrupted, and that are fetched again. */
  readonly #repairing = new Set<CidText>()
  /** Copies of fetched blocks on their way to the store, one batch after the other. Never rejects. */
  #keeping: Promise<void> = Promise.resolve()

  /** @param options.device undefined: no other tab's disk can be read. */
  constructor(
    options: BlockFetcherOptions & {
      store: BlockStore
      reserve: Reserve
      onStored?: (bytes: number) => void
      device?: DeviceBlocksOptions
    },
  ) {
    this.#store = options.store
    this.#reserve = options.reserve
    this.#onStored = options.onStored ?? (() => {})
    this.#hasher = options.hasher
    this.#touched = new Touched(options.clock)
    this.#log = options.log
    this.#fetcher = new BlockFetcher(options)
    const { rpc } = options
    this.#cache = new BlockCache(options.store, options.clock)
    this.#enclosed = new Enclosed(rpc, this.#cache)
    const verify = (cid: CidText, bytes: Uint8Array) => this.#fetcher.verify(cid, bytes)
    this.#device = options.device && new DeviceBlocks(options.device, { ...options, verify })
    rpc.handle('blocks.have', async ({ cids, rely = false }, { peer, signal }) => {
      if (rely) {
        this.#touched.add(cids)
        await this.#dropping
      }
      const held = await this.hasManyFor(peer, cids, signal)
      return Uint8Array.from(held, (each) => (each ? 1 : 0))
    })
    const isGood = (cid: CidText, bytes: Uint8Array) => this.#isGood(cid, bytes)
    const onCorrupt = (cid: CidText) => this.#repair(cid)
    const server = new BlockServer({ cache: this.#cache, demand: this.#demand, log: options.log, isGood, onCorrupt })
    rpc.handle('blocks.get', async ({ cids, ...asked }, context) => {
      await server.serve(cids, context, asked)
      return null
    })
  }

  cidOf(codec: Codec, bytes: Uint8Array): Promise<CidText> {
    return cidOf(this.#hasher, codec, bytes).then(String)
  }

  /** @param entries whose bytes must not change any more. @returns which touch that was. @throws {OsError} ENOSPC, EIO. */
  async putMany(entries: BlockEntries): Promise<number> {
    const touch = this.#touched.add(entries.map(([cid]) => cid))
    await this.#put(entries)
    return touch
  }

  async #put(entries: BlockEntries): Promise<void> {
    await this.#write(entries, async (write) => {
      try {
        return await write()
      } catch (error) {
        if (!isOsError(error, 'ENOSPC') || !(await this.#makeRoom())) throw error
        return write()
      }
    })
  }

  /** @param finding how room is found for it. */
  async #write(entries: BlockEntries, finding: Reserve['use']): Promise<void> {
    if (entries.length === 0) return
    await this.#dropping
    const rows = await finding(() => this.#cache.putMany(entries))
    for (const [cid, bytes] of rows) this.#stored(cid, bytes)
  }

  /** The same for what it takes to delete something: on a full disk it goes into the reserve. @throws {OsError} ENOSPC, EIO. */
  async putSurely(entries: BlockEntries): Promise<void> {
    this.#touched.add(entries.map(([cid]) => cid))
    await this.#write(entries, (write) => this.#reserve.use(write))
  }

  #stored(cid: CidText, bytes: Uint8Array): void {
    this.#known.add(cid)
    this.#known.hashed(cid, bytes)
    this.#onStored(bytes.byteLength)
  }

  /** Sends those of them that are small and were stored here lately, before that peer is told of them. */
  enclose(peer: NodeId, cids: readonly CidText[]): void {
    this.#enclosed.send(peer, cids)
  }

  /** Who makes room when the disk is full, or readers have kept many copies. */
  whenFull(makeRoom: () => Promise<boolean>): void {
    this.#makeRoom = makeRoom
  }

  /**
   * The same, but for those that are known to be in the store, or found there.
   * @param own gathers what only this caller has stored, for `takeBack`.
   * @returns those that had to be stored. @throws {OsError} ENOSPC, EIO.
   */
  async putNew(entries: BlockEntries, own?: OwnBlocks): Promise<CidText[]> {
    const untouched = new Set(own && entries.map(([cid]) => cid).filter((cid) => !this.#touched.has(cid)))
    // What it has stored alone before stays its own.
    const again = entries.filter(([cid]) => own?.has(cid) && this.#touched.only(cid, own.get(cid) as number))
    const touch = this.#touched.add(entries.map(([cid]) => cid))
    for (const [cid] of again) own?.set(cid, touch)
    await this.#dropping
    const fresh = await this.#withoutStored(entries.filter(([cid]) => !this.#known.has(cid)))
    try {
      // What is on the disk from before may be named, however new it is to this session: it is not this caller's alone.
      if (own) for (const cid of await this.#onDisk(fresh)) untouched.delete(cid)
      await this.#put(fresh)
    } catch (error) {
      this.#touched.takeBack([...untouched].filter((cid) => this.#touched.only(cid, touch)))
      throw error
    }
    for (const [cid] of fresh) if (untouched.has(cid)) own?.set(cid, touch)
    return fresh.map(([cid]) => cid)
  }

  /** Those that the store has. */
  async #onDisk(entries: BlockEntries): Promise<CidText[]> {
    const cids = entries.map(([cid]) => cid)
    const here = await this.#store.hasMany(cids)
    return cids.filter((_cid, i) => here[i])
  }

  /** Frees what was stored in vain, unless somebody else has stored it too, or made sure of it. @throws {OsError} EIO. */
  async takeBack(own: OwnBlocks): Promise<void> {
    const alone = [...own].filter(([cid, touch]) => this.#touched.only(cid, touch)).map(([cid]) => cid)
    own.clear()
    this.#touched.takeBack(alone)
    await this.#delete(alone)
  }

  /**
   * A write that was interrupted, also by a reload, has stored whole batches, which the same write comes with again. So
   * where the first block of one is not here, the others are not looked for; and what is here is compared, because a
   * block that the disk has corrupted is to be stored anew.
   */
  async #withoutStored(entries: BlockEntries) {
    const [first] = entries
    if (!first || entries.length < limits.WRITE_BATCH_BLOCKS) return entries
    const [here] = await this.#store.hasMany([first[0]])
    if (!here) return entries
    const stored = await this.#store.getMany(entries.map(([cid]) => cid))
    const same = entries.map(([, bytes], i) => stored[i] !== undefined && equalBytes(stored[i], bytes))
    for (const [i, [cid, bytes]] of entries.entries()) {
      if (!same[i]) continue
      this.#cache.add(cid, bytes)
      this.#stored(cid, bytes)
    }
    return entries.filter((_entry, i) => !same[i])
  }

  /** Somebody is about to name it without storing it anew. @returns whether it is known to be in the store. */
  reuse(cid: CidText): boolean {
    this.#touched.add([cid])
    return this.#known.has(cid)
  }

  /** What was known to be here, all of it or these, is looked for again when it is held the next time. */
  lookAgain(cids?: readonly CidText[]): void {
    if (!cids) return this.#known.clear()
    for (const cid of cids) this.#known.delete(cid)
  }

  /** Those that are in the store here, unverified; nobody else is asked. */
  held(cids: readonly CidText[]): Promise<(Uint8Array | undefined)[]> {
    return this.#store.getMany(cids)
  }

  /** From now on nothing that is stored here, or made sure of, is freed, for as long as that takes. @returns what ends it. */
  pin(): () => void {
    return this.#touched.pin()
  }

  /** Somebody is about to name these, which are here. */
  touch(cids: readonly CidText[]): void {
    this.#touched.add(cids)
  }

  /** A point in time, for `touchedSince` and `drop`. */
  mark(): number {
    return this.#touched.mark()
  }

  /** Whether somebody has stored it here since, or a while before, or made sure that it is here. */
  touchedSince(cid: CidText, mark: number): boolean {
    return this.#touched.since(cid, mark)
  }

  /** Whether it is kept only because somebody may still be at work who touched it before. */
  touchedLately(cid: CidText, mark: number): boolean {
    return this.#touched.lately(cid, mark)
  }

  /** Frees blocks, but for those that were touched. @returns how many. @throws {OsError} EIO. */
  async drop(cids: readonly CidText[], mark: number): Promise<number> {
    const doomed = cids.filter((cid) => !this.#touched.since(cid, mark))
    await this.#delete(doomed)
    return doomed.length
  }

  async #delete(doomed: readonly CidText[]): Promise<void> {
    for (const cid of doomed) {
      this.#known.delete(cid)
      this.#cache.delete(cid)
    }
    // Whoever stores one of them again, or looks whether it is here, has touched it by now or waits until it is gone.
    const dropped = this.#store.deleteMany(doomed)
    this.#dropping = Promise.allSettled([this.#dropping, dropped]).then(() => undefined)
    await dropped
  }

  close(): void {
    this.#cache.close()
  }

  /** Stores one block. @returns its name. @throws {OsError} ENOSPC, EIO. */
  async put(codec: Codec, bytes: Uint8Array): Promise<CidText> {
    const cid = await this.cidOf(codec, bytes)
    await this.putMany([[cid, bytes]])
    return cid
  }

  hasMany(cids: readonly CidText[]): Promise<boolean[]> {
    return this.#store.hasMany(cids)
  }

  /** The same for a peer, which may ask for much: its questions are not all looked for at once. @throws {OsError} ECANCELED, ETIMEDOUT. */
  hasManyFor(peer: NodeId, cids: readonly CidText[], signal: AbortSignal): Promise<boolean[]> {
    return this.#looks.take(peer, signal, () => this.#store.hasMany(cids))
  }

  usage(): Promise<StorageUsage> {
    return this.#store.usage()
  }

  async count(): Promise<number> {
    return (await this.keys()).length
  }

  /** Of all blocks in the store. */
  keys(): Promise<CidText[]> {
    return this.#store.keys()
  }

  /** Nodes caught sending wrong bytes, with what they did. */
  liars(): ReadonlyMap<NodeId, string> {
    return this.#fetcher.liars()
  }

  async get(cid: CidText, options: FetchOptions = {}): Promise<Uint8Array> {
    const [bytes] = await this.getMany([cid], options)
    return bytes as Uint8Array
  }

  /**
   * The blocks in the order of `cids` (at most MAX_CIDS_PER_CALL), from here or from whoever holds them.
   * @throws {OsError} EIO (BlockMissing) when a block cannot be had from anybody; ECANCELED.
   */
  async getMany(cids: readonly CidText[], options: FetchOptions = {}): Promise<Uint8Array[]> {
    const found = new Map<CidText, Uint8Array>()
    await this.#gather(cids, options, (cid, bytes) => found.set(cid, bytes))
    return cids.map((cid) => found.get(cid) as Uint8Array)
  }

  /** As `getMany`, but each block as soon as it is here, before its copy is kept. Each promise settles by itself. */
  getEach(cids: readonly CidText[], options: FetchOptions = {}): Promise<Piece>[] {
    const waiting = new Map(cids.map((cid) => [cid, Promise.withResolvers<Piece>()]))
    for (const { promise } of waiting.values()) promise.catch(() => undefined) // reported to whoever awaits it
    const once = waiting.size === cids.length
    this.#gather(cids, options, (cid, bytes, own) => waiting.get(cid)?.resolve({ bytes, own: own && once })).catch(
      (error: unknown) => {
        for (const { reject } of waiting.values()) reject(error) // without effect on those that have their block
      },
    )
    return cids.map((cid) => (waiting.get(cid) as PromiseWithResolvers<Piece>).promise)
  }

  /**
   * Hands over every block of `cids`, in no particular order, and keeps copies of those that came from others, as far as wanted.
   * @param onBlock is told, too, whether nobody else has its bytes.
   */
  async #gather(
    cids: readonly CidText[],
    options: FetchOptions,
    onBlock: (cid: CidText, bytes: Uint8Array, own: boolean) => void,
  ): Promise<void> {
    const wanted = [...new Set(cids)]
    const local = await this.#copies(wanted)
    const missing: CidText[] = []
    const corrupt = new Set<CidText>()
    await Promise.all(
      wanted.map(async (cid, i) => {
        const bytes = local[i]
        if (bytes && (await this.#isGood(cid, bytes))) return onBlock(cid, bytes, true)
        this.#known.delete(cid)
        missing.push(cid)
        if (!bytes) return
        this.#cache.delete(cid)
        corrupt.add(cid)
        this.#log.log('error', 'blocks', `the stored block ${cid} is corrupt; it will be fetched again`)
      }),
    )
    if (missing.length === 0) return
    missing.sort((a, b) => wanted.indexOf(a) - wanted.indexOf(b))
    const { keep = 'always' } = options
    const copies: [CidText, Uint8Array][] = []
    await this.#keeping // a disk slower than the network bounds how much is fetched, not the memory
    const take: OnFetched = (cid, bytes, found) => {
      const wantedHere = () => corrupt.has(cid) || this.#isWanted(cid, bytes, found)
      const kept = keep === 'always' || (keep === 'wanted' && wantedHere())
      if (kept) copies.push([cid, bytes])
      onBlock(cid, bytes, !kept)
    }
    // Of one that ends early, too, what has come is kept.
    await this.#fetch(missing, options, take).finally(() => {
      if (copies.length > 0) this.#keeping = this.#keeping.then(() => this.#keep(copies))
    })
    if (copies.length > 0) await this.#keeping
  }

  /** Those that are here, to be changed and moved as one likes. */
  async #copies(cids: readonly CidText[]): Promise<(Uint8Array | undefined)[]> {
    const found = await this.#cache.read(cids)
    return found.map((block) => (block?.lent ? block.bytes.slice() : block?.bytes))
  }

  /** What is read once is not worth the time and the room on the disk, nor is what is there already. */
  #isWanted(cid: CidText, bytes: Uint8Array, found: 'disk' | 'peer' | 'wanted'): boolean {
    if (!isLarge(bytes)) return true
    return found !== 'disk' && (this.#demand.read(cid) || found === 'wanted')
  }

  /** From this disk, where another tab has stored it, or else from other nodes. @throws {OsError} as BlockFetcher.fetch. */
  async #fetch(cids: readonly CidText[], options: FetchOptions, onBlock: OnFetched): Promise<void> {
    const missing = new Set(cids)
    const take: OnFetched = (cid, bytes, found) => {
      missing.delete(cid)
      onBlock(cid, bytes, found)
    }
    const fromDisk = (cid: CidText, bytes: Uint8Array) => take(cid, bytes, 'disk')
    const { signal } = options
    await this.#device?.get(cids, fromDisk, { signal })
    try {
      if (missing.size === 0) return
      await this.#fetcher.fetch([...missing], options, (cid, bytes, wanted) =>
        take(cid, bytes, wanted ? 'wanted' : 'peer'),
      )
    } catch (error) {
      if (!this.#device || !(error instanceof BlockMissing)) throw error
      await this.#device.get([...missing], fromDisk, { signal, patient: true })
      if (missing.size > 0) throw error
    }
  }

  /** Reading it does that, if anybody else has it. */
  #repair(cid: CidText): void {
    if (this.#repairing.has(cid) || this.#repairing.size >= limits.MAX_BLOCK_REPAIRS) return
    this.#repairing.add(cid)
    this.get(cid)
      .catch((error: unknown) => this.#log.log('info', 'blocks', `${cid} is not repaired: ${errorLine(error)}`))
      .finally(() => this.#repairing.delete(cid))
  }

  /** Whether what the disk gave is what this block is. */
  async #isGood(cid: CidText, bytes: Uint8Array): Promise<boolean> {
    if (this.#known.same(cid, bytes)) return true
    if (!(await this.#fetcher.verify(cid, bytes))) return false
    this.#known.hashed(cid, bytes) // it may be freed meanwhile
    return true
  }

  /**
   * Makes sure that the blocks are in the local store.
   * @param small they are known to be small, so that many may be fetched at a time.
   * @throws {OsError} EIO (BlockMissing), ENOSPC, ECANCELED.
   */
  async hold(cids: readonly CidText[], options: FetchOptions = {}, small = false): Promise<void> {
    const { own } = options
    const untouched = new Set(own && cids.filter((cid) => !this.#touched.has(cid)))
    const touch = this.#touched.add(cids) // all of them, also when one is missing
    await this.#dropping
    const unknown = cids.filter((cid) => !this.#known.has(cid))
    const sought = await this.#withoutEnclosed(unknown, options.hints ?? [])
    const most = small ? limits.HOLD_BATCH_SMALL_BLOCKS : limits.HOLD_BATCH_BLOCKS
    let count: number = small ? most : limits.WRITE_BATCH_BLOCKS
    for (let at = 0; at < sought.length; at += limits.MAX_CIDS_PER_CALL) {
      const batch = sought.slice(at, at + limits.MAX_CIDS_PER_CALL)
      await this.#dropping
      const held = await this.#store.hasMany(batch)
      for (const [i, cid] of batch.entries()) if (held[i]) this.#known.add(cid)
      const missing = batch.filter((_cid, i) => !held[i])
      while (missing.length > 0) {
        const fetched: [CidText, Uint8Array][] = []
        await this.#fetch(missing.splice(0, count), options, (cid, block) => fetched.push([cid, block]))
        const alone =
          own && fetched.map(([cid]) => cid).filter((cid) => untouched.has(cid) && this.#touched.only(cid, touch))
        const again = await this.putMany(fetched)
        for (const cid of alone ?? []) own?.set(cid, again)
        // So many at a time as are together as large as a few full ones, if they are like the last.
        const bytes = fetched.reduce((sum, [, block]) => sum + block.byteLength, 0)
        const fit = Math.floor((limits.WRITE_BATCH_BLOCKS * limits.BLOCK_BYTES * fetched.length) / Math.max(1, bytes))
        count = Math.min(most, Math.max(limits.WRITE_BATCH_BLOCKS, fit))
      }
    }
  }

  /** Stores those that a holder has sent ahead. @returns the others, which may be here already. @throws {OsError} EIO. */
  async #withoutEnclosed(cids: readonly CidText[], holders: readonly NodeId[]): Promise<readonly CidText[]> {
    const right: (readonly [CidText, Uint8Array])[] = []
    await Promise.all(
      cids.map(async (cid) => {
        const sent = this.#enclosed.take(holders, cid)
        if (sent && (await this.#fetcher.isRight(sent.peer, cid, sent.bytes))) right.push([cid, sent.bytes])
      }),
    )
    if (right.length === 0) return cids
    try {
      await this.putMany(right)
    } catch (error) {
      if (!isOsError(error, 'ENOSPC')) throw error
      return cids
    }
    const stored = new Set(right.map(([cid]) => cid))
    return cids.filter((cid) => !stored.has(cid))
  }

  /** A cached copy is welcome but not owed: a full disk must not fail a read. */
  async #keep(entries: [CidText, Uint8Array][]): Promise<void> {
    try {
      await this.#cache.putMany(entries)
      this.#copied += entries.reduce((sum, [, bytes]) => sum + bytes.byteLength, 0)
    } catch (error) {
      this.#log.log('info', 'blocks', `read ${entries.length} blocks without keeping a copy: ${errorLine(error)}`)
      if (isOsError(error, 'ENOSPC')) this.#copied = Number.POSITIVE_INFINITY
    }
    if (this.#copied < limits.MAX_COPIED_BYTES) return
    this.#copied = 0
    void this.#makeRoom()
  }
}
