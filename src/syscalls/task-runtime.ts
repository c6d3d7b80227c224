// The life of one task worker: load a program, run its events one after the other, answer pings. Spoken over
// protocol.ts with the kernel. Host-independent: a task worker and the simulator's sandbox both run it.
//
// States: empty → loading → loaded (or dead, after a failed load). Within loaded: idle ↔ running one event.
//
// User code shares this realm. What it may do to prototypes harms only itself: the link is held in closures and
// never passes through a function that a program can replace.
import { OsError } from '../base/errors.ts'
import { type CallOptions, SyscallClient } from './client.ts'
import { assertData } from './data.ts'
import { CALL_WINDOW } from './limits.ts'
import type { MessageLink, Replies, ReplyMessage, TaskCommand, TaskMessage } from './protocol.ts'
import type { CallArgs, CallName, CallResults } from './table.ts'
import { TaskOs } from './task.ts'
import { describeFailure, type Place, type ProgramSource, type TaskFailure } from './task-error.ts'
import type { Data, TaskEvent } from './types.ts'

export type ProgramExports = Record<string, unknown>
export type LoadProgram = (source: string, name: string) => Promise<ProgramExports>

export interface TaskRuntimeOptions {
  /** How stacks name the loaded program, e.g. its blob URL. Without it failures carry no line. */
  programUrl?: () => string | undefined
  /** Where a program does not parse, if the error itself does not say. */
  locateSyntaxError?: (error: SyntaxError) => Place | undefined
  /** One turn of the host's event loop, so that it can report unhandled rejections before an event is done. */
  turn?: () => Promise<void>
  /** After each event: ends what the program left behind (timers). */
  afterEvent?: () => void
}

export interface TaskRuntime {
  /** An error that nobody caught: fails the event under way, else the load under way, else the next event. */
  uncaught(error: unknown): void
  /** A line for stderr, from `console`. Lines before the first event wait for it, up to a bound. */
  log(line: string): void
}

/** Console lines kept while no event runs: enough for a module's top level, bounded for a timer that goes on. */
const MAX_EARLY_LINES = 200

/** Tasks that a message names. */
const MAX_NAMED_TASKS = 8

/** Calls whose effects belong to the event: it is not done before they are answered, awaited or not. */
const EFFECTS: ReadonlySet<CallName> = new Set(['write', 'close', 'change', 'run', 'emit', 'signal'])

/** Starts the runtime: posts `ready` and serves commands for as long as the link lives. */
export function runTasks(link: MessageLink, load: LoadProgram, options: TaskRuntimeOptions = {}): TaskRuntime {
  const client = new SyscallClient(link, { listen: false, window: CALL_WINDOW })
  const waiting: TaskEvent[] = []
  const early: string[] = []
  let program: ProgramSource = { name: '', url: undefined }
  let tasks: ProgramExports | undefined
  let loading = false
  let running: RunningEvent | undefined
  let stray: { error: unknown } | undefined
  const send = (message: TaskMessage) => link.post(message)

  link.onMessage((message) => {
    const command = message as TaskCommand
    if (isReplies(command)) client.accept(command)
    else if (command.t === 'ping') send({ t: 'pong', n: command.n })
    else if (command.t === 'load') void loadProgram(command.source, command.name)
    else if (command.t === 'run') {
      waiting.push(...command.events)
      void runWaiting()
    }
  })
  send({ t: 'ready' })

  async function loadProgram(source: string, name: string): Promise<void> {
    if (loading) return send({ t: 'load-failed', message: `a program is loaded already: ${program.name}` })
    loading = true
    program = { name, url: undefined }
    try {
      const exports = await load(source, name)
      program = { name, url: options.programUrl?.() }
      await options.turn?.()
      if (stray) throw stray.error
      tasks = exports
      const names = Object.keys(exports).filter((key) => typeof exports[key] === 'function')
      send({ t: 'loaded', tasks: names.filter((key) => key.length <= 128).slice(0, 1024) })
    } catch (error) {
      program = { name, url: options.programUrl?.() }
      const { message, line, column } = describeFailure(error, program)
      const told = line === undefined && error instanceof SyntaxError ? options.locateSyntaxError?.(error) : undefined
      send({ t: 'load-failed', message, ...withPlace(told ?? { line, column }) })
    }
  }

  async function runWaiting(): Promise<void> {
    if (running) return
    for (;;) {
      const event = waiting.shift()
      if (!event) return
      running = new RunningEvent(client)
      if (stray) running.fail(stray.error)
      stray = undefined
      const outcome = await running.run(event, tasks, options.turn, early.splice(0))
      running = undefined
      options.afterEvent?.()
      report(event.id, outcome)
    }
  }

  function report(id: string, outcome: Outcome): void {
    if (outcome.ok) {
      try {
        return send({ t: 'done', id, result: outcome.result })
      } catch (error) {
        // In a way that assertData does not see.
        const what = 'the result cannot be copied: a Proxy cannot, but what is in it, as { ...proxy }'
        outcome = { ok: false, error: new OsError('EINVAL', what, { cause: error }) }
      }
    }
    const failure: TaskFailure = describeFailure(outcome.error, program)
    send({ t: 'failed', id, message: failure.message, stack: failure.stack, ...withPlace(failure) })
  }

  return {
    uncaught(error) {
      if (running) running.fail(error)
      else stray ??= { error }
    },
    log(line) {
      if (running) running.log(line)
      else if (early.length < MAX_EARLY_LINES) early.push(line)
    },
  }
}

function isReplies(command: TaskCommand): command is Replies {
  return Array.isArray(command) || (command as ReplyMessage).t === 'reply'
}

function withPlace({ line, column }: { line?: number | undefined; column?: number | undefined }): Place {
  return { ...(line === undefined ? {} : { line }), ...(column === undefined ? {} : { column }) }
}

type Outcome = { ok: true; result: Data } | { ok: false; error: unknown }

/** One event from its start to its outcome. */
class RunningEvent {
  readonly #client: EventClient
  readonly #os: TaskOs
  readonly #ended: Promise<Data | undefined>
  #end: (result: Data | undefined) => void = () => {}
  #failure: { error: unknown } | undefined
  #fail: (error: unknown) => void = () => {}
  /** By `os.exit`, and no more by what its handler does. */
  #exiting = false

  constructor(shared: SyscallClient) {
    this.#client = new EventClient(shared)
    this.#ended = new Promise((resolve, reject) => {
      this.#end = resolve
      this.#fail = reject
    })
    this.#ended.catch(() => {}) // it is awaited in `run`, perhaps later than it fails
    const begins = () => {
      this.#exiting = true
    }
    const ends = (failure?: { error: unknown }) => (failure ? this.#fail(failure.error) : this.#end(null))
    this.#os = new TaskOs(this.#client, { begins, ends })
  }

  fail(error: unknown): void {
    if (this.#exiting) return
    this.#failure ??= { error }
    this.#fail(error)
  }

  log(line: string): void {
    this.#os.error(line).catch((error: unknown) => this.fail(error))
  }

  async run(
    event: TaskEvent,
    tasks: ProgramExports | undefined,
    turn: (() => Promise<void>) | undefined,
    earlyLines: string[],
  ): Promise<Outcome> {
    try {
      for (const line of earlyLines) this.log(line)
      const handler = handlerOf(tasks, event.task)
      void this.#call(handler, event)
      const result = (await this.#ended) ?? null
      assertData(result, `the result of ${event.task}`)
      await this.#os.flush()
      await this.#client.effectsDone()
      await turn?.()
      return this.#failure ? { ok: false, ...this.#failure } : { ok: true, result }
    } catch (error) {
      await this.#os.flush().catch(() => {}) // what it printed before it failed helps; its failure is told anyway
      return { ok: false, error }
    } finally {
      this.#client.eventOver()
    }
  }

  async #call(handler: Handler, event: TaskEvent): Promise<void> {
    try {
      const result = await handler(event, this.#os)
      if (!this.#exiting) this.#end(result)
    } catch (error) {
      if (!this.#exiting) this.#fail(error)
    }
  }
}

type Handler = (event: TaskEvent, os: TaskOs) => Promise<Data | undefined>

function handlerOf(tasks: ProgramExports | undefined, task: string): Handler {
  if (!tasks) throw new OsError('ENOEXEC', 'no program is loaded')
  const handler = Object.hasOwn(tasks, task) ? tasks[task] : undefined
  if (typeof handler !== 'function')
    throw new OsError('ENOENT', `the program exports no task '${task}'${exported(tasks)}`)
  return handler as Handler
}

/** For whoever has misspelt it, or exported it by default. */
function exported(tasks: ProgramExports): string {
  const names = Object.keys(tasks).filter((name) => typeof tasks[name] === 'function')
  if (names.includes('default'))
    return ': tasks are exported by name, as export function start(event, os) {}, not by default'
  if (names.length === 0) return ', nor any other: export function start(event, os) {} is where it begins'
  const more = names.length > MAX_NAMED_TASKS ? ', …' : ''
  return `, but ${names.slice(0, MAX_NAMED_TASKS).join(', ')}${more}`
}

/** The calls of one event. Once the event is over they are neither made nor answered: whatever still waits stops there. */
class EventClient extends SyscallClient {
  readonly #shared: SyscallClient
  readonly #effects = new Set<Promise<unknown>>()
  #over = false

  constructor(shared: SyscallClient) {
    super({ post: () => {}, onMessage: () => {}, close: () => {} }, { listen: false })
    this.#shared = shared
  }

  override async call<K extends CallName>(
    call: K,
    args: CallArgs<K>,
    options: CallOptions = {},
  ): Promise<CallResults[K]> {
    if (this.#over) return new Promise(() => {})
    const site = new Error() // a reply arrives without the caller's stack
    const answer = this.#shared.call(call, args, { ...options, of: this })
    if (EFFECTS.has(call)) this.#track(answer)
    try {
      const value = await answer
      return this.#over ? await new Promise(() => {}) : value
    } catch (error) {
      if (this.#over) await new Promise(() => {})
      throw calledFrom(error, site)
    }
  }

  async effectsDone(): Promise<void> {
    while (this.#effects.size > 0) await Promise.allSettled([...this.#effects])
  }

  eventOver(): void {
    this.#over = true
    this.#shared.forget(this)
  }

  #track(answer: Promise<unknown>): void {
    const forget = () => {
      this.#effects.delete(answer)
    }
    this.#effects.add(answer)
    answer.then(forget, forget)
  }
}

/** The error with the stack of whoever made the call, so that its line is one of the program's. */
function calledFrom(error: unknown, site: Error): unknown {
  if (!(error instanceof OsError) || !site.stack) return error
  const frames = site.stack.startsWith('Error') ? site.stack.slice(site.stack.indexOf('\n') + 1) : site.stack
  error.stack = `${error.name}: ${error.message}\n${frames}`
  return error
}
