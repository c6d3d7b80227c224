// The terminal: xterm with the page's colours and keys, and the line editor. It implements the shell's idea of a
// terminal (shell/interactive.ts).
import { FitAddon } from '@xterm/addon-fit'
import { Terminal } from '@xterm/xterm'
import type { ReadLineRequest, ReadLineResult, ShellTerminal } from '../shell/interactive.ts'
import type { HistoryStore } from '../shell/session.ts'
import { whenIdle } from './idle.ts'
import { IDLE_TIMEOUT_MS, TERMINAL_BACKLOG_BYTES } from './limits.ts'
import { LineEditor } from './line-editor.ts'
import { muteReplies } from './replies.ts'
import { colourScheme, onSchemeChange } from './theme.ts'
import { scrollByFinger } from './touch.ts'

const CLEAR = '\x1b[H\x1b[2J\x1b[3J'

export class PageTerminal implements ShellTerminal {
  readonly #term: Terminal
  readonly #editor: LineEditor
  #backlog = 0

  constructor(element: HTMLElement, history: HistoryStore, options: { screenReader: boolean }) {
    const term = new Terminal({
      convertEol: true,
      cursorBlink: false, // the blinking alone kept an idle tab's main thread busy for 4 % of a core
      fontFamily: 'ui-monospace, "Cascadia Mono", "SF Mono", Menlo, "DejaVu Sans Mono", Consolas, monospace',
      fontSize: matchMedia('(max-width: 600px)').matches ? 12 : 14,
      logLevel: 'off', // or each broken sequence of `cat binary` is an error in the console
      macOptionIsMeta: true,
      minimumContrastRatio: matchMedia('(prefers-contrast: more)').matches ? 7 : 4.5,
      screenReaderMode: options.screenReader,
      scrollback: 10_000,
      theme: colourScheme(),
    })
    muteReplies(term)
    const fit = new FitAddon()
    term.loadAddon(fit)
    term.open(element)
    scrollByFinger(term, element)
    fit.fit()
    new ResizeObserver(() => fit.fit()).observe(element)
    onSchemeChange(() => {
      term.options.theme = colourScheme()
    })
    term.attachCustomKeyEventHandler((event) => this.#wants(event))
    this.#term = term
    this.#editor = new LineEditor(term, history)
  }

  get size(): { columns: number; rows: number } {
    return { columns: this.#term.cols, rows: this.#term.rows }
  }

  set screenReader(on: boolean) {
    this.#term.options.screenReaderMode = on
  }

  focus(): void {
    this.#term.focus()
  }

  /** As if it were typed. */
  type(data: string): void {
    this.#term.input(data)
  }

  clear(): void {
    this.#term.write(CLEAR)
  }

  readLine(request: ReadLineRequest): Promise<ReadLineResult> {
    return this.#editor.readLine(request)
  }

  interruptLine(): void {
    this.#editor.interruptLine()
  }

  /** Resolves when the screen shows a prompt; at once in a hidden page, and after `timeoutMs` in any. */
  prompted(timeoutMs: number): Promise<void> {
    if (document.hidden) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      const rendered = this.#term.onRender(() => {
        if (!this.#editor.isReading) return
        rendered.dispose()
        clearTimeout(timer)
        setTimeout(resolve) // rows are changed in a frame's callback; a task of its own comes after its paint
      })
    })
  }

  whenIdle(): Promise<void> {
    return whenIdle(IDLE_TIMEOUT_MS)
  }

  onInterrupt(listener: () => void): () => void {
    return this.#editor.onInterrupt(listener)
  }

  /** A question with a yes or no; anything but yes is no. */
  async confirm(question: string): Promise<boolean> {
    const complete = async () => ({ from: 0, candidates: [] })
    const answer = await this.readLine({ prompt: `${question} (y/n) `, isComplete: () => true, complete })
    return answer.kind === 'line' && /^\s*y(es)?\s*$/i.test(answer.text)
  }

  /** Resolves at once while little is waiting to be drawn. */
  write(data: Uint8Array | string): Promise<void> {
    const size = data.length
    this.#backlog += size
    return new Promise((resolve) => {
      if (this.#backlog < TERMINAL_BACKLOG_BYTES) resolve()
      this.#term.write(data, () => {
        this.#backlog -= size
        resolve()
      })
    })
  }

  /** Keys that the browser should have: false means that xterm leaves them alone. */
  #wants(event: KeyboardEvent): boolean {
    if (event.type !== 'keydown') return true
    const control = event.ctrlKey && !event.altKey && !event.metaKey
    if (control && event.key === 'v') return false // the browser's own paste
    if (control && event.key === 'c' && this.#term.hasSelection()) {
      setTimeout(() => this.#term.clearSelection()) // copied by the browser; the next Ctrl-C interrupts
      return false
    }
    if (event.key === 'Tab' && (event.shiftKey || this.#editor.isEmpty)) return false // a way out for the keyboard
    if (event.key === 'Enter' && event.shiftKey) {
      this.#term.input('\x1b\r') // a new line in the same command
      event.preventDefault()
      return false
    }
    return true
  }
}
