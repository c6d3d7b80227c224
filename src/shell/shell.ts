// A shell: one session (directory, variables, history) over one kernel connection. `execute` runs a text and gives
// back what it printed; `interactive` runs the prompt loop of a terminal. Parser and programs load with the first
// command, so that a prompt can be painted before them.

import { assert } from '../base/assert.ts'
import type { SyscallClient } from '../syscalls/client.ts'
import { FileSystem } from '../syscalls/fs.ts'
import { Keg } from '../syscalls/keg.ts'
import { EventFeed } from './events.ts'
import type { ShellHost } from './host.ts'
import { type ForegroundTask, PromptLoop, type ShellTerminal } from './interactive.ts'
import { lazily } from './lazy.ts'
import { MAX_CAPTURE_BYTES } from './limits.ts'
import { reason, tell } from './messages.ts'
import type { Program, ShellParts, Streams } from './program.ts'
import { type HistoryStore, memoryHistory, Session } from './session.ts'
import { Capture, emptyReader, type ReaderSource, readerOf, sinkWriter } from './streams.ts'
import type { UserStore } from './user.ts'

export interface ShellOptions {
  client: SyscallClient
  host: ShellHost
  /** Exported variables to begin with; HOME, PWD and USER are there anyway. */
  env?: Readonly<Record<string, string>>
  /** Directory to begin in; `/` unless given. */
  cwd?: string
  history?: HistoryStore
  /** Whose name this device remembers; `guest` without it. */
  users?: UserStore
  /** Kernel events shared with others; without it the shell polls for itself while it needs them. */
  events?: EventFeed
  /** More programs, or others of the same names. */
  programs?: Iterable<Program>
}

export interface ExecuteOptions {
  stdin?: ReaderSource
  signal?: AbortSignal
  /** Output as it is produced. The result holds it as well, up to MAX_CAPTURE_BYTES. */
  onStdout?: (text: string) => void
  onStderr?: (text: string) => void
}

export interface ExecuteResult {
  stdout: string
  stderr: string
  code: number
}

export class Shell {
  readonly session: Session
  readonly #options: ShellOptions
  readonly #fs: FileSystem
  readonly #events: EventFeed
  #parts: Promise<ShellParts> | undefined
  #prompt: PromptLoop | undefined

  constructor(options: ShellOptions) {
    this.#options = options
    this.#fs = new FileSystem(options.client)
    this.#events = options.events ?? new EventFeed(options.client, () => undefined) // progress bars only: comfort
    this.session = new Session({
      cwd: options.cwd ?? '/',
      env: options.env ?? {},
      history: options.history ?? memoryHistory(),
      users: options.users,
    })
  }

  /** Loads parser and programs; a terminal calls it once its prompt is painted. */
  load(): Promise<ShellParts> {
    this.#parts ??= import('./engine.ts').then((engine) => ({
      client: this.#options.client,
      fs: this.#fs,
      keg: new Keg(this.#options.client),
      host: this.#options.host,
      events: this.#events,
      programs: new Map(
        [...engine.programs, ...(this.#options.programs ?? [])].map((program) => [program.name, program]),
      ),
    }))
    return this.#parts
  }

  /** Runs a text. Never rejects for what a command does: failures are in `code` and `stderr`. */
  async execute(text: string, options: ExecuteOptions = {}): Promise<ExecuteResult> {
    const signal = options.signal ?? new AbortController().signal
    const stdout = collector(options.onStdout)
    const stderr = collector(options.onStderr)
    const stdin = options.stdin === undefined ? emptyReader : readerOf(options.stdin, signal)
    const code = await this.run(text, { stdin, stdout: stdout.writer, stderr: stderr.writer }, signal)
    await stdin.close()
    stdout.end()
    stderr.end()
    const dropped = stdout.capture.dropped + stderr.capture.dropped
    const note = dropped > 0 ? `sh: ${dropped} bytes of output beyond ${MAX_CAPTURE_BYTES} were not kept\n` : ''
    return { stdout: stdout.capture.text(), stderr: stderr.capture.text() + note, code }
  }

  /** Runs a text on the given streams. @returns its exit code: 2 for what cannot be parsed, 130 when cancelled. */
  async run(text: string, streams: Streams, signal: AbortSignal): Promise<number> {
    let engine: typeof import('./engine.ts')
    try {
      engine = await lazily(import('./engine.ts'))
      await this.load()
    } catch (error) {
      this.#parts = undefined // asked for again by the next command
      await tell(streams.stderr, `sh: ${reason(error)}`)
      this.session.lastStatus = 126
      return 126
    }
    const { parseCommand, runScript } = engine
    const parsed = parseCommand(text)
    if (parsed.kind !== 'script') {
      await tell(streams.stderr, `sh: ${parsed.message}`)
      this.session.lastStatus = 2
      return 2
    }
    return runScript(parsed.script, { parts: await this.load(), session: this.session, streams, signal })
  }

  /** Runs the prompt loop until the terminal closes. One terminal per shell. */
  async interactive(terminal: ShellTerminal): Promise<void> {
    assert(!this.#prompt, 'this shell has a terminal already')
    this.#prompt = new PromptLoop(this, terminal)
    await this.#prompt.run()
  }

  /** Shows something that people should know in this shell's terminal, between commands. */
  tell(text: string): void {
    assert(this.#prompt, 'this shell has no terminal')
    this.#prompt.tell(text)
  }

  /** Runs a task in the foreground of this shell's terminal, after what runs there now; Ctrl-C cancels it. */
  async foreground(task: ForegroundTask): Promise<number> {
    assert(this.#prompt, 'this shell has no terminal')
    const { runProgram } = await lazily(import('./engine.ts'))
    const parts = await this.load()
    const program: Program = { name: task.name, summary: '', help: '', run: task.run }
    return this.#prompt.foreground((streams, signal) =>
      runProgram(program, { name: task.name, args: [], job: { parts, session: this.session, streams, signal } }),
    )
  }
}

export function createShell(options: ShellOptions): Shell {
  return new Shell(options)
}

function collector(listener: ((text: string) => void) | undefined) {
  const capture = new Capture(MAX_CAPTURE_BYTES)
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  const tell = (text: string) => {
    if (text !== '') listener?.(text)
  }
  return {
    capture,
    writer: sinkWriter((bytes) => {
      capture.add(bytes)
      tell(decoder.decode(bytes, { stream: true }))
    }),
    end: () => tell(decoder.decode()),
  }
}
