// The sandboxed workers of this node, by process: started when they are needed, kept for later leases of the same
// process, ended when others need the room. Above: executor.ts, lease-run.ts. Below: task-host.ts, program.ts.
import { fromUtf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Sandbox } from '../../ports/sandbox.ts'
import type { Blocks } from '../blocks/blocks.ts'
import type { Lease } from '../rpc/bodies.ts'
import { readProgram } from './program.ts'
import { type Outcome, TaskHost } from './task-host.ts'

/** Workers of one process, as its home (and nobody else) has leased its events. */
interface Pool {
  readonly domain: string
  readonly home: NodeId
  readonly kid: Kid
  source: Promise<string>
  idle: TaskHost[]
  all: Set<TaskHost>
}

/** A worker with a program in it, for one lease. */
export interface Borrowed {
  host: TaskHost
  /** Gives it back; one that is still busy is ended. */
  release(): void
}

export interface WorkerPoolsOptions {
  sandbox: Sandbox
  blocks: Blocks
  clock: Clock
  log: LogSink
}

export class WorkerPools {
  readonly #options: WorkerPoolsOptions
  /** By home, process and program: no peer can put its own program in the place of another's. */
  readonly #pools = new Map<string, Pool>()

  constructor(options: WorkerPoolsOptions) {
    this.#options = options
  }

  /** Processes that have workers, or a program in memory, here. */
  get size(): number {
    return this.#pools.size
  }

  /** Ends all workers of a process, or of all processes of that home. Idempotent. */
  drop(home: NodeId, kid?: Kid): void {
    for (const pool of this.#pools.values()) {
      if (pool.home === home && (kid === undefined || pool.kid === kid)) this.#drop(pool, 'the process has ended')
    }
  }

  close(): void {
    for (const pool of this.#pools.values()) this.#drop(pool, 'this tab is closing')
  }

  /**
   * A worker for a lease; it is ended when the lease is taken back. @returns why the program cannot run instead.
   * @throws {OsError} ECANCELED; EIO, EFBIG without the program.
   */
  async borrow(lease: Lease, home: NodeId, signal: AbortSignal): Promise<Borrowed | Outcome> {
    const pool = this.#pool(lease, home)
    const host = await this.#host(pool, lease, signal)
    if (!(host instanceof TaskHost)) return host
    const letGo = endWith(signal, host)
    const release = () => {
      letGo()
      this.#release(pool, host)
    }
    if (!signal.aborted) return { host, release }
    release()
    throw new OsError('ECANCELED', 'the event was taken back')
  }

  #drop(pool: Pool, reason: string): void {
    this.#pools.delete(pool.domain)
    for (const host of pool.all) host.kill(reason)
    this.#options.sandbox.dropDomain(pool.domain)
  }

  #pool(lease: Lease, home: NodeId): Pool {
    const { kid, programCid } = lease
    const domain = `${kid} ${home} ${programCid}`
    const known = this.#pools.get(domain)
    if (known) return known
    // Programs are single files of at most a few blocks; their size is what their leaves hold.
    const source = readProgram(this.#options.blocks, programCid, [home]).then(fromUtf8)
    const pool: Pool = { domain, home, kid, source, idle: [], all: new Set() }
    this.#pools.set(domain, pool)
    source.catch(() => {
      // the waiting event reports it; the next one tries anew
      if (this.#pools.get(domain) === pool) this.#pools.delete(domain)
    })
    return pool
  }

  async #host(pool: Pool, lease: Lease, signal: AbortSignal): Promise<TaskHost | Outcome> {
    for (let idle = pool.idle.pop(); idle; idle = pool.idle.pop()) {
      if (!idle.dead) return idle
      pool.all.delete(idle)
    }
    this.#evictIdle()
    const { sandbox, clock } = this.#options
    const source = await pool.source
    const worker = await sandbox.spawn({ domain: pool.domain, signal })
    if (this.#pools.get(pool.domain) !== pool || signal.aborted) {
      worker.terminate() // ended while it started
      throw new OsError('ECANCELED', 'the event was taken back')
    }
    const host = new TaskHost({ worker, clock, program: lease.program })
    pool.all.add(host)
    const letGo = endWith(signal, host)
    const problem = await host.load(source)
    letGo()
    if (!problem) return host
    pool.all.delete(host)
    host.kill('its program did not load')
    return problem
  }

  #release(pool: Pool, host: TaskHost): void {
    if (host.dead || host.busy || this.#pools.get(pool.domain) !== pool) {
      pool.all.delete(host)
      host.kill('no longer needed')
      return
    }
    pool.idle.push(host)
  }

  /** Idle workers of other processes make room: a worker costs memory even when it does nothing. */
  #evictIdle(): void {
    const { sandbox, log } = this.#options
    let total = 0
    for (const pool of this.#pools.values()) total += pool.all.size
    for (const pool of this.#pools.values()) {
      if (total < sandbox.slots * 2) return
      const host = pool.idle.shift()
      if (!host) continue
      pool.all.delete(host)
      host.kill('idle')
      total--
      log.log('debug', 'process', `ended an idle worker of ${pool.kid}`)
    }
  }
}

/** The worker ends when its lease is taken back. @returns how it goes on without. */
function endWith(signal: AbortSignal, host: TaskHost): () => void {
  const onAbort = () => host.kill('the event was taken back')
  signal.addEventListener('abort', onAbort, { once: true })
  return () => signal.removeEventListener('abort', onAbort)
}
