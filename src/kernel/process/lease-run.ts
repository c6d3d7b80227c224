// Runs the events of one lease, one after the other, and answers for each with a completion. A worker is given all of
// them at once, so that it need not wait for this kernel in between. Above: executor.ts. Below: worker-pools.ts,
// emitting.ts, answers.ts.
import { concat } from '../../base/bytes.ts'
import { isOsError, OsError, toOsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Data } from '../../syscalls/types.ts'
import { BlockMissing } from '../blocks/blocks.ts'
import { Staging } from '../fs/staging.ts'
import type { Dispatch } from '../io/call-server.ts'
import * as limits from '../limits.ts'
import type { Lease, LeasedEvent } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { ServeContext } from '../rpc/session.ts'
import { Answers } from './answers.ts'
import { type Completion, encodeCompletion } from './completion.ts'
import { decodeData, encodeData } from './data.ts'
import { Emitting } from './emitting.ts'
import type { Outcome } from './task-host.ts'
import type { WorkerPools } from './worker-pools.ts'

/** What a running event can do besides computing; the dispatcher (kernel/dispatch.ts) is built on it. */
export interface TaskActions {
  staging: Staging
  cwd: string
  /** Aborted when the event has ended, however that was: what it left open is closed then. */
  ended: AbortSignal
  /** Waits while the queue of the process is full. @returns the new event's id. */
  emit(task: string, data: unknown, after: string[] | null, key?: string): Promise<string>
  output(stream: 1 | 2, bytes: Uint8Array): Promise<void>
  exit(code: number): void
}

export interface LeaseRunOptions {
  lease: Lease
  context: ServeContext
  rpc: RpcNode
  clock: Clock
  pools: WorkerPools
  dispatchFor(actions: TaskActions): Dispatch
}

/** Errors of an event's calls that are remembered: as many as it may well wait for at once. */
const MAX_AWAY = 64

type Failure = Pick<Completion & { ok: false }, 'kind' | 'message'>

/** What one event has done so far. */
interface Doing {
  actions: TaskActions
  end(): void
  emitting: Emitting
  exit: number | null
  /** What its calls met lately that may be otherwise in a moment, or on another node. */
  away: string[]
}

export class LeaseRun {
  readonly #options: LeaseRunOptions

  constructor(options: LeaseRunOptions) {
    this.#options = options
  }

  /** @throws {OsError} this node's own trouble: another node may do better with what was not answered for. */
  async run(): Promise<void> {
    const { context, clock, lease } = this.#options
    const answers = new Answers(context, clock)
    try {
      for (let next = 0; next < lease.events.length; ) next = await this.#runFrom(next, answers)
    } finally {
      // Also before a trouble is told: what was completed counts.
      if (context.signal.aborted) answers.cancel()
      else await answers.flush()
    }
  }

  /** Runs what is left on one worker, as far as that lives. @returns the first event that it did not come to. */
  async #runFrom(first: number, answers: Answers): Promise<number> {
    const { lease, context, pools, dispatchFor } = this.#options
    const left = lease.events.slice(first)
    const data = await Promise.all(left.map((event) => this.#input(event)))
    const borrowed = await pools.borrow(lease, context.peer, context.signal)
    if (!('host' in borrowed)) {
      if (!borrowed.ok) await answers.add(first, failed(borrowed))
      return first + 1
    }
    try {
      const runs = left.map(({ id, task }, i) => {
        const doing = this.#begin(first + i)
        const event = { id, task, data: data[i] as Data }
        const dispatch = noting(doing, dispatchFor(doing.actions))
        const outcome = borrowed.host.run(event, { dispatch, eventMs: lease.eventMs }).finally(() => doing.end())
        return { doing, outcome }
      })
      let next = first
      for (const { doing, outcome } of runs) {
        const ended = await outcome
        context.signal.throwIfAborted()
        if (ended === undefined) break
        await answers.add(next, ended.ok ? this.#succeeded(next, doing, ended) : failed(blamed(ended, doing)))
        next++
      }
      return next
    } finally {
      borrowed.release()
    }
  }

  #begin(index: number): Doing {
    const { lease, context, rpc } = this.#options
    const event = lease.events[index] as LeasedEvent
    const room = { kid: lease.kid, event: event.id, token: event.token }
    const moreRoom = (signal: AbortSignal) => rpc.call(context.peer, 'process.room', room, { signal })
    const emitting = new Emitting(event, moreRoom, context.signal)
    const ended = new AbortController()
    const doing: Doing = {
      emitting,
      exit: null,
      away: [],
      end: () => ended.abort(),
      actions: {
        staging: new Staging(),
        cwd: lease.cwd,
        ended: ended.signal,
        emit: (task, data, after, key) => emitting.emit(task, data, after, key),
        output: async (stream, bytes) => {
          for (let at = 0; at < bytes.byteLength; at += limits.OUTPUT_PIECE_BYTES) {
            await context.item(['o', index, stream, bytes.subarray(at, at + limits.OUTPUT_PIECE_BYTES)])
          }
        },
        exit: (code) => {
          doing.exit = code
        },
      },
    }
    return doing
  }

  #succeeded(index: number, doing: Doing, { result: value, ms }: Outcome & { ok: true }): Uint8Array {
    const { lease } = this.#options
    const { emitting, exit, actions } = doing
    let result: Uint8Array
    try {
      result = encodeData(value ?? null)
    } catch (error) {
      const what = `the result of task ${lease.events[index]?.task}`
      return failed({ kind: 'threw', message: `${lease.program}: ${what}: ${toOsError(error).message}` })
    }
    return encodeCompletion({ ok: true, result, emits: emitting.emits, ops: actions.staging.ops, exit, ms })
  }

  /** @throws {OsError} EPROTO where several large ones are to be fetched at once. */
  async #input({ id, input }: LeasedEvent): Promise<Data> {
    if (input) return decodeData(input)
    if (this.#options.lease.events.length > 1) throw new OsError('EPROTO', 'events with large inputs are leased alone')
    return decodeData(await this.#pullInput(id))
  }

  async #pullInput(event: string): Promise<Uint8Array> {
    const { lease, context, rpc } = this.#options
    const parts: Uint8Array[] = []
    let size = 0
    await rpc.call(
      context.peer,
      'process.input',
      { kid: lease.kid, event },
      {
        signal: context.signal,
        onItem: (item) => {
          if (!(item instanceof Uint8Array)) throw new OsError('EPROTO', 'malformed event input')
          size += item.byteLength
          if (size > limits.MAX_COMPLETION_BYTES) throw new OsError('EPROTO', 'event input is too large')
          parts.push(item)
        },
      },
    )
    return concat(parts)
  }
}

/** Remembers what a task does not have to answer for, in case it ends the task. */
function noting({ away }: Doing, dispatch: Dispatch): Dispatch {
  return async (call, args, signal) => {
    try {
      return await dispatch(call, args, signal)
    } catch (error) {
      const passing = error instanceof BlockMissing ? !error.certain : isOsError(error, 'EHOSTUNREACH')
      if (passing && away.push((error as OsError).message) > MAX_AWAY) away.shift()
      throw error
    }
  }
}

/** A task that ended with what did not answer has not failed by itself. */
function blamed(ended: Outcome & { ok: false }, { away }: Doing): Failure {
  const passing = ended.kind === 'threw' && away.some((message) => ended.message.includes(message))
  return passing ? { kind: 'away', message: ended.message } : ended
}

function failed({ kind, message }: Failure): Uint8Array {
  return encodeCompletion({ ok: false, kind, message: message.slice(0, 8192) })
}
