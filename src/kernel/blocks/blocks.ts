// Blocks of this node and how to get those of others: hold, verify, serve, fetch. Above: fs. Below: the block
// store port, rpc, membership, the directory. A block handed to a reader always hashes to its CID.

import { equalBytes } from '../../base/bytes.ts'
import { errorLine, OsError, toOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { BlockStore, StorageUsage } from '../../ports/blockstore.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { ServeContext } from '../rpc/session.ts'
import { pause } from '../timers.ts'
import { type Assembler, createAssembler } from './assemble.ts'
import { type CidText, type Codec, cidOf, parseCid } from './cid.ts'

export interface FetchOptions {
  signal?: AbortSignal | undefined
  /** Nodes likely to hold the blocks: asked for them before everybody, without asking first whether they do. */
  hints?: readonly NodeId[]
  /** Told who sent blocks: a hint for the next ones of the same file. */
  onSource?: (peer: NodeId) => void
  /** Keep what was fetched in the local store (default true). */
  keep?: boolean
}

/** A block could not be had. */
export class BlockMissing extends OsError {
  /** Every node that can be reached said that it does not hold it; else some did not answer, or did not deliver. */
  readonly certain: boolean

  constructor(message: string, { certain }: { certain: boolean }) {
    super('EIO', message)
    this.certain = certain
  }
}

interface Holder {
  peer: NodeId
  cids: Set<CidText>
}

type OnBlock = (cid: CidText, bytes: Uint8Array) => void

export class Blocks {
  readonly #store: BlockStore
  readonly #hasher: Hasher
  readonly #rpc: RpcNode
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #peers: () => NodeId[]
  /** A link broke a moment ago: worth waiting for. */
  readonly #mayReturn: () => boolean
  /** More holders, from the directory, when no neighbour has a block. */
  readonly #findProviders: (cid: CidText, signal: AbortSignal) => Promise<NodeId[]>
  /** Nodes that sent wrong bytes: not asked again in this session. */
  readonly #liars = new Map<NodeId, string>()
  /** When blocks were stored here last, or found to be here, by somebody who may be about to name them; oldest first. */
  readonly #touched = new Map<CidText, number>()
  /** Copies of fetched blocks on their way to the store, one batch after the other. Never rejects. */
  #keeping: Promise<void> = Promise.resolve()

  constructor(options: {
    store: BlockStore
    hasher: Hasher
    rpc: RpcNode
    clock: Clock
    log: LogSink
    peers: () => NodeId[]
    mayReturn: () => boolean
    findProviders: (cid: CidText, signal: AbortSignal) => Promise<NodeId[]>
  }) {
    this.#store = options.store
    this.#hasher = options.hasher
    this.#rpc = options.rpc
    this.#clock = options.clock
    this.#log = options.log
    this.#peers = options.peers
    this.#mayReturn = options.mayReturn
    this.#findProviders = options.findProviders
    this.#rpc.handle('blocks.have', async ({ cids }) => {
      return Uint8Array.from(await this.#store.hasMany(cids), (held) => (held ? 1 : 0))
    })
    this.#rpc.handle('blocks.get', async ({ cids }, context) => {
      await this.#serve(cids, context)
      return null
    })
  }

  cidOf(codec: Codec, bytes: Uint8Array): Promise<CidText> {
    return cidOf(this.#hasher, codec, bytes).then(String)
  }

  /** @throws {OsError} ENOSPC, EIO. */
  async putMany(entries: readonly (readonly [CidText, Uint8Array])[]): Promise<void> {
    if (entries.length === 0) return
    this.#touch(entries.map(([cid]) => cid))
    await this.#store.putMany(entries)
  }

  /** Those that are in the store here, unverified; nobody else is asked. */
  held(cids: readonly CidText[]): Promise<(Uint8Array | undefined)[]> {
    return this.#store.getMany(cids)
  }

  /** Frees blocks that nobody means any more. */
  async drop(cids: readonly CidText[]): Promise<void> {
    await this.#store.deleteMany(cids)
  }

  /** Whether somebody stored it here a moment ago, or made sure that it is here. */
  touched(cid: CidText): boolean {
    return (this.#touched.get(cid) ?? -Infinity) > this.#clock.nowMs() - limits.TOUCHED_MS
  }

  #touch(cids: readonly CidText[]): void {
    const nowMs = this.#clock.nowMs()
    for (const cid of cids) {
      this.#touched.delete(cid)
      this.#touched.set(cid, nowMs)
    }
    for (const [cid, ms] of this.#touched) {
      if (ms > nowMs - limits.TOUCHED_MS) break
      this.#touched.delete(cid)
    }
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

  usage(): Promise<StorageUsage> {
    return this.#store.usage()
  }

  async count(): Promise<number> {
    return (await this.#store.keys()).length
  }

  /** Nodes caught sending wrong bytes, with what they did. */
  liars(): ReadonlyMap<NodeId, string> {
    return this.#liars
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
  getEach(cids: readonly CidText[], options: FetchOptions = {}): Promise<Uint8Array>[] {
    const waiting = new Map(cids.map((cid) => [cid, Promise.withResolvers<Uint8Array>()]))
    for (const { promise } of waiting.values()) promise.catch(() => undefined) // reported to whoever awaits it
    this.#gather(cids, options, (cid, bytes) => waiting.get(cid)?.resolve(bytes)).catch((error: unknown) => {
      for (const { reject } of waiting.values()) reject(error) // without effect on those that have their block
    })
    return cids.map((cid) => (waiting.get(cid) as PromiseWithResolvers<Uint8Array>).promise)
  }

  /** Hands over every block of `cids`, in no particular order, and keeps copies of those that came from others. */
  async #gather(cids: readonly CidText[], options: FetchOptions, onBlock: OnBlock): Promise<void> {
    const wanted = [...new Set(cids)]
    const local = await this.#store.getMany(wanted)
    const missing: CidText[] = []
    await Promise.all(
      wanted.map(async (cid, i) => {
        const bytes = local[i]
        if (bytes && (await this.#verify(cid, bytes))) return onBlock(cid, bytes)
        if (bytes) this.#log.log('error', 'blocks', `the stored block ${cid} is corrupt; it will be fetched again`)
        missing.push(cid)
      }),
    )
    if (missing.length === 0) return
    missing.sort((a, b) => wanted.indexOf(a) - wanted.indexOf(b))
    if (options.keep === false) {
      await this.#fetch(missing, options, onBlock)
      return
    }
    await this.#keeping // a disk slower than the network bounds how much is fetched, not the memory
    const fetched = await this.#fetch(missing, options, onBlock)
    this.#keeping = this.#keeping.then(() => this.#keep([...fetched]))
    await this.#keeping
  }

  /** Makes sure that the blocks are in the local store. @throws {OsError} EIO (BlockMissing), ENOSPC, ECANCELED. */
  async hold(cids: readonly CidText[], options: FetchOptions = {}): Promise<void> {
    for (let at = 0; at < cids.length; at += limits.WRITE_BATCH_BLOCKS) {
      const batch = cids.slice(at, at + limits.WRITE_BATCH_BLOCKS)
      this.#touch(batch)
      const held = await this.#store.hasMany(batch)
      const missing = batch.filter((_cid, i) => !held[i])
      if (missing.length > 0) await this.putMany([...(await this.#fetch(missing, options, () => undefined))])
    }
  }

  /** A cached copy is welcome but not owed: a full disk must not fail a read. */
  async #keep(entries: [CidText, Uint8Array][]): Promise<void> {
    try {
      await this.#store.putMany(entries)
    } catch (error) {
      this.#log.log('warn', 'blocks', `read ${entries.length} blocks without keeping a copy: ${errorLine(error)}`)
    }
  }

  async #verify(cid: CidText, bytes: Uint8Array): Promise<boolean> {
    const { multihash } = parseCid(cid)
    return equalBytes(multihash.digest, await this.#hasher.sha256(bytes))
  }

  /** @param onBlock told of each block at once; the result has them all. */
  async #fetch(
    cids: readonly CidText[],
    options: FetchOptions,
    onBlock: OnBlock,
  ): Promise<ReadonlyMap<CidText, Uint8Array>> {
    const found = new Map<CidText, Uint8Array>()
    const take = (cid: CidText, bytes: Uint8Array) => {
      found.set(cid, bytes)
      onBlock(cid, bytes)
    }
    const missing = () => cids.filter((cid) => !found.has(cid))
    /** Holders that did not deliver: asked again only when there is nobody else. */
    const passed = new Set<NodeId>()
    /** Of them, those that may have it all the same: they did not say that they do not. */
    const stalled = new Set<NodeId>()
    let pauses = 0
    let certain = false
    for (let round = 0; round < limits.FETCH_ROUNDS && missing().length > 0; ) {
      options.signal?.throwIfAborted()
      const { holders, silent } = await this.#holders(missing(), options, passed)
      if (holders.length === 0) {
        // Whoever is said to have it has to have answered too.
        const asked = (options.hints ?? []).every((peer) => this.#peers().includes(peer))
        certain = asked && silent === 0 && stalled.size === 0 && !this.#mayReturn()
        passed.clear()
        stalled.clear()
        // A link that has just broken may be back in a moment, and with it the block.
        if (this.#mayReturn() && pauses++ < limits.FETCH_PAUSES)
          await pause(this.#clock, limits.FETCH_PAUSE_MS, 'ask for blocks again', options.signal)
        else round++
      }
      for (const holder of holders) {
        const wanted = missing().filter((cid) => holder.cids.has(cid))
        if (wanted.length === 0) continue
        const answered = await this.#fetchFrom(holder.peer, wanted, take, options.signal)
        if (!answered) stalled.add(holder.peer)
        if (wanted.some((cid) => found.has(cid))) options.onSource?.(holder.peer)
        if (wanted.some((cid) => !found.has(cid))) passed.add(holder.peer)
      }
    }
    const [lost, ...more] = missing()
    if (lost !== undefined) {
      const others = more.length > 0 ? ` and ${more.length} more` : ''
      const what = `block ${lost}${others}`
      const nobody = `is held by none of the ${this.#peers().length} other nodes: the tab that has it is away`
      throw new BlockMissing(`${what} ${certain ? nobody : 'cannot be had now: a node does not answer'}`, { certain })
    }
    return found
  }

  /** Who has what: hints first, then everybody connected, then the directory; those who hold most come first. */
  async #holders(
    cids: readonly CidText[],
    options: FetchOptions,
    passed: ReadonlySet<NodeId>,
  ): Promise<{ holders: Holder[]; silent: number }> {
    const welcome = (peer: NodeId) => !this.#liars.has(peer) && !passed.has(peer)
    const connected = this.#peers().filter(welcome)
    const hinted = (options.hints ?? []).filter((peer) => connected.includes(peer))
    if (hinted.length > 0) {
      return { holders: hinted.map((peer) => ({ peer, cids: new Set(cids) })), silent: 0 }
    }
    const found = await this.#ask(connected, cids)
    const [first] = cids
    if (found.holders.length > 0 || first === undefined) return found
    const signal = options.signal ?? new AbortController().signal
    const more = await this.#ask((await this.#findProviders(first, signal)).filter(welcome), cids)
    return { holders: more.holders, silent: found.silent + more.silent }
  }

  /** Settles when one peer has them all, or when everybody has answered: nobody waits for the mute without need. */
  async #ask(
    peers: readonly NodeId[],
    cids: readonly CidText[],
  ): Promise<{ holders: Holder[] /** Peers that have not answered. */; silent: number }> {
    const holders: Holder[] = []
    let silent = peers.length
    const { promise: complete, resolve } = Promise.withResolvers<void>()
    const answers = peers.map(async (peer) => {
      try {
        const held = await this.#rpc.call(peer, 'blocks.have', { cids: [...cids] })
        silent--
        const holder = { peer, cids: new Set(cids.filter((_cid, i) => held[i] === 1)) }
        if (holder.cids.size > 0) holders.push(holder)
        if (holder.cids.size === cids.length) resolve()
      } catch (error) {
        this.#log.log('debug', 'blocks', `${shortNode(peer)} did not say what it holds: ${errorLine(error)}`)
      }
    })
    await Promise.race([complete, Promise.all(answers)])
    return { holders: [...holders].sort((a, b) => b.cids.size - a.cids.size), silent }
  }

  /** @returns false when it stopped in the middle: it may have what it did not send. */
  async #fetchFrom(
    peer: NodeId,
    cids: readonly CidText[],
    onBlock: OnBlock,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const stall = new AbortController()
    let timer = this.#clock.setTimer(() => stall.abort(), limits.FETCH_STALL_MS, 'block stall')
    const onAbort = () => stall.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    const assembler: Assembler = createAssembler(cids.length)
    let progressBytes = 0
    try {
      await this.#rpc.call(
        peer,
        'blocks.get',
        { cids: [...cids] },
        {
          signal: stall.signal,
          onItem: async (item) => {
            const done = assembler.add(item)
            const cid = done && cids[done.index]
            progressBytes += (item as [number, number, number, Uint8Array])[3].byteLength
            if (done || progressBytes >= limits.FETCH_PROGRESS_BYTES) {
              progressBytes = 0
              timer.cancel()
              timer = this.#clock.setTimer(() => stall.abort(), limits.FETCH_STALL_MS, 'block stall')
            }
            if (!done || cid === undefined) return
            if (!(await this.#verify(cid, done.bytes))) throw new OsError('EPROTO', `sent wrong bytes for block ${cid}`)
            onBlock(cid, done.bytes)
          },
        },
      )
      return true
    } catch (error) {
      signal?.throwIfAborted()
      const problem = toOsError(error)
      if (problem.code === 'EPROTO') this.#liars.set(peer, problem.message)
      this.#log.log('warn', 'blocks', `${shortNode(peer)} failed to serve blocks: ${errorLine(problem)}`)
      return problem.code === 'EPROTO' // whoever lies is not believed to have it either
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** The next block is read from the store while one is being sent. */
  async #serve(cids: readonly CidText[], context: ServeContext): Promise<void> {
    const read = async (cid: CidText | undefined) => (cid === undefined ? [] : this.#store.getMany([cid]))
    let next = read(cids[0])
    for (const index of cids.keys()) {
      const [bytes] = await next
      next = read(cids[index + 1])
      next.catch(() => undefined) // thrown when its turn comes, unless the caller has gone
      if (!bytes) continue
      const total = bytes.byteLength
      for (let at = 0; at < total || at === 0; at += limits.ITEM_BYTES) {
        const piece = bytes.subarray(at, at + limits.ITEM_BYTES)
        await context.item([index, at, total, piece])
      }
    }
  }
}
