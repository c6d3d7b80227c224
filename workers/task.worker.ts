// The worker in which a program's tasks run: locks down its own global, then speaks the task protocol over the one
// port it is given. Started by adapters/sandbox in an opaque-origin frame, as a single self-contained file.
import { runTasks, type TaskRuntime } from '../src/syscalls/task-runtime.ts'
import { taskConsole } from './task/console.ts'
import { lockDown } from './task/lockdown.ts'
import { listenTo, moduleUrl, nextTask, platform, postTo } from './task/primordials.ts'
import { locateSyntaxError } from './task/syntax.ts'
import { taskTimers } from './task/timers.ts'

declare const self: DedicatedWorkerGlobalScope

self.addEventListener('message', (event) => begin(event.ports[0]), { once: true })

function begin(port: MessagePort | undefined): void {
  if (!port) return
  let programUrl: string | undefined
  let runtime: TaskRuntime | undefined
  const uncaught = (event: Event, error: unknown) => {
    event.preventDefault()
    runtime?.uncaught(error)
  }
  self.addEventListener('error', (event) => uncaught(event, event.error ?? new Error(event.message)))
  self.addEventListener('unhandledrejection', (event) => uncaught(event, event.reason))

  const timers = taskTimers(platform.timers)
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
    { programUrl: () => programUrl, locateSyntaxError, turn: nextTask, afterEvent: timers.clearAll },
  )
}
