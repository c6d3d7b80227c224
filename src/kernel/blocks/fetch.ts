// Blocks from other nodes: finds out who holds them, asks several at once, verifies what comes. Whoever is slow or silent is
// overtaken by whoever has nothing else to do. Above: blocks.ts, which keeps copies. Below:
// fetch-batch.ts, fetch-request.ts, rpc, the directory.
import { equalBytes } from '../../base/bytes.ts'
import { errorLine, OsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import { pause } from '../timers.ts'
import { type CidText, parseCid } from './cid.ts'
import {
  Batch,
  type FetchOptions,
  type Holder,
  longestWaitMs,
  type OnBlock,
  patienceMs,
  type Request,
} from './fetch-batch.ts'
import { BlockRequests } from './fetch-request.ts'

/** A block could not be had. */
export class BlockMissing extends OsError {
  /** Every node that can be reached said that it does not hold it; else some did not answer, or did not deliver. */
  readonly certain: boolean

  constructor(message: string, { certain }: { certain: boolean }) {
    super('EIO', message)
    this.certain = certain
  }
}

export interface BlockFetcherOptions {
  hasher: Hasher
  rpc: RpcNode
  clock: Clock
  log: LogSink
  peers: () => NodeId[]
  /** A link broke a moment ago: worth waiting for. */
  mayReturn: () => boolean
  /** More holders, from the directory, when no neighbour has a block. */
  findProviders: (cid: CidText, signal: AbortSignal) => Promise<NodeId[]>
}

export class BlockFetcher {
  readonly #options: BlockFetcherOptions
  /** Nodes that sent wrong bytes: not asked again in this session. */
  readonly #liars = new Map<NodeId, string>()
  readonly #requests: BlockRequests

  constructor(options: BlockFetcherOptions) {
    this.#options = options
    this.#requests = new BlockRequests({
      ...options,
      verify: (cid, bytes) => this.verify(cid, bytes),
      lied: (peer, what) => this.#liars.set(peer, what),
    })
  }

  /** Nodes caught sending wrong bytes, with what they did. */
  liars(): ReadonlyMap<NodeId, string> {
    return this.#liars
  }

  async verify(cid: CidText, bytes: Uint8Array): Promise<boolean> {
    const { multihash } = parseCid(cid)
    return equalBytes(multihash.digest, await this.#options.hasher.sha256(bytes))
  }

  /** The same of bytes that a peer sent: one who sends wrong ones is not asked again. */
  async isRight(peer: NodeId, cid: CidText, bytes: Uint8Array): Promise<boolean> {
    if (this.#liars.has(peer)) return false
    if (await this.verify(cid, bytes)) return true
    this.#liars.set(peer, `sent wrong bytes for block ${cid}`)
    return false
  }

  /**
   * @param onBlock told of each block at once. Resolves when it was told of all.
   * @throws {OsError} EIO (BlockMissing) when a block cannot be had from anybody; ECANCELED.
   */
  async fetch(cids: readonly CidText[], options: FetchOptions, onBlock: OnBlock): Promise<void> {
    const { clock, peers, mayReturn } = this.#options
    const batch = new Batch(cids, options, onBlock)
    const { passed, stalled, guessed } = batch
    let pauses = 0
    let certain = false
    for (let round = 0; round < limits.FETCH_ROUNDS && batch.missing().length > 0; ) {
      options.signal?.throwIfAborted()
      const { holders, silent, guesses = false } = await this.#holders(batch)
      if (holders.length > 0) {
        await this.#fetchFrom(batch, holders)
        // Of those who were only likely to hold it, each is asked what it holds, too.
        if (guesses) for (const peer of guessed) if (!stalled.has(peer)) passed.delete(peer)
        continue
      }
      // Whoever is said to have it has to have answered too.
      const asked = (options.hints ?? []).every((peer) => peers().includes(peer))
      certain = asked && silent === 0 && stalled.size === 0 && !mayReturn()
      passed.clear()
      stalled.clear()
      guessed.clear()
      // A link that has just broken may be back in a moment, and with it the block.
      if (mayReturn() && pauses++ < limits.FETCH_PAUSES)
        await pause(clock, limits.FETCH_PAUSE_MS, 'ask for blocks again', options.signal)
      else {
        round++
        batch.patience *= 2
      }
    }
    const [lost, ...more] = batch.missing()
    if (lost !== undefined) {
      const others = more.length > 0 ? ` and ${more.length} more` : ''
      const what = `block ${lost}${others}`
      const nobody = `is held by none of the ${peers().length} other nodes: the tab that has it is away`
      throw new BlockMissing(`${what} ${certain ? nobody : 'cannot be had now: a node does not answer'}`, { certain })
    }
  }

  /** Who has what: hints first, then everybody connected, then the directory; those who hold most come first. */
  async #holders(batch: Batch): Promise<{ holders: Holder[]; silent: number; guesses?: boolean }> {
    const { peers, findProviders } = this.#options
    const { passed, guessed, options } = batch
    const cids = batch.missing()
    const welcome = (peer: NodeId) => !this.#liars.has(peer) && !passed.has(peer)
    const connected = peers().filter(welcome)
    const hinted = (options.hints ?? []).filter((peer) => connected.includes(peer) && !guessed.has(peer))
    if (hinted.length > 0) {
      for (const peer of hinted) guessed.add(peer)
      return { holders: hinted.map((peer) => ({ peer, cids: new Set(cids) })), silent: 0, guesses: true }
    }
    const signal = options.signal ?? new AbortController().signal
    const found = await this.#ask(connected, cids, signal)
    const [first] = cids
    if (found.holders.length > 0 || first === undefined) return found
    signal.throwIfAborted()
    const more = await this.#ask((await findProviders(first, signal)).filter(welcome), cids, signal)
    return { holders: more.holders, silent: found.silent + more.silent }
  }

  /** Settles when they are all found, or when everybody has answered: nobody waits for the mute without need. */
  async #ask(
    peers: readonly NodeId[],
    cids: readonly CidText[],
    signal: AbortSignal,
  ): Promise<{ holders: Holder[] /** Peers that have not answered. */; silent: number }> {
    const { rpc, clock, log } = this.#options
    const holders: Holder[] = []
    let silent = peers.length
    const nowhere = new Set(cids)
    const { promise: complete, resolve } = Promise.withResolvers<void>()
    const answers = peers.map(async (peer) => {
      try {
        const held = await rpc.call(peer, 'blocks.have', { cids: [...cids] }, { signal })
        silent--
        const holder = { peer, cids: new Set(cids.filter((_cid, i) => held[i] === 1)) }
        if (holder.cids.size > 0) holders.push(holder)
        for (const cid of holder.cids) nowhere.delete(cid)
        if (nowhere.size > 0) return
        const whole = holder.cids.size === cids.length
        if (whole && (cids.length === 1 || holders.length >= limits.FETCH_SOURCES)) resolve()
        // Nobody is waited for but those who are about to answer too.
        else clock.setTimer(resolve, limits.FETCH_OTHERS_MS, 'other holders')
      } catch (error) {
        log.log('debug', 'blocks', `${shortNode(peer)} did not say what it holds: ${errorLine(error)}`)
      }
    })
    await Promise.race([complete, Promise.all(answers)])
    return { holders: [...holders].sort((a, b) => b.cids.size - a.cids.size), silent }
  }

  /** Until all that they hold is here, or each has failed. */
  async #fetchFrom(batch: Batch, holders: readonly Holder[]): Promise<void> {
    const some = holders.slice(0, limits.FETCH_SOURCES)
    const each = some.length > 1 ? 2 : 1
    const abreast = each * (batch.options.batches ?? 1)
    const lanes = some.flatMap((holder) => Array<Holder>(each).fill(holder))
    // One holder sends all in one answer; of several, each gets what it can send soon.
    const most = lanes.length > 1 ? Math.ceil(batch.missing().length / (2 * lanes.length)) : limits.MAX_CIDS_PER_CALL
    const drained = await Promise.allSettled(lanes.map((holder) => this.#drain(batch, holder, { most, abreast })))
    for (const lane of drained) if (lane.status === 'rejected') throw lane.reason
    // Whoever holds too little, or has had its turn, makes room for others.
    if (batch.missing().length > 0) for (const { peer } of some) batch.passed.add(peer)
  }

  /** Asks one holder for more and more, until there is nothing left that it could send. */
  async #drain(batch: Batch, holder: Holder, { most, abreast }: { most: number; abreast: number }): Promise<void> {
    const { options, requests, passed, stalled, found, patience } = batch
    const { clock } = this.#options
    const { peer } = holder
    /** What this holder needs for one block, as it seems; 0: it has sent none. */
    let blockMs = 0
    /** What this lane leaves to another, and until when: one that is always about to send it never does. */
    let awaited: { cid: CidText; untilMs: number } | undefined
    while (!passed.has(peer)) {
      const { cids, again } = batch.next(holder, most)
      const [wanted] = cids
      if (wanted === undefined) return
      const startedMs = clock.nowMs()
      if (again && awaited?.cid !== wanted) {
        awaited = { cid: wanted, untilMs: startedMs + longestWaitMs(again, blockMs) }
      }
      const mostMs = (awaited?.untilMs ?? startedMs) - startedMs
      const waitMs = again ? Math.min(mostMs, patienceMs(again, wanted, blockMs, startedMs)) : 0
      if (waitMs > 0) {
        await this.#within(batch.progress, Math.min(waitMs, limits.FETCH_STALL_MS), options.signal)
        options.signal?.throwIfAborted()
        continue
      }
      const overtaken = new AbortController()
      const request: Request = { peer, cids, abreast, again, startedMs, progress: 0, overtaken, patience }
      const before = cids.filter((cid) => found.has(cid)).length
      let sent = before
      requests.add(request)
      const answered = await this.#requests
        .send(request, options, (cid, bytes, wanted) => {
          sent++
          batch.take(cid, bytes, wanted, request)
        })
        .finally(() => {
          requests.delete(request)
          batch.advance()
        })
      if (sent > before) {
        options.onSource?.(peer)
        blockMs = (clock.nowMs() - startedMs) / (sent - before)
      }
      if (request.overtaken.signal.aborted) {
        if (sent === before && !again) options.onSlow?.(peer)
        return
      }
      if (!answered) stalled.add(peer)
      if (cids.some((cid) => !found.has(cid))) passed.add(peer)
    }
  }

  /** Resolves with the promise, after so long, or when the signal aborts. */
  async #within(promise: Promise<void>, ms: number, signal: AbortSignal | undefined): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = this.#options.clock.setTimer(resolve, ms, 'a slow holder')
    const aborted = () => resolve()
    signal?.addEventListener('abort', aborted, { once: true })
    await Promise.race([promise, late])
    signal?.removeEventListener('abort', aborted)
    timer.cancel()
  }
}
