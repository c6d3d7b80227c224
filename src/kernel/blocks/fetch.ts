// Blocks from other nodes: finds out who holds them, asks several at once, verifies what comes. Whoever is slow or silent is
// overtaken by whoever has nothing else to do. Above: blocks.ts, which keeps copies. Below: rpc, the directory.
import { equalBytes } from '../../base/bytes.ts'
import { errorLine, OsError, toOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import { pause } from '../timers.ts'
import { type Assembler, createAssembler } from './assemble.ts'
import { type CidText, parseCid } from './cid.ts'

export interface FetchOptions {
  signal?: AbortSignal | undefined
  /** Nodes likely to hold the blocks: asked for them before everybody, without asking first whether they do. */
  hints?: readonly NodeId[]
  /** Told who sent blocks: hints for the next ones of the same file. */
  onSource?: (peer: NodeId) => void
  /** Told who was asked, and was overtaken before it had sent any, by somebody who was asked later. */
  onSlow?: (peer: NodeId) => void
  /**
   * Whether a copy of what was fetched is stored here; `wanted`: of what is small, or read again and again, so that holders are told
   * that it is read (default: always).
   */
  keep?: 'always' | 'wanted' | 'never'
  /** So many such batches are under way at a time (default 1): they share what may be under way over a link. */
  batches?: number
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

/** @param wanted whether the holder has sent it to another reader lately. */
export type OnBlock = (cid: CidText, bytes: Uint8Array, wanted: boolean) => void

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

interface Holder {
  peer: NodeId
  cids: Set<CidText>
}

/** One request under way. */
interface Request {
  peer: NodeId
  cids: readonly CidText[]
  /** How many of them the same peer is asked for at a time. */
  abreast: number
  /** How many times FETCH_STALL_MS, and FETCH_TURN_MS, it is given. */
  patience: number
  /** Another was asked for the same before, then: to come second says nothing of this one. */
  again: Request | undefined
  startedMs: number
  /** How many blocks of it have come, with the part of the one that is coming. */
  progress: number
  /** Aborted when others have delivered all of it. */
  overtaken: AbortController
}

/** Blocks that are wanted together, and what has become of them. */
class Batch {
  readonly cids: readonly CidText[]
  readonly options: FetchOptions
  readonly found = new Set<CidText>()
  readonly requests = new Set<Request>()
  /** Holders that did not deliver: asked again only when there is nobody else. */
  readonly passed = new Set<NodeId>()
  /** Of them, those that may have it all the same: they did not say that they do not. */
  readonly stalled = new Set<NodeId>()
  /** Of those who are asked again, as there is nobody else, each may be on a slow link: they get more time. */
  patience = 1
  readonly #onBlock: OnBlock
  /** Told when something has come. */
  #progress = Promise.withResolvers<void>()

  constructor(cids: readonly CidText[], options: FetchOptions, onBlock: OnBlock) {
    this.cids = cids
    this.options = options
    this.#onBlock = onBlock
  }

  missing(): CidText[] {
    return this.cids.filter((cid) => !this.found.has(cid))
  }

  take(cid: CidText, bytes: Uint8Array, wanted: boolean, from: Request): void {
    if (this.found.has(cid)) return
    this.found.add(cid)
    this.#onBlock(cid, bytes, wanted)
    this.advance()
    for (const request of this.requests) {
      if (request !== from && request.cids.every((each) => this.found.has(each))) request.overtaken.abort()
    }
  }

  /** There may be something else to do than before. */
  advance(): void {
    this.#progress.resolve()
    this.#progress = Promise.withResolvers()
  }

  /** The next block has come, or a request has ended. */
  get progress(): Promise<void> {
    return this.#progress.promise
  }

  /** What to ask a holder for next: what nobody is asked for, or else what just one other is, for longest. */
  next({ peer, cids }: Holder, most: number): Pick<Request, 'cids' | 'again'> {
    const asked = new Map<CidText, Request[]>()
    for (const request of this.requests) {
      for (const cid of request.cids) asked.set(cid, [...(asked.get(cid) ?? []), request])
    }
    const wanted = this.missing().filter((cid) => cids.has(cid))
    const fresh = wanted.filter((cid) => !asked.has(cid)).slice(0, most)
    if (fresh.length > 0) return { cids: fresh, again: undefined }
    let oldest: { cid: CidText; request: Request } | undefined
    for (const cid of wanted) {
      const [request, second] = asked.get(cid) ?? []
      if (!request || second || request.peer === peer) continue
      if (!oldest || request.startedMs < oldest.request.startedMs) oldest = { cid, request }
    }
    return { cids: oldest ? [oldest.cid] : [], again: oldest?.request }
  }
}

/** A holder that needs so many times as long for a block as another is overtaken. */
const PATIENCE = 2
/** Whether another is about to send a block is looked at again after so long at the soonest. */
const LOOK_MS = 10

/**
 * How long to wait for a block that another was asked for, rather than to ask for it once more: what comes twice takes from
 * what comes next.
 * @param blockMs what who might be asked needs for a block.
 */
function patienceMs(
  { startedMs, progress, cids, abreast }: Request,
  wanted: CidText,
  blockMs: number,
  nowMs: number,
): number {
  const spentMs = nowMs - startedMs
  if (progress === 0) return PATIENCE * blockMs * cids.length - spentMs
  const left = cids.indexOf(wanted) + 1 - progress
  if (left < 0) return 0 // it has left that one out
  // How fast it is shows when it has had the time for a block: before, what it was asked for besides may have had its turn.
  const turnMs = abreast * blockMs - spentMs
  if (turnMs > 0) return Math.max(LOOK_MS, turnMs)
  // As it has sent so far, it goes on; one that stops is slower each time that it is looked at.
  const leftMs = (spentMs * left) / progress
  return leftMs <= PATIENCE * blockMs ? Math.max(LOOK_MS, leftMs) : 0
}

export class BlockFetcher {
  readonly #options: BlockFetcherOptions
  /** Nodes that sent wrong bytes: not asked again in this session. */
  readonly #liars = new Map<NodeId, string>()
  /** Of those who are asked for something: for how much, and when something came last. */
  readonly #senders = new Map<NodeId, { requests: number; movedMs: number }>()

  constructor(options: BlockFetcherOptions) {
    this.#options = options
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
    const { passed, stalled } = batch
    let pauses = 0
    let certain = false
    for (let round = 0; round < limits.FETCH_ROUNDS && batch.missing().length > 0; ) {
      options.signal?.throwIfAborted()
      const { holders, silent } = await this.#holders(batch)
      if (holders.length > 0) {
        await this.#fetchFrom(batch, holders)
        continue
      }
      // Whoever is said to have it has to have answered too.
      const asked = (options.hints ?? []).every((peer) => peers().includes(peer))
      certain = asked && silent === 0 && stalled.size === 0 && !mayReturn()
      passed.clear()
      stalled.clear()
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
  async #holders(batch: Batch): Promise<{ holders: Holder[]; silent: number }> {
    const { peers, findProviders } = this.#options
    const { passed, options } = batch
    const cids = batch.missing()
    const welcome = (peer: NodeId) => !this.#liars.has(peer) && !passed.has(peer)
    const connected = peers().filter(welcome)
    const hinted = (options.hints ?? []).filter((peer) => connected.includes(peer))
    if (hinted.length > 0) {
      return { holders: hinted.map((peer) => ({ peer, cids: new Set(cids) })), silent: 0 }
    }
    const found = await this.#ask(connected, cids)
    const [first] = cids
    if (found.holders.length > 0 || first === undefined) return found
    const signal = options.signal ?? new AbortController().signal
    const more = await this.#ask((await findProviders(first, signal)).filter(welcome), cids)
    return { holders: more.holders, silent: found.silent + more.silent }
  }

  /** Settles when enough have them all, or when everybody has answered: nobody waits for the mute without need. */
  async #ask(
    peers: readonly NodeId[],
    cids: readonly CidText[],
  ): Promise<{ holders: Holder[] /** Peers that have not answered. */; silent: number }> {
    const { rpc, clock, log } = this.#options
    const holders: Holder[] = []
    let silent = peers.length
    const { promise: complete, resolve } = Promise.withResolvers<void>()
    const answers = peers.map(async (peer) => {
      try {
        const held = await rpc.call(peer, 'blocks.have', { cids: [...cids] })
        silent--
        const holder = { peer, cids: new Set(cids.filter((_cid, i) => held[i] === 1)) }
        if (holder.cids.size > 0) holders.push(holder)
        if (holder.cids.size < cids.length) return
        if (cids.length === 1 || holders.length >= limits.FETCH_SOURCES) resolve()
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
        awaited = { cid: wanted, untilMs: startedMs + Math.max(LOOK_MS, PATIENCE * blockMs * again.cids.length) }
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
      const answered = await this.#request(request, options, (cid, bytes, wanted) => {
        sent++
        batch.take(cid, bytes, wanted, request)
      }).finally(() => {
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

  /** @returns false when it stopped in the middle: it may have what it did not send. */
  async #request(
    request: Request,
    { signal, keep }: Pick<FetchOptions, 'signal' | 'keep'>,
    onBlock: OnBlock,
  ): Promise<boolean> {
    const { peer, cids, abreast, overtaken, patience } = request
    const { rpc, clock, log } = this.#options
    const stall = new AbortController()
    let movedMs = clock.nowMs()
    const sender = this.#senders.get(peer) ?? { requests: 0, movedMs }
    this.#senders.set(peer, sender)
    sender.requests++
    // What comes over a slow link comes of one request after the other: each is given time while any of them moves.
    const stallsMs = () => {
      const turnsMs = movedMs + patience * limits.FETCH_TURN_MS
      return Math.min(Math.max(sender.movedMs, movedMs) + patience * limits.FETCH_STALL_MS, turnsMs)
    }
    // One timer for all that comes: most of it comes long before it would be late.
    const watch = (ms: number): Timer => {
      return clock.setTimer(
        () => {
          const leftMs = stallsMs() - clock.nowMs()
          if (leftMs > 0) timer = watch(leftMs)
          else stall.abort()
        },
        ms,
        'block stall',
      )
    }
    let timer = watch(patience * limits.FETCH_STALL_MS)
    const assembler: Assembler = createAssembler(cids.length)
    let progressBytes = 0
    const wanted = new Set<number>()
    const onItem = async (item: unknown) => {
      if (typeof item === 'number') {
        if (wanted.has(item) || !(item in cids)) throw new OsError('EPROTO', 'named a block that was not asked for')
        wanted.add(item)
        return
      }
      const { came, whole } = assembler.add(item)
      request.progress = assembler.progress
      progressBytes += came
      if (whole.length > 0 || progressBytes >= limits.FETCH_PROGRESS_BYTES) {
        progressBytes = 0
        movedMs = sender.movedMs = clock.nowMs()
      }
      const right = await Promise.all(whole.map(({ index, bytes }) => this.verify(cids[index] as CidText, bytes)))
      for (const [i, { index, bytes }] of whole.entries()) {
        const cid = cids[index] as CidText
        if (!right[i]) throw new OsError('EPROTO', `sent wrong bytes for block ${cid}`)
        onBlock(cid, bytes, wanted.has(index))
      }
    }
    try {
      const signals = [stall.signal, overtaken.signal, ...(signal ? [signal] : [])]
      const args = { cids: [...cids], ...(keep === 'wanted' ? { read: true } : {}) }
      await rpc.call(peer, 'blocks.get', args, { signal: AbortSignal.any(signals), onItem, abreast })
      return true
    } catch (error) {
      signal?.throwIfAborted()
      const problem = toOsError(error)
      if (problem.code === 'EPROTO') this.#liars.set(peer, problem.message)
      if (overtaken.signal.aborted) return true
      log.log('warn', 'blocks', `${shortNode(peer)} failed to serve blocks: ${errorLine(problem)}`)
      return problem.code === 'EPROTO' // whoever lies is not believed to have it either
    } finally {
      if (--sender.requests === 0) this.#senders.delete(peer)
      timer.cancel()
    }
  }
}
