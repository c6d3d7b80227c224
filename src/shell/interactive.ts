// The prompt loop: reads a command from a terminal, runs it in the foreground, again. The terminal is an interface;
// the page's is src/app/terminal.ts. States: reading a line → running in the foreground → reading …
import { utf8 } from '../base/bytes.ts'
import { errorLine } from '../base/errors.ts'
import type { Completion } from './complete.ts'
import type { Program, ShellParts, Streams } from './program.ts'
import { terminalWriter } from './progress.ts'
import type { Session } from './session.ts'
import { emptyReader } from './streams.ts'
import { printable } from './table.ts'

export interface ReadLineRequest {
  prompt: string
  /** False while the text needs another line. Must answer at once. */
  isComplete(text: string): boolean
  complete(before: string): Promise<Completion>
  /** Text that stands in the line already. */
  initial?: string
}

export type ReadLineResult =
  | { kind: 'line'; text: string }
  /** Ctrl-C at the prompt. */
  | { kind: 'cancelled' }
  /** `interruptLine` was called; the text typed so far. */
  | { kind: 'interrupted'; text: string }
  | { kind: 'closed' }

export interface ShellTerminal {
  readLine(request: ReadLineRequest): Promise<ReadLineResult>
  /** Takes the line back from a `readLine` under way; without one, the next `readLine` ends at once. */
  interruptLine(): void
  /** Resolves when the terminal can take more. */
  write(bytes: Uint8Array): Promise<void>
  /** Resolves when the prompt is painted and heavier work may begin; absent where nothing is painted. */
  whenIdle?(): Promise<void>
  /** Ctrl-C while no line is being read. @returns a function that stops listening */
  onInterrupt(listener: () => void): () => void
}

/** What the loop needs of a shell. */
export interface PromptShell {
  readonly session: Session
  load(): Promise<ShellParts>
  run(text: string, streams: Streams, signal: AbortSignal): Promise<number>
}

/** What is told at a time; more is in the log. */
const MAX_NEWS = 8

/** A task that takes the terminal like a typed command, e.g. files dropped on the page. */
export interface ForegroundTask {
  name: string
  run: Program['run']
}

type Work = (streams: Streams, signal: AbortSignal) => Promise<number>

export class PromptLoop {
  readonly #shell: PromptShell
  readonly #terminal: ShellTerminal
  readonly #tasks: Work[] = []
  /** What people should know, and have not been told; and how much more there is. */
  #news: string[] = []
  #more = 0
  /** A command is being read, and no question of a program. */
  #reading = false
  #engine: typeof import('./engine.ts') | undefined

  constructor(shell: PromptShell, terminal: ShellTerminal) {
    this.#shell = shell
    this.#terminal = terminal
  }

  /** Runs `task` as soon as the terminal is free; what was typed meanwhile stays in the line. */
  foreground(work: Work): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#tasks.push(async (streams, signal) => {
        const running = work(streams, signal)
        running.then(resolve, reject)
        return running
      })
      this.#interrupt()
    })
  }

  /** Shows a line of text as soon as no command runs; what was typed stays in the line, and `$?` is what it was. */
  tell(text: string): void {
    if (this.#news.length < MAX_NEWS) this.#news.push(text)
    else this.#more++
    this.#interrupt()
  }

  /** Else it is done before the next command is read. */
  #interrupt(): void {
    if (!this.#reading) return
    this.#reading = false
    this.#terminal.interruptLine()
  }

  /** Until the terminal closes. */
  async run(): Promise<void> {
    const { session } = this.#shell
    let initial = ''
    void this.#loadSoon()
    for (;;) {
      while (this.#tasks.length > 0 || this.#news.length > 0) await this.#catchUp()
      this.#reading = true
      const result = await this.#terminal.readLine(this.#request(initial))
      this.#reading = false
      initial = ''
      if (result.kind === 'closed') return
      if (result.kind === 'cancelled') session.lastStatus = 130
      else if (result.kind === 'interrupted') initial = result.text
      else if (await this.#needsMore(result.text)) initial = `${result.text}\n`
      else if (result.text.trim() !== '') {
        session.history.append(result.text)
        await this.#run((streams, signal) => this.#shell.run(result.text, streams, signal))
      }
    }
  }

  /** What came while no command was read. */
  async #catchUp(): Promise<void> {
    const task = this.#tasks.shift()
    if (task) await this.#run(task)
    else await this.#showNews()
  }

  async #showNews(): Promise<void> {
    const news = this.#more > 0 ? [...this.#news, `${this.#more} more notes are in dmesg`] : this.#news
    this.#news = []
    this.#more = 0
    const lines = news.map((text) => `\x1b[33mNote:\x1b[0m ${printable(text)}\n`)
    if (lines.length > 0) await this.#terminal.write(utf8(lines.join('')))
  }

  #request(initial: string): ReadLineRequest {
    return {
      prompt: promptText(this.#shell.session),
      initial,
      isComplete: (text) => this.#engine?.parseCommand(text).kind !== 'incomplete',
      complete: async (before) => {
        const { completeLine } = await import('./engine.ts')
        const signal = new AbortController().signal
        return completeLine(before, { parts: await this.#shell.load(), session: this.#shell.session, signal })
      },
    }
  }

  async #loadSoon(): Promise<void> {
    await this.#terminal.whenIdle?.()
    this.#engine ??= await import('./engine.ts').catch(() => undefined) // the first command asks again and reports it
  }

  /** For a line that was entered before the parser was there. */
  async #needsMore(text: string): Promise<boolean> {
    if (this.#engine || text.trim() === '') return false
    this.#engine = await import('./engine.ts').catch(() => undefined)
    return this.#engine?.parseCommand(text).kind === 'incomplete'
  }

  /** Ctrl-C asks the work to stop; a second one no longer waits for it. */
  async #run(work: Work): Promise<void> {
    const controller = new AbortController()
    let abandon: (() => void) | undefined
    const abandoned = new Promise<number>((resolve) => {
      abandon = () => resolve(130)
    })
    const off = this.#terminal.onInterrupt(() => {
      if (controller.signal.aborted) abandon?.()
      controller.abort()
      void this.#terminal.write(utf8('^C\n'))
    })
    const screen = terminalWriter((bytes) => this.#terminal.write(bytes))
    try {
      const streams = { stdin: emptyReader, stdout: screen, stderr: screen }
      this.#shell.session.lastStatus = await Promise.race([work(streams, controller.signal), abandoned])
    } catch (error) {
      this.#shell.session.lastStatus = 70
      await this.#terminal.write(utf8(`sh: internal error: ${errorLine(error)}\n`))
    } finally {
      off()
    }
  }
}

function promptText(session: Session): string {
  const home = session.get('HOME')
  const inHome = home !== undefined && home !== '/' && (session.cwd === home || session.cwd.startsWith(`${home}/`))
  const shown = inHome ? `~${session.cwd.slice(home.length)}` : session.cwd
  const mark = session.lastStatus === 0 || session.lastStatus === 130 ? '\x1b[32m$\x1b[0m' : '\x1b[31m$\x1b[0m'
  return `\x1b[36m${shown}\x1b[0m ${mark} `
}
