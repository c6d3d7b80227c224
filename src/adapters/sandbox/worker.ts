// The kernel worker's half of the sandbox: implements ports/sandbox.ts. Makes each task's MessageChannel and sends
// one end through the frame into the worker; nobody in between keeps it. Below: frame.ts, by way of page.ts.
//
// A worker is starting → running → gone (terminated here, or exited by itself).
import { OsError } from '../../base/errors.ts'
import type { Sandbox, SandboxWorker } from '../../ports/sandbox.ts'
import {
  FRAME_MISSED_PINGS,
  FRAME_PING_MS,
  MAX_EARLY_MESSAGES,
  MAX_WORKERS_PER_FRAME,
  SPAWN_TIMEOUT_MS,
} from './limits.ts'
import type { FromFrame, FromPage, ToFrame, ToPage } from './messages.ts'

export interface SandboxOptions {
  /** Workers that can usefully compute at once; the machine's logical processors unless told. */
  slots?: number
  spawnTimeoutMs?: number
  framePingMs?: number
}

/** @param port to the page's `hostSandboxes`. */
export function createSandbox(port: MessagePort, options: SandboxOptions = {}): Sandbox {
  const domains = new Map<string, Domain>()
  const byNumber = new Map<number, Domain>()
  let lastNumber = 0
  let closed = false

  port.onmessage = (event: MessageEvent<FromPage>) => {
    const domain = byNumber.get(event.data.domain)
    if (domain) lose(domain, event.data.reason)
  }

  function domainOf(name: string): Domain {
    const known = domains.get(name)
    if (known) return known
    const number = ++lastNumber
    const { port1, port2 } = new MessageChannel()
    const domain = new Domain(name, number, port1, options.framePingMs ?? FRAME_PING_MS, () =>
      lose(domain, 'its frame does not answer any more'),
    )
    domains.set(name, domain)
    byNumber.set(number, domain)
    port.postMessage({ t: 'frame', domain: number } satisfies ToPage, [port2])
    return domain
  }

  /** @param reason when it ended by itself; undefined when the kernel drops it. */
  function lose(domain: Domain, reason: string | undefined): void {
    if (!byNumber.delete(domain.number)) return
    domains.delete(domain.name)
    domain.end(reason)
    port.postMessage({ t: 'drop', domain: domain.number } satisfies ToPage)
  }

  function dropDomain(name: string): void {
    const domain = domains.get(name)
    if (domain) lose(domain, undefined)
  }

  return {
    slots: options.slots ?? navigator.hardwareConcurrency ?? 1,
    async spawn({ domain: name, signal }) {
      if (closed) throw new OsError('ECANCELED', 'this sandbox is closed')
      if (signal.aborted) throw new OsError('ECANCELED', 'the spawn was cancelled before it began')
      return domainOf(name).spawn(signal, options.spawnTimeoutMs ?? SPAWN_TIMEOUT_MS)
    },
    dropDomain,
    close() {
      closed = true
      for (const name of [...domains.keys()]) dropDomain(name)
      port.close()
    },
  }
}

/** One frame and its workers, seen from the kernel. */
class Domain {
  readonly name: string
  readonly number: number
  readonly #frame: MessagePort
  readonly #workers = new Map<number, TaskWorker>()
  readonly #pings: ReturnType<typeof setInterval>
  #missed = 0
  #lastId = 0

  constructor(name: string, number: number, frame: MessagePort, pingMs: number, onDead: () => void) {
    this.name = name
    this.number = number
    this.#frame = frame
    frame.onmessage = ({ data }: MessageEvent<FromFrame>) => {
      if (data.t === 'pong') this.#missed = 0
      else this.#workers.get(data.id)?.exited(data.reason)
    }
    // Missed pings are counted, not time: this tab may itself have been frozen.
    this.#pings = setInterval(() => {
      if (this.#workers.size === 0) return
      if (++this.#missed > FRAME_MISSED_PINGS) return onDead()
      frame.postMessage({ t: 'ping' } satisfies ToFrame)
    }, pingMs)
  }

  async spawn(signal: AbortSignal, timeoutMs: number): Promise<SandboxWorker> {
    if (this.#workers.size >= MAX_WORKERS_PER_FRAME) {
      throw new OsError('EAGAIN', `this process has ${MAX_WORKERS_PER_FRAME} workers here already`)
    }
    const id = ++this.#lastId
    const { port1, port2 } = new MessageChannel()
    const worker = new TaskWorker(port1, () => {
      if (this.#workers.delete(id)) this.#frame.postMessage({ t: 'terminate', id } satisfies ToFrame)
    })
    this.#workers.set(id, worker)
    this.#frame.postMessage({ t: 'spawn', id } satisfies ToFrame, [port2])
    await worker.started(signal, timeoutMs)
    return worker
  }

  /** @param reason when it was lost; undefined when the kernel dropped it. */
  end(reason: string | undefined): void {
    for (const worker of [...this.#workers.values()]) {
      if (reason === undefined) worker.terminate()
      else worker.exited(reason)
    }
    clearInterval(this.#pings)
    this.#frame.close()
  }
}

class TaskWorker implements SandboxWorker {
  readonly #port: MessagePort
  readonly #onGone: () => void
  readonly #early: unknown[] = []
  #listener: ((message: unknown) => void) | undefined
  #exitListener: ((reason: string) => void) | undefined
  #exitReason: string | undefined
  #gone = false
  #onFirst: () => void = () => {}
  #onFailed: (error: OsError) => void = () => {}

  constructor(port: MessagePort, onGone: () => void) {
    this.#port = port
    this.#onGone = onGone
    port.onmessage = (event) => this.#receive(event.data)
  }

  /** Resolves with the first message: the runtime says that it is ready. */
  async started(signal: AbortSignal, timeoutMs: number): Promise<void> {
    const fail = (error: OsError) => this.#onFailed(error)
    const onAbort = () => fail(new OsError('ECANCELED', 'the spawn was cancelled'))
    const timer = setTimeout(() => {
      fail(new OsError('ETIMEDOUT', `a sandbox worker did not start within ${timeoutMs} ms`))
    }, timeoutMs)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await new Promise<void>((resolve, reject) => {
        this.#onFirst = resolve
        this.#onFailed = reject
      })
    } catch (error) {
      this.terminate()
      throw error
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
  }

  post(message: unknown, transfer?: readonly ArrayBuffer[]): void {
    if (!this.#gone) this.#port.postMessage(message, [...(transfer ?? [])])
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#listener = listener
    for (const message of this.#early.splice(0)) if (!this.#gone) listener(message)
  }

  onExit(listener: (reason: string) => void): void {
    this.#exitListener = listener
    if (this.#exitReason !== undefined) listener(this.#exitReason)
  }

  terminate(): void {
    if (this.#gone) return
    this.#leave()
    this.#onFailed(new OsError('ECANCELED', 'the worker was terminated while it started'))
  }

  exited(reason: string): void {
    if (this.#gone) return
    this.#leave()
    this.#exitReason = reason
    this.#onFailed(new OsError('ENOTSUP', `cannot start a sandbox worker: ${reason}`))
    this.#exitListener?.(reason)
  }

  #receive(message: unknown): void {
    if (this.#gone) return
    this.#onFirst()
    if (this.#listener) this.#listener(message)
    else if (this.#early.length < MAX_EARLY_MESSAGES) this.#early.push(message)
    else this.exited('it flooded the kernel before anybody listened')
  }

  #leave(): void {
    this.#gone = true
    this.#port.onmessage = null
    this.#port.close()
    this.#early.length = 0
    this.#onGone()
  }
}
