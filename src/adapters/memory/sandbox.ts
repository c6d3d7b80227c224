// A sandbox without walls: runs the real task runtime in this very thread, for tests and the simulator. Messages
// take a timer of the clock, so that order and cancellation are as with real workers.
import { OsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Sandbox, SandboxWorker } from '../../ports/sandbox.ts'
import type { MessageLink } from '../../syscalls/protocol.ts'
import { type LoadProgram, runTasks } from '../../syscalls/task-runtime.ts'

const HOP_MS = 0.05

/** Every host has it; the folders without the DOM library do not know. */

export class MemorySandbox implements Sandbox {
  readonly slots: number
  readonly #clock: Clock
  readonly #load: LoadProgram
  readonly #domains = new Map<string, Set<SandboxWorker>>()
  #closed = false

  constructor(options: { clock: Clock; slots: number; load: LoadProgram }) {
    this.#clock = options.clock
    this.slots = options.slots
    this.#load = options.load
  }

  async spawn({ domain, signal }: { domain: string; signal: AbortSignal }): Promise<SandboxWorker> {
    await new Promise<void>((resolve) => this.#clock.setTimer(resolve, HOP_MS, 'worker starts'))
    if (signal.aborted) throw new OsError('ECANCELED', 'the worker is no longer wanted')
    if (this.#closed) throw new OsError('ENOTSUP', 'the sandbox is closed')
    const worker = this.#start()
    const workers = this.#domains.get(domain) ?? new Set()
    this.#domains.set(domain, workers)
    workers.add(worker)
    return worker
  }

  dropDomain(domain: string): void {
    for (const worker of this.#domains.get(domain) ?? []) worker.terminate()
    this.#domains.delete(domain)
  }

  close(): void {
    this.#closed = true
    for (const domain of [...this.#domains.keys()]) this.dropDomain(domain)
  }

  #start(): SandboxWorker {
    let dead = false
    let toKernel: ((message: unknown) => void) | undefined
    let toTask: ((message: unknown) => void) | undefined
    const early: unknown[] = []
    const hop = (deliver: () => void) => void this.#clock.setTimer(() => !dead && deliver(), HOP_MS, 'task message')
    const link: MessageLink = {
      post: (message, transfer) => {
        const copy = structuredClone(message, { transfer: transfer ?? [] })
        hop(() => (toKernel ? toKernel(copy) : early.push(copy)))
      },
      onMessage: (listener) => {
        toTask = listener
      },
      close: () => undefined,
    }
    runTasks(link, this.#load)
    return {
      post: (message, transfer) => {
        const copy = structuredClone(message, { transfer: transfer ?? [] })
        hop(() => toTask?.(copy))
      },
      onMessage: (listener) => {
        toKernel = listener
        for (const message of early.splice(0)) listener(message)
      },
      onExit: () => undefined,
      terminate: () => {
        dead = true
      },
    }
  }
}
