// The page's side of its kernel worker: starts it, gives it its three ports, tells it about the tab's life, and
// hosts what only a window can: RTCPeerConnections and sandbox frames. What the kernel does it does not know.
import { transfer, wrap } from 'comlink'
import { isOsError, OsError, toOsError } from '../base/errors.ts'
import { SyscallClient } from '../syscalls/client.ts'
import type { Booted, BootOptions, KernelControl, LifecycleEvent } from '../syscalls/control.ts'
import { PAGE_CALL_WINDOW } from '../syscalls/limits.ts'
import type { MessageLink } from '../syscalls/protocol.ts'
import { whenIdle } from './idle.ts'
import {
  IDLE_TIMEOUT_MS,
  LEAVE_TIMEOUT_MS,
  LOAD_RETRY_MAX_MS,
  LOAD_RETRY_MIN_MS,
  ORPHAN_USELESS_MS,
  REST_TIMEOUT_MS,
} from './limits.ts'

export interface Kernel {
  /** Calls wait in the port until the kernel listens, so it may be used at once. */
  readonly client: SyscallClient
  /** @throws {OsError} when the kernel cannot start. */
  readonly booted: Promise<Booted>
}

const SLOT_KEY = 'brittlestar.slot'

/** Call once per page. The worker is started when `when` resolves; it must not reject. */
export function startKernel(when: Promise<void> = Promise.resolve()): Kernel {
  const started = startWorker({ preferredSlot: rememberedSlot(), reloaded: isReload(), orphan: false }, when)
  const { client, terminate, tell, rtc, sandbox } = started
  const booted = started.booted.then(
    (result) => {
      rememberSlot(result.slot)
      return result
    },
    (error: unknown) => {
      terminate()
      const failure = toOsError(error, 'ENOTSUP')
      client.close(`the kernel did not start: ${failure.message}`)
      throw failure
    },
  )
  watchLifecycle(tell)
  // Back from the back/forward cache: its kernel took its leave when the page was hidden, and does not come back.
  addEventListener('pageshow', (event) => {
    if (event.persisted) location.reload()
  })
  const runs = booted.then(
    () => true,
    () => false,
  )
  when
    .then(() => hostWindowParts(rtc, sandbox))
    .then(async () => {
      if (await runs) await lookAfterOrphans(client)
    })
    .catch(reportError)
  return { client, booted }
}

type Start = Pick<BootOptions<MessagePort>, 'preferredSlot' | 'reloaded' | 'orphan'>

/** A kernel's worker, whose window parts are still to be hosted. What it is asked before `when` waits in its ports. */
function startWorker(start: Start, when = Promise.resolve()) {
  const rtc = new MessageChannel()
  const sandbox = new MessageChannel()
  const syscalls = new MessageChannel()
  const goodbye = crypto.randomUUID()
  const options: BootOptions<MessagePort> = {
    ...start,
    origin: location.origin,
    goodbye,
    rtcPort: rtc.port2,
    sandboxPort: sandbox.port2,
    syscallPort: syscalls.port2,
  }
  const client = new SyscallClient(portLink(syscalls.port1), { window: PAGE_CALL_WINDOW })
  let worker: Worker | undefined
  const load = async () => {
    worker = new Worker(new URL('../../workers/kernel.worker.ts', import.meta.url), { type: 'module', name: 'kernel' })
    const spoke = new Promise((resolve) => worker?.addEventListener('message', resolve, { once: true }))
    await Promise.race([spoke, failureOf(worker, spoke)])
    return worker
  }
  const running = when.then(async () => {
    // Ports that are given to a worker before it runs are lost with it. A slot that is opened for others is given up instead.
    const loaded = await (start.orphan ? load() : persistently(load))
    const control = wrap<KernelControl<MessagePort>>(loaded)
    const booted = control.boot(transfer(options, [rtc.port2, sandbox.port2, syscalls.port2]))
    return { control, booted: Promise.race([booted, failureOf(loaded, booted)]) }
  })
  const booted = running.then((kernel) => kernel.booted)
  const tell = async (event: LifecycleEvent) => {
    if (event === 'pagehide' && !worker) return // nobody has heard of it yet
    // A kernel that did not start has nothing to be told.
    const told = running.then(({ control }) => control.lifecycle(event)).catch(() => undefined)
    // The browser may end the worker before that has told anybody; this it sends whatever becomes of the page.
    if (event === 'pagehide') navigator.sendBeacon(`/goodbye/${goodbye}`)
    await told
  }
  return { terminate: () => worker?.terminate(), client, booted, tell, rtc: rtc.port1, sandbox: sandbox.port1 }
}

/** Slots of closed tabs of this browser are opened in the background while what is kept here waits for them. */
async function lookAfterOrphans(client: SyscallClient): Promise<void> {
  const { hostPeerConnections, isSlotWanted: wanted, keepOrphans, orphanSlots } = await windowParts()
  const start = (slot: number) => {
    const { terminate, booted, tell, rtc } = startWorker({ preferredSlot: slot, reloaded: false, orphan: true })
    const host = hostPeerConnections(rtc)
    const over = new AbortController()
    watchLifecycle(tell, over.signal)
    const close = async () => {
      over.abort()
      await Promise.race([tell('pagehide'), sleep(LEAVE_TIMEOUT_MS)])
      terminate()
      host.close()
    }
    return { booted, close }
  }
  const orphans = async () => (await orphanSlots()).filter((slot) => !(uselessUntil(slot) > Date.now()))
  const useless = (slot: number) => localStorage.setItem(uselessKey(slot), String(Date.now() + ORPHAN_USELESS_MS))
  // One page at a time: another may have opened what this one waits for.
  await navigator.locks.request('brittlestar-orphans', () =>
    keepOrphans({ client, orphans, start, wanted, useless, sleep }),
  )
}

const uselessKey = (slot: number) => `brittlestar.useless.${slot}`
const uselessUntil = (slot: number) => Number(localStorage.getItem(uselessKey(slot)))

/** Rejects when the worker's script cannot be loaded (EHOSTUNREACH), or throws before `until` (ENOTSUP); otherwise never settles. */
function failureOf(worker: Worker, until: Promise<unknown>): Promise<never> {
  const starting = new AbortController()
  // A later error of the worker is a bug: the console shows it.
  until.then(
    () => starting.abort(),
    () => undefined,
  )
  return new Promise((_, reject) => {
    const onError = (event: ErrorEvent) => {
      event.preventDefault() // it is reported in words; not in the console as well
      const thrown = event.message // of a script that was not loaded there is none
      reject(thrown ? new OsError('ENOTSUP', thrown) : new OsError('EHOSTUNREACH', 'its program could not be loaded'))
    }
    worker.addEventListener('error', onError, { signal: starting.signal })
  })
}

/** Their messages wait in the ports meanwhile, so that the prompt need not wait for this code. */
async function hostWindowParts(rtc: MessagePort, sandbox: MessagePort): Promise<void> {
  await whenIdle(IDLE_TIMEOUT_MS)
  const { hostPeerConnections, hostSandboxes, taskRuntime } = await windowParts()
  hostPeerConnections(rtc)
  hostSandboxes(sandbox, { taskRuntimeSource: async () => taskRuntime })
  // A tab goes on when the relay dies, so nothing may be left to load from it.
  await whenIdle(REST_TIMEOUT_MS)
  await persistently(() => import('../shell/engine.ts'))
  performance.mark('loaded')
}

const windowParts = () => persistently(() => import('./window-parts.ts'))

/** The relay may die in the middle of a boot: whatever is missing is asked for again until it is back. */
async function persistently<T>(load: () => Promise<T>): Promise<T> {
  for (let pauseMs = LOAD_RETRY_MIN_MS; ; pauseMs = Math.min(LOAD_RETRY_MAX_MS, pauseMs * 2)) {
    try {
      return await load()
    } catch (error) {
      if (isOsError(error, 'ENOTSUP')) throw error // it is there, and cannot run here
      // The browser has said so in the console; the status line tells that there is no relay.
      await sleep(pauseMs)
    }
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function portLink(port: MessagePort): MessageLink {
  return {
    post: (message, buffers = []) => port.postMessage(message, [...buffers]),
    onMessage: (listener) => {
      port.onmessage = (event) => listener(event.data)
    },
    close: () => port.close(),
  }
}

function rememberedSlot(): number | null {
  const text = sessionStorage.getItem(SLOT_KEY)
  const slot = text === null ? Number.NaN : Number(text)
  return Number.isSafeInteger(slot) && slot >= 0 ? slot : null
}

function rememberSlot(slot: number): void {
  sessionStorage.setItem(SLOT_KEY, String(slot))
}

/** After a reload or a step in the history the old worker may hold its slot a moment longer. */
function isReload(): boolean {
  const [entry] = performance.getEntriesByType('navigation')
  return entry instanceof PerformanceNavigationTiming && (entry.type === 'reload' || entry.type === 'back_forward')
}

/** Tells the kernel what its tab lives through; `pagehide` is its chance to say goodbye. */
function watchLifecycle(tell: (event: LifecycleEvent) => void, signal?: AbortSignal): void {
  const options = signal ? { signal } : {}
  document.addEventListener('visibilitychange', () => tell(document.hidden ? 'hidden' : 'visible'), options)
  document.addEventListener('freeze', () => tell('freeze'), options)
  document.addEventListener('resume', () => tell('resume'), options)
  addEventListener('online', () => tell('online'), options)
  addEventListener('offline', () => tell('offline'), options)
  addEventListener('pagehide', () => tell('pagehide'), options)
  if (document.hidden) tell('hidden')
}
