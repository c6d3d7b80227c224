// Blocks that are wanted together: who is asked for which, what has come, and whether to wait for somebody or to ask another as well.
// Above: fetch.ts, fetch-request.ts.
import type { NodeId } from '../../base/ids.ts'
import type { CidText } from './cid.ts'
import type { OwnBlocks } from './touched.ts'

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
  /** Gathers what `hold` has stored, and nobody else lately (`Blocks.takeBack`). */
  own?: OwnBlocks | undefined
  /** So many such batches are under way at a time (default 1): they share what may be under way over a link. */
  batches?: number
}

/** @param wanted whether the holder has sent it to another reader lately. */
export type OnBlock = (cid: CidText, bytes: Uint8Array, wanted: boolean) => void

export interface Holder {
  peer: NodeId
  cids: Set<CidText>
}

/** One request under way. */
export interface Request {
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
export class Batch {
  readonly cids: readonly CidText[]
  readonly options: FetchOptions
  readonly found = new Set<CidText>()
  readonly requests = new Set<Request>()
  /** Holders that did not deliver: asked again only when there is nobody else. */
  readonly passed = new Set<NodeId>()
  /** Of them, those that may have it all the same: they did not say that they do not. */
  readonly stalled = new Set<NodeId>()
  /** Those who were asked without having said that they hold any: what they lack says nothing of the rest. */
  readonly guessed = new Set<NodeId>()
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
/** What a holder is taken to need for a block that has sent none yet. */
const UNTRIED_BLOCK_MS = 250
/** Somebody who has not begun to send is waited for so long, where it is not known whether another would be faster. */
const SILENT_MS = 100

/** For how long altogether a block is left to whom it was asked of first. */
export function longestWaitMs({ cids }: Request, blockMs: number): number {
  return Math.max(LOOK_MS, PATIENCE * (blockMs || UNTRIED_BLOCK_MS) * cids.length)
}

/**
 * How long to wait for a block that another was asked for, rather than to ask for it once more: what comes twice takes from
 * what comes next.
 * @param triedMs what who might be asked needs for a block; 0: it has sent none yet.
 */
export function patienceMs(
  { startedMs, progress, cids, abreast }: Request,
  wanted: CidText,
  triedMs: number,
  nowMs: number,
): number {
  const spentMs = nowMs - startedMs
  if (progress === 0) return (PATIENCE * triedMs * cids.length || SILENT_MS) - spentMs
  const blockMs = triedMs || UNTRIED_BLOCK_MS
  const left = cids.indexOf(wanted) + 1 - progress
  if (left < 0) return 0 // it has left that one out
  // How fast it is shows when it has had the time for a block: before, what it was asked for besides may have had its turn.
  const turnMs = abreast * blockMs - spentMs
  if (turnMs > 0) return Math.max(LOOK_MS, turnMs)
  // As it has sent so far, it goes on; one that stops is slower each time that it is looked at.
  const leftMs = (spentMs * left) / progress
  return leftMs <= PATIENCE * blockMs ? Math.max(LOOK_MS, leftMs) : 0
}
