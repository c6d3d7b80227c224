// One sandbox worker with one program in it, which handles the events that it is given one after the other. The other side is hostile: each
// message is validated, counted and bounded, and the worker is ended when it breaks the rules.
//
// States: starting → loading → idle ⇄ running → dead. Only this class moves them; `kill` works from any.
import * as v from 'valibot'
import { errorLine, OsError } from '../../base/errors.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { SandboxWorker } from '../../ports/sandbox.ts'
import { MAX_CALLS_IN_FLIGHT } from '../../syscalls/limits.ts'
import { messagesOf, type TaskCommand, type TaskMessage, taskMessage } from '../../syscalls/protocol.ts'
import type { Data, TaskEvent } from '../../syscalls/types.ts'
import { CallServer, type Dispatch } from '../io/call-server.ts'
import { MAX_TASK_MESSAGES_PER_S, MAX_UNANSWERED_MESSAGES } from '../limits.ts'
import { graceMs } from './pace.ts'

export type Outcome =
  /** `ms`: how long it ran. */
  | { ok: true; result: Data; ms: number }
  | { ok: false; kind: 'threw' | 'program' | 'killed' | 'crashed'; message: string }

/** A program's module must have run within this time: a loop at its top level is an endless loop too. */
const LOAD_TIMEOUT_MS = 30_000

/** An event that the worker has been given. */
interface Given {
  readonly id: string
  readonly task: string
  readonly dispatch: Dispatch
  readonly eventMs: number
  settle(outcome: Outcome | undefined): void
}

export class TaskHost {
  readonly #worker: SandboxWorker
  readonly #clock: Clock
  readonly #name: string
  readonly #calls: CallServer
  #loaded: ((outcome: Outcome | undefined) => void) | undefined
  /** In the order in which the worker handles them: the first runs. */
  readonly #given: Given[] = []
  /** What it is given in this turn. */
  readonly #ready: TaskEvent[] = []
  /** When the first began. */
  #beganMs = 0
  #watchdog: Timer | undefined
  #pings = 0
  #windowStartMs = 0
  #windowCount = 0
  /** Messages since the task last showed that it takes ours. */
  #unanswered = 0
  #floodPing = 0
  #dead: Outcome | undefined

  constructor(options: { worker: SandboxWorker; clock: Clock; program: string }) {
    this.#worker = options.worker
    this.#clock = options.clock
    this.#name = options.program
    this.#calls = new CallServer(
      (message, transfer) => this.#worker.post(message, transfer),
      (call, args, signal) => {
        const [running] = this.#given
        if (!running) throw new OsError('EPERM', 'calls are only possible while an event is handled')
        return running.dispatch(call, args, signal)
      },
    )
    this.#worker.onMessage((message) => this.#receive(message))
    this.#worker.onExit((reason) => this.#die({ ok: false, kind: 'crashed', message: `its worker died: ${reason}` }))
  }

  get dead(): boolean {
    return this.#dead !== undefined
  }

  /** It handles events. */
  get busy(): boolean {
    return this.#given.length > 0
  }

  /** @returns undefined when the program is ready, else why not. */
  load(source: string): Promise<Outcome | undefined> {
    if (this.#dead) return Promise.resolve(this.#dead)
    return new Promise((resolve) => {
      this.#watchdog = this.#clock.setTimer(
        () => this.kill(`${this.#name} did not finish loading within ${LOAD_TIMEOUT_MS / 1000} s: an endless loop?`),
        LOAD_TIMEOUT_MS,
        'program load',
      )
      this.#loaded = (outcome) => {
        this.#loaded = undefined
        this.#watchdog?.cancel()
        resolve(outcome)
      }
      this.#post({ t: 'load', name: this.#name, source })
    })
  }

  /**
   * Handles an event after those that were given before. Never rejects: whatever happens is an outcome; undefined: the
   * worker ended before it came to it.
   */
  run({ id, task, data }: TaskEvent, options: { dispatch: Dispatch; eventMs: number }): Promise<Outcome | undefined> {
    if (this.#dead) return Promise.resolve(this.#dead)
    return new Promise((resolve) => {
      this.#given.push({ id, task, ...options, settle: resolve })
      if (this.#given.length === 1) this.#begin()
      this.#postSoon({ id, task, data })
    })
  }

  /** With whatever else it is given in this turn. */
  #postSoon(event: TaskEvent): void {
    this.#ready.push(event)
    if (this.#ready.length > 1) return
    queueMicrotask(() => {
      if (!this.#dead) this.#post({ t: 'run', events: this.#ready.splice(0) })
    })
  }

  /** The worker comes to the first of those that it was given. */
  #begin(): void {
    this.#beganMs = this.#clock.nowMs()
    this.#watch((this.#given[0] as Given).eventMs)
  }

  /** What the worker says of an event, if that is the one that runs. Messages keep their order: the next one's come after. */
  #settle(id: string, outcome: Outcome): void {
    const [running] = this.#given
    if (running?.id !== id) return
    this.#given.shift()
    this.#watchdog?.cancel()
    this.#onPong = () => undefined // a late answer must not wind up the watchdog of an idle worker
    this.#calls.abort('the event has ended')
    if (this.#given.length > 0) this.#begin()
    running.settle(outcome)
  }

  /** Ends the worker at once. Idempotent. */
  kill(message: string): void {
    this.#die({ ok: false, kind: 'killed', message })
  }

  /** A handler may compute for long, as long as its runtime still answers now and then. */
  #watch(eventMs: number): void {
    const check = () => {
      const asked = ++this.#pings
      this.#post({ t: 'ping', n: asked })
      this.#watchdog = this.#clock.setTimer(
        () => {
          const task = this.#given[0]?.task ?? 'a task'
          const limit = `${Math.round(eventMs / 100) / 10} s`
          this.kill(`task ${task} has not answered for ${limit}: an endless loop? (run --timeout SECONDS allows more)`)
        },
        graceMs(eventMs),
        'task ping',
      )
    }
    this.#watchdog = this.#clock.setTimer(check, eventMs, 'task watchdog')
    this.#onPong = () => {
      this.#watchdog?.cancel()
      this.#watchdog = this.#clock.setTimer(check, eventMs, 'task watchdog')
    }
  }

  #onPong: () => void = () => undefined

  #post(command: TaskCommand): void {
    this.#worker.post(command)
  }

  #receive(raw: unknown): void {
    if (this.#dead) return
    try {
      for (const each of messagesOf(raw)) {
        this.#count()
        const parsed = v.safeParse(taskMessage, each)
        if (!parsed.success) throw new OsError('EPROTO', 'it sent a malformed message to the kernel')
        this.#accept(parsed.output)
      }
    } catch (error) {
      this.kill(`${this.#name} broke the task protocol: ${errorLine(error)}`)
    }
  }

  #accept(message: TaskMessage): void {
    switch (message.t) {
      case 'ready':
        return
      case 'loaded':
        return this.#loaded?.(undefined)
      case 'load-failed':
        return this.#loaded?.({ ok: false, kind: 'program', message: this.#located(message) })
      case 'done': {
        const ms = this.#clock.nowMs() - this.#beganMs
        return this.#settle(message.id, { ok: true, result: message.result, ms })
      }
      case 'failed':
        return this.#settle(message.id, { ok: false, kind: 'threw', message: this.#located(message) })
      case 'pong':
        if (message.n >= this.#floodPing) this.#unanswered = 0
        if (message.n === this.#pings) this.#onPong()
        return
      case 'call':
      case 'cancel':
        this.#calls.serve(message)
    }
  }

  /** `program.js:12:5: TypeError: …`: where in the user's own source. */
  #located(problem: { message: string; line?: number | undefined; column?: number | undefined }): string {
    if (problem.line === undefined) return `${this.#name}: ${problem.message}`
    const column = problem.column === undefined ? '' : `:${problem.column}`
    return `${this.#name}:${problem.line}${column}: ${problem.message}`
  }

  #count(): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#windowStartMs > 1_000) {
      this.#windowStartMs = nowMs
      this.#windowCount = 0
    }
    if (++this.#windowCount > MAX_TASK_MESSAGES_PER_S) {
      throw new OsError('EPROTO', `more than ${MAX_TASK_MESSAGES_PER_S} messages a second`)
    }
    // A task that sends without ever taking an answer fills this kernel's queue, however fast we empty it.
    this.#unanswered++
    if (this.#unanswered === MAX_CALLS_IN_FLIGHT) {
      this.#floodPing = ++this.#pings
      this.#post({ t: 'ping', n: this.#floodPing })
    } else if (this.#unanswered > MAX_UNANSWERED_MESSAGES) {
      throw new OsError('EPROTO', `flooding: ${MAX_UNANSWERED_MESSAGES} messages without taking an answer`)
    }
  }

  #die(outcome: Outcome): void {
    if (this.#dead) return
    this.#dead = outcome
    this.#watchdog?.cancel()
    this.#worker.terminate()
    this.#calls.abort('the task was ended')
    this.#loaded?.(outcome)
    const [running, ...others] = this.#given.splice(0)
    running?.settle(outcome)
    for (const each of others) each.settle(undefined)
  }
}
