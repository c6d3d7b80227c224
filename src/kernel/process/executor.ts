// Runs leases for any home, this node's or another's: bounded by the node's slots, one worker per lease that runs. It
// knows nothing of journals; its answers are completions. Above: kernel.ts. Below: lease-run.ts, worker-pools.ts.
import { toOsError } from '../../base/errors.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Sandbox } from '../../ports/sandbox.ts'
import type { Blocks } from '../blocks/blocks.ts'
import type { Dispatch } from '../io/call-server.ts'
import type { Lease } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { ServeContext } from '../rpc/session.ts'
import { LeaseRun, type TaskActions } from './lease-run.ts'
import { WorkerPools } from './worker-pools.ts'

export interface ExecutorOptions {
  sandbox: Sandbox
  blocks: Blocks
  rpc: RpcNode
  clock: Clock
  log: LogSink
  dispatchFor(actions: TaskActions): Dispatch
  onLoad(): void
}

export class Executor {
  readonly #options: ExecutorOptions
  readonly #pools: WorkerPools
  readonly #queue: (() => void)[] = []
  #running = 0

  constructor(options: ExecutorOptions) {
    this.#options = options
    this.#pools = new WorkerPools(options)
    options.rpc.handle('process.execute', async (lease, context) => {
      await this.#execute(lease, context)
      return null
    })
    options.rpc.onNote('process.ended', (peer, { kid }) => this.drop(peer, kid))
  }

  /** Leases that are worked on now. */
  get running(): number {
    return this.#running
  }

  /** Processes that have workers, or a program in memory, here. */
  get domains(): number {
    return this.#pools.size
  }

  /** Ends all workers of a process, or of all processes of that home. Idempotent. */
  drop(home: NodeId, kid?: Kid): void {
    this.#pools.drop(home, kid)
  }

  close(): void {
    this.#pools.close()
  }

  async #execute(lease: Lease, context: ServeContext): Promise<void> {
    await this.#slot(context.signal)
    try {
      await new LeaseRun({ ...this.#options, lease, context, pools: this.#pools }).run()
    } finally {
      // The slot goes straight to who waits longest; nobody can slip in between.
      const next = this.#queue.shift()
      if (next) next()
      else this.#running--
      this.#options.onLoad()
    }
  }

  async #slot(signal: AbortSignal): Promise<void> {
    const { sandbox, onLoad } = this.#options
    if (this.#running < sandbox.slots) this.#running++
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
    onLoad()
  }
}
