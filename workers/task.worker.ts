// The worker in which a program's tasks run: locks down its own global, then speaks the task protocol over the one
// port it is given. Started by adapters/sandbox in an opaque-origin frame, as a single self-contained file and as a
// classic script: Chromium starts no module workers from blobs of opaque origins.
import { runTasks, type TaskRuntime } from '../src/syscalls/task-runtime.ts'
import { taskConsole } from './task/console.ts'
import { errorLocator } from './task/locate.ts'
import { lockDown } from './task/lockdown.ts'
import { listenTo, moduleUrl, timers as platformTimers, postTo, rejectionsReported } from './task/primordials.ts'
import { taskTimers } from './task/timers.ts'

declare const self: DedicatedWorkerGlobalScope

self.addEventListener('message', (event) => begin(event.ports[0]), { once: true })

function begin(port: MessagePort | undefined): void {
  if (!port) return
  let programUrl: string | undefined
  let runtime: TaskRuntime | undefined
  const uncaught = (event: Event, error: unknown) => {
    if (!runtime) return // it failed to start: the frame's error listener ends the worker
    event.preventDefault()
    runtime.uncaught(error)
  }
  const locator = errorLocator()
  self.addEventListener('error', (event) => {
    if (locator.take(event)) event.preventDefault()
    else uncaught(event, event.error ?? new Error(event.message))
  })
  self.addEventListener('unhandledrejection', (event) => uncaught(event, event.reason))

  const timers = taskTimers(platformTimers)
  const left = lockDown()
  if (left.length > 0) throw new Error(`cannot lock down: ${left.join(', ')}`)
  Object.assign(globalThis, timers.api, { console: taskConsole((line) => runtime?.log(line)) })

  runtime = runTasks(
    {
      post: (message, transfer) => postTo(port, message, transfer),
      onMessage: (listener) => listenTo(port, listener),
      close: () => {},
    },
    (source) => {
      programUrl = moduleUrl(source)
      return import(/* @vite-ignore */ programUrl)
    },
    {
      programUrl: () => programUrl,
      locateSyntaxError: (error) => locator.locate(error, programUrl ?? ''),
      turn: rejectionsReported,
      afterEvent: timers.clearAll,
    },
  )
}
