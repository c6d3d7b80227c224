// One request for blocks: what comes is put together and verified, and whoever stops in the middle of it is given up.
// Above: fetch.ts. Below: assemble.ts, packing.ts, rpc.
import { errorLine, OsError, toOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import * as limits from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import { createAssembler } from './assemble.ts'
import type { CidText } from './cid.ts'
import type { FetchOptions, OnBlock, Request } from './fetch-batch.ts'
import { unpacks } from './packing.ts'

export interface BlockRequestsOptions {
  rpc: RpcNode
  clock: Clock
  log: LogSink
  verify: (cid: CidText, bytes: Uint8Array) => Promise<boolean>
  /** Told who sent what it cannot have had, and what that was. */
  lied: (peer: NodeId, what: string) => void
}

/** Whether it goes on. */
interface Watch {
  /** Aborted when nothing has come for too long. */
  stalled: AbortSignal
  /** Something has come. */
  moved(): void
  end(): void
}

export class BlockRequests {
  readonly #options: BlockRequestsOptions
  /** Of those who are asked for something: for how much, and when something came last. */
  readonly #senders = new Map<NodeId, { requests: number; movedMs: number }>()

  constructor(options: BlockRequestsOptions) {
    this.#options = options
  }

  /**
   * @param onBlock told of each block at once.
   * @returns false when it stopped in the middle: it may have what it did not send.
   * @throws {OsError} ECANCELED.
   */
  async send(
    request: Request,
    { signal, keep }: Pick<FetchOptions, 'signal' | 'keep'>,
    onBlock: OnBlock,
  ): Promise<boolean> {
    const { peer, cids, abreast, overtaken } = request
    const { rpc, log, lied } = this.#options
    const watch = this.#watch(request)
    try {
      const signals = [watch.stalled, overtaken.signal, ...(signal ? [signal] : [])]
      const args = {
        cids: [...cids],
        ...(keep === 'wanted' ? { read: true } : {}),
        ...(unpacks() ? {} : { plain: true }),
      }
      const onItem = this.#receive(request, watch, onBlock)
      await rpc.call(peer, 'blocks.get', args, { signal: AbortSignal.any(signals), onItem, abreast })
      return true
    } catch (error) {
      signal?.throwIfAborted()
      const problem = toOsError(error)
      if (problem.code === 'EPROTO') lied(peer, problem.message)
      if (overtaken.signal.aborted) return true
      log.log('warn', 'blocks', `${shortNode(peer)} failed to serve blocks: ${errorLine(problem)}`)
      return problem.code === 'EPROTO' // whoever lies is not believed to have it either
    } finally {
      watch.end()
    }
  }

  /** What comes over a slow link comes of one request after the other: each is given time while any of them moves. */
  #watch({ peer, patience }: Request): Watch {
    const { clock } = this.#options
    const stall = new AbortController()
    let movedMs = clock.nowMs()
    const sender = this.#senders.get(peer) ?? { requests: 0, movedMs }
    this.#senders.set(peer, sender)
    sender.requests++
    const stallsMs = () => {
      const turnsMs = movedMs + patience * limits.FETCH_TURN_MS
      return Math.min(Math.max(sender.movedMs, movedMs) + patience * limits.FETCH_STALL_MS, turnsMs)
    }
    // One timer for all that comes: most of it comes long before it would be late.
    const look = (): void => {
      const leftMs = stallsMs() - clock.nowMs()
      if (leftMs > 0) timer = clock.setTimer(look, leftMs, 'block stall')
      else stall.abort()
    }
    let timer: Timer = clock.setTimer(look, patience * limits.FETCH_STALL_MS, 'block stall')
    return {
      stalled: stall.signal,
      moved: () => {
        movedMs = sender.movedMs = clock.nowMs()
      },
      end: () => {
        if (--sender.requests === 0) this.#senders.delete(peer)
        timer.cancel()
      },
    }
  }

  /** @returns what is told of each item that comes. */
  #receive(request: Request, watch: Watch, onBlock: OnBlock): (item: unknown) => Promise<void> {
    const { cids } = request
    const assembler = createAssembler(cids.length)
    const wanted = new Set<number>()
    let progressBytes = 0
    return async (item) => {
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
        watch.moved()
      }
      const { verify } = this.#options
      const right = await Promise.all(whole.map(({ index, bytes }) => verify(cids[index] as CidText, bytes)))
      for (const [i, { index, bytes }] of whole.entries()) {
        const cid = cids[index] as CidText
        if (!right[i]) throw new OsError('EPROTO', `sent wrong bytes for block ${cid}`)
        onBlock(cid, bytes, wanted.has(index))
      }
    }
  }
}
