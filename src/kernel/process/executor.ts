// Runs events for any home, this node's or another's: bounded by the node's slots, one worker per running event,
// reused for later events of the same process. It knows nothing of journals; its answer is a completion.
import { concat, fromUtf8 } from '../../base/bytes.ts'
import { OsError, toOsError } from '../../base/errors.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Sandbox } from '../../ports/sandbox.ts'
import { MAX_PROGRAM_BYTES } from '../../syscalls/limits.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { allCids, DagReader, rootSize } from '../fs/dag.ts'
import { Staging } from '../fs/staging.ts'
import type { Dispatch } from '../io/call-server.ts'
import * as limits from '../limits.ts'
import type { Lease } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { ServeContext } from '../rpc/session.ts'
import { type Completion, encodeCompletion } from './completion.ts'
import { decodeData, encodeData } from './data.ts'
import { Emitting } from './emitting.ts'
import { type Outcome, TaskHost } from './task-host.ts'

/** What a running event can do besides computing; the dispatcher (kernel/dispatch.ts) is built on it. */
export interface TaskActions {
  staging: Staging
  cwd: string
  /** Waits while the queue of the process is full. @returns the new event's id. */
  emit(task: string, data: unknown, after: string[] | null, key?: string): Promise<string>
  output(stream: 1 | 2, bytes: Uint8Array): Promise<void>
  exit(code: number): void
}

/** Workers of one process, as its home (and nobody else) has leased its events. */
interface Pool {
  readonly domain: string
  readonly home: NodeId
  readonly kid: Kid
  source: Promise<string>
  idle: TaskHost[]
  all: Set<TaskHost>
}

export class Executor {
  readonly #sandbox: Sandbox
  readonly #blocks: Blocks
  readonly #rpc: RpcNode
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #dispatchFor: (actions: TaskActions) => Dispatch
  readonly #onLoad: () => void
  /** By home, process and program: no peer can put its own program in the place of another's. */
  readonly #pools = new Map<string, Pool>()
  readonly #queue: (() => void)[] = []
  #running = 0

  constructor(options: {
    sandbox: Sandbox
    blocks: Blocks
    rpc: RpcNode
    clock: Clock
    log: LogSink
    dispatchFor: (actions: TaskActions) => Dispatch
    onLoad: () => void
  }) {
    this.#sandbox = options.sandbox
    this.#blocks = options.blocks
    this.#rpc = options.rpc
    this.#clock = options.clock
    this.#log = options.log
    this.#dispatchFor = options.dispatchFor
    this.#onLoad = options.onLoad
    this.#rpc.handle('process.execute', async (lease, context) => {
      await this.#execute(lease, context)
      return null
    })
    this.#rpc.onNote('process.ended', (peer, { kid }) => this.drop(peer, kid))
  }

  /** Events running now. */
  get running(): number {
    return this.#running
  }

  /** Processes that have workers, or a program in memory, here. */
  get domains(): number {
    return this.#pools.size
  }

  /** Ends all workers of a process, or of all processes of that home. Idempotent. */
  drop(home: NodeId, kid?: Kid): void {
    for (const pool of this.#pools.values()) {
      if (pool.home === home && (kid === undefined || pool.kid === kid)) this.#dropPool(pool, 'the process has ended')
    }
  }

  close(): void {
    for (const pool of this.#pools.values()) this.#dropPool(pool, 'this tab is closing')
  }

  #dropPool(pool: Pool, reason: string): void {
    this.#pools.delete(pool.domain)
    for (const host of pool.all) host.kill(reason)
    this.#sandbox.dropDomain(pool.domain)
  }

  async #execute(lease: Lease, context: ServeContext): Promise<void> {
    await this.#slot(context.signal)
    const startedMs = this.#clock.nowMs()
    try {
      const completion = await this.#complete(lease, context, startedMs)
      context.signal.throwIfAborted()
      const bytes = encodeCompletion(completion)
      for (let at = 0; at < bytes.byteLength; at += limits.ITEM_BYTES) {
        await context.item(['c', bytes.subarray(at, at + limits.ITEM_BYTES)])
      }
    } finally {
      // The slot goes straight to who waits longest; nobody can slip in between.
      const next = this.#queue.shift()
      if (next) next()
      else this.#running--
      this.#onLoad()
    }
  }

  async #slot(signal: AbortSignal): Promise<void> {
    if (this.#running < this.#sandbox.slots) this.#running++
    else {
      await new Promise<void>((resolve, reject) => {
        this.#queue.push(resolve)
        signal.addEventListener(
          'abort',
          () => {
            const at = this.#queue.indexOf(resolve)
            if (at < 0) return
            this.#queue.splice(at, 1)
            reject(toOsError(signal.reason, 'ECANCELED'))
          },
          { once: true },
        )
      })
    }
    this.#onLoad()
  }

  async #complete(lease: Lease, context: ServeContext, startedMs: number): Promise<Completion> {
    const emitting = new Emitting(lease, (signal) => this.#moreRoom(lease, context.peer, signal), context.signal)
    const staging = new Staging()
    let exit: number | null = null
    const actions: TaskActions = {
      staging,
      cwd: lease.cwd,
      emit: (task, data, after, key) => emitting.emit(task, data, after, key),
      output: async (stream, bytes) => {
        for (let at = 0; at < bytes.byteLength; at += limits.OUTPUT_PIECE_BYTES) {
          await context.item(['o', stream, bytes.subarray(at, at + limits.OUTPUT_PIECE_BYTES)])
        }
      },
      exit: (code) => {
        exit = code
      },
    }
    try {
      const outcome = await this.#run(lease, actions, context)
      if (!outcome.ok) return { ok: false, kind: outcome.kind, message: outcome.message.slice(0, 8192) }
      const result = encodeData(outcome.result ?? null)
      return { ok: true, result, emits: emitting.emits, ops: staging.ops, exit, ms: this.#clock.nowMs() - startedMs }
    } catch (error) {
      context.signal.throwIfAborted()
      const problem = toOsError(error)
      // The node's own trouble (no sandbox, no program block) is not the event's fault: another node may do better.
      if (problem.code !== 'EINVAL' && problem.code !== 'EFBIG') throw problem
      return {
        ok: false,
        kind: 'threw',
        message: `${lease.program}: the result of task ${lease.event.task}: ${problem.message}`,
      }
    }
  }

  #moreRoom({ kid, event, token }: Lease, home: NodeId, signal: AbortSignal): Promise<number> {
    return this.#rpc.call(home, 'process.room', { kid, event: event.id, token }, { signal })
  }

  async #run(lease: Lease, actions: TaskActions, context: ServeContext): Promise<Outcome> {
    const data = decodeData(lease.input ?? (await this.#pullInput(lease, context)))
    const pool = this.#pool(lease, context.peer)
    const host = await this.#host(pool, lease, context.signal)
    if (!(host instanceof TaskHost)) return host
    if (context.signal.aborted) {
      this.#release(pool, host)
      context.signal.throwIfAborted()
    }
    const onAbort = () => host.kill('the event was taken back')
    context.signal.addEventListener('abort', onAbort, { once: true })
    const { id, task } = lease.event
    const outcome = await host.run({ id, task, data }, { dispatch: this.#dispatchFor(actions), eventMs: lease.eventMs })
    context.signal.removeEventListener('abort', onAbort)
    this.#release(pool, host)
    return outcome
  }

  async #pullInput(lease: Lease, context: ServeContext): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    let size = 0
    await this.#rpc.call(
      context.peer,
      'process.input',
      { kid: lease.kid, event: lease.event.id },
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

  #pool(lease: Lease, home: NodeId): Pool {
    const { kid, programCid } = lease
    const domain = `${kid} ${home} ${programCid}`
    const known = this.#pools.get(domain)
    if (known) return known
    const source = this.#source(lease, home)
    const pool: Pool = { domain, home, kid, source, idle: [], all: new Set() }
    this.#pools.set(domain, pool)
    source.catch(() => {
      // the waiting event reports it; the next one tries anew
      if (this.#pools.get(domain) === pool) this.#pools.delete(domain)
    })
    return pool
  }

  async #source(lease: Lease, home: NodeId): Promise<string> {
    // Programs are single files of at most a few blocks; their size is what their leaves hold.
    const bytes = await readProgram(this.#blocks, lease.programCid, [home])
    return fromUtf8(bytes)
  }

  async #host(pool: Pool, lease: Lease, signal: AbortSignal): Promise<TaskHost | Outcome> {
    for (let idle = pool.idle.pop(); idle; idle = pool.idle.pop()) {
      if (!idle.dead) return idle
      pool.all.delete(idle)
    }
    this.#evictIdle()
    const source = await pool.source
    const worker = await this.#sandbox.spawn({ domain: pool.domain, signal })
    if (this.#pools.get(pool.domain) !== pool || signal.aborted) {
      worker.terminate() // ended while it started
      throw new OsError('ECANCELED', 'the event was taken back')
    }
    const host = new TaskHost({ worker, clock: this.#clock, program: lease.program })
    pool.all.add(host)
    const onAbort = () => host.kill('the event was taken back')
    signal.addEventListener('abort', onAbort, { once: true })
    const problem = await host.load(source)
    signal.removeEventListener('abort', onAbort)
    if (!problem) return host
    pool.all.delete(host)
    host.kill('its program did not load')
    return problem
  }

  #release(pool: Pool, host: TaskHost): void {
    if (host.dead || this.#pools.get(pool.domain) !== pool) {
      pool.all.delete(host)
      host.kill('no longer needed')
      return
    }
    pool.idle.push(host)
  }

  /** Idle workers of other processes make room: a worker costs memory even when it does nothing. */
  #evictIdle(): void {
    let total = 0
    for (const pool of this.#pools.values()) total += pool.all.size
    for (const pool of this.#pools.values()) {
      if (total < this.#sandbox.slots * 2) return
      const host = pool.idle.shift()
      if (!host) continue
      pool.all.delete(host)
      host.kill('idle')
      total--
      this.#log.log('debug', 'process', `ended an idle worker of ${pool.kid}`)
    }
  }
}

/** Makes sure that a program is in the local store. @throws {OsError} EFBIG, EIO, ENOSPC. */
export async function holdProgram(blocks: Blocks, cid: string, from: NodeId): Promise<void> {
  const options = { hints: [from] }
  const { byteLength: size } = await readProgram(blocks, cid, [from])
  await blocks.hold(await allCids(blocks, { cid, size }, options), options)
}

/** A program's bytes from its CID. @throws {OsError} EFBIG, EIO. */
export async function readProgram(blocks: Blocks, cid: string, hints: NodeId[]): Promise<Uint8Array> {
  const block = await blocks.get(cid, { hints })
  const size = rootSize(cid, block)
  if (size > MAX_PROGRAM_BYTES)
    throw new OsError('EFBIG', `a program is at most ${MAX_PROGRAM_BYTES} bytes, not ${size}`)
  const parts: Uint8Array[] = []
  for await (const part of new DagReader(blocks, { cid, size }, { hints }).read(0, size)) parts.push(part)
  return concat(parts)
}
