// Reads lines in an xterm terminal: xterm-readline draws the line and moves in it; what it lacks is here: history,
// Tab, word keys, Ctrl-U/W, typing ahead, taking a line back, another width. keys.ts names the keys. It reaches into
// private fields of xterm-readline (Internals); the version is pinned and line-editor.browser.test.ts guards it.
import type { IDisposable, IMarker, Terminal } from '@xterm/xterm'
import { Readline } from 'xterm-readline'
import { type Completion, commonPrefix } from '../shell/complete.ts'
import type { ReadLineRequest, ReadLineResult } from '../shell/interactive.ts'
import type { HistoryStore } from '../shell/session.ts'
import { formatColumns } from '../shell/table.ts'
import { KEYS } from './keys.ts'
import { MAX_TYPE_AHEAD } from './limits.ts'

interface Internals {
  history: { append(text: string): void; prev(): undefined; next(): undefined; cursor: number; resetCursor(): void }
  activeRead: unknown
  state: {
    line: { buf: string; pos: number; update(text: string, pos: number): void }
    editing: boolean
    refresh(): void
    moveCursorToEnd(): void
    prompt: string
    promptSize: Position
    /** Where it thinks that the cursor is, in rows from the first of the prompt. */
    layout: { cursor: Position; scrollOffset: number }
    tty: {
      col: number
      row: number
      /** The prompt's first row on the screen. */
      anchorRow: number
      calculatePosition(text: string, from: Position): Position
    }
  }
}

interface Position {
  row: number
  col: number
}

interface Reading {
  request: ReadLineRequest
  resolve(result: ReadLineResult): void
  /** Position in the history, counted from its end; 0 is the line being typed, kept in `draft`. */
  back: number
  draft: string
}

/** What readline writes for Ctrl-L, before it draws the prompt again. */
const CLEAR_SCREEN = '\x1b[H\x1b[2J'
const WORD_BEFORE = /[^\s/|&;=]*[\s/|&;=]*$/
const BLANK_WORD_BEFORE = /\S*\s*$/
/** What terminals send behind an escape for one key; anything longer is text that happens to begin with one. */
const KEY_AFTER_ESCAPE = /^(?:\[[\d;]*[A-Za-z~]|O[A-Za-z]|.)?$/s
const WORD_AFTER = /^[\s/|&;=]*[^\s/|&;=]*/

export class LineEditor {
  readonly #term: Terminal
  readonly #history: HistoryStore
  readonly #readline = new Readline()
  readonly #internals = this.#readline as unknown as Internals
  readonly #interruptListeners = new Set<() => void>()
  #feed: (data: string) => void = () => undefined
  #reading: Reading | undefined
  #active = false
  #interruptWanted = false
  /** A Tab waits for its answer; keys wait with it. */
  #completing = false
  #typedAhead: string[] = []
  #killed = ''
  /** The prompt's first row, wherever xterm moves it. */
  #promptRow: IMarker | undefined
  #resized = false

  constructor(term: Terminal, history: HistoryStore) {
    this.#term = term
    this.#history = history
    this.#internals.history = noHistory()
    this.#readline.activate(this.#facade())
    term.onData((data) => this.#input(data))
    term.onResize(() => this.#redrawSoon())
  }

  /** Only one at a time. */
  async readLine(request: ReadLineRequest): Promise<ReadLineResult> {
    if (this.#interruptWanted) {
      this.#interruptWanted = false
      return { kind: 'interrupted', text: request.initial ?? '' }
    }
    return new Promise((resolve) => {
      // In the callback itself, so that the prompt is drawn in the same frame as what was written before.
      this.#term.write('', () => {
        // A prompt begins a line of its own, whatever a command left behind.
        if (this.#term.buffer.active.cursorX > 0) this.#term.write('\x1b[2m⏎\x1b[22m\r\n')
        this.#reading = { request, resolve, back: 0, draft: '' }
        this.#readline.setCheckHandler((text) => request.isComplete(text))
        this.#start(request.initial ?? '')
      })
    })
  }

  /** Takes the line back: the read under way, or else the next one, ends with 'interrupted'. */
  interruptLine(): void {
    if (!this.#active) {
      this.#interruptWanted = true
      return
    }
    const text = this.#line.buf
    // A prompt with nothing behind it need not be seen twice.
    this.#leave(text === '' ? '\r\x1b[K' : '\r\n')
    this.#finish({ kind: 'interrupted', text })
  }

  onInterrupt(listener: () => void): () => void {
    this.#interruptListeners.add(listener)
    return () => this.#interruptListeners.delete(listener)
  }

  /** A line is being read: its prompt was drawn. */
  get isReading(): boolean {
    return this.#active
  }

  /** A line is being read and nothing is typed yet. */
  get isEmpty(): boolean {
    return this.#active && !this.#completing && this.#line.buf === ''
  }

  get #line(): Internals['state']['line'] {
    return this.#internals.state.line
  }

  /** The terminal as readline sees it: it draws, but gets only the keys that are left for it. */
  #facade(): Terminal {
    const term = this.#term
    const facade = {
      onData: (listener: (data: string) => void): IDisposable => {
        this.#feed = listener
        return { dispose: () => undefined }
      },
      onResize: (): IDisposable => ({ dispose: () => undefined }), // see #redraw
      attachCustomKeyEventHandler: () => undefined,
      write: (data: string, done?: () => void) =>
        term.write(data, () => {
          if (data === CLEAR_SCREEN) this.#markPromptRow()
          done?.()
        }),
      get cols() {
        return term.cols
      },
      get rows() {
        return term.rows
      },
      get options() {
        return term.options
      },
      get buffer() {
        return term.buffer
      },
    }
    return facade as unknown as Terminal
  }

  #start(initial: string, pos = initial.length): void {
    const reading = this.#reading
    if (!reading) return
    this.#term.write('', () => this.#markPromptRow())
    this.#readline.read(reading.request.prompt).then(
      (text) => this.#finish({ kind: 'line', text }),
      () => this.#finish({ kind: 'closed' }),
    )
    // Readline begins in the callback of a write; this one comes after it.
    this.#term.write('', () => {
      this.#active = true
      if (initial !== '') this.#setLine(initial, pos)
      if (this.#interruptWanted) {
        this.#interruptWanted = false
        this.interruptLine()
      }
      this.#takeTypedAhead()
    })
  }

  #markPromptRow(): void {
    this.#promptRow?.dispose()
    this.#promptRow = this.#term.registerMarker(0)
  }

  /** When the terminal has drawn what it was told to. */
  #redrawSoon(): void {
    if (this.#resized) return
    this.#resized = true
    this.#term.write('', () => {
      this.#resized = false
      this.#redraw()
    })
  }

  /**
   * At another width xterm has broken rows into several, all but the cursor's, and has scrolled: readline is told where its
   * prompt and the cursor are now, then clears and draws from there.
   */
  #redraw(): void {
    const { state } = this.#internals
    const { tty, layout } = state
    const { baseY, cursorY } = this.#term.buffer.active
    tty.col = this.#term.cols
    tty.row = this.#term.rows
    if (!this.#active) return
    tty.anchorRow = Math.min(cursorY, Math.max(0, (this.#promptRow?.line ?? 0) - baseY))
    layout.cursor.row = cursorY - tty.anchorRow
    layout.scrollOffset = 0
    state.promptSize = tty.calculatePosition(state.prompt, { row: 0, col: 0 })
    state.refresh()
  }

  #takeTypedAhead(): void {
    while (this.#active && !this.#completing && this.#typedAhead.length > 0) this.#input(this.#typedAhead.shift() ?? '')
  }

  #finish(result: ReadLineResult): void {
    const reading = this.#reading
    this.#active = false
    this.#reading = undefined
    reading?.resolve(result)
  }

  /** Ends readline's read without a line. */
  #leave(ending: string): void {
    this.#internals.state.moveCursorToEnd()
    this.#internals.activeRead = undefined
    this.#active = false
    this.#term.write(ending)
  }

  #setLine(text: string, pos: number): void {
    this.#line.update(text, pos)
    this.#internals.state.editing = true
    this.#internals.state.refresh()
  }

  /** All at once: readline would draw the whole command again for each line of it. */
  #insert(text: string): void {
    const { buf, pos } = this.#line
    this.#setLine(buf.slice(0, pos) + text + buf.slice(pos), pos + text.length)
  }

  #input(data: string): void {
    if (this.#completing && data !== '\x03') this.#typeAhead(data)
    else if (!this.#active) this.#whileRunning(data)
    else {
      const key = KEYS[data]
      if (key) this[key]()
      else if (isKey(data)) this.#feed(data)
      else this.#insert(pasted(data))
      if (this.#internals.activeRead === undefined) this.#active = false // Enter: the promise follows
    }
  }

  #whileRunning(data: string): void {
    if (data === '\x03') {
      this.#typedAhead = []
      for (const listener of [...this.#interruptListeners]) listener()
    } else this.#typeAhead(data)
  }

  #typeAhead(data: string): void {
    const size = this.#typedAhead.reduce((sum, text) => sum + text.length, data.length)
    if (size <= MAX_TYPE_AHEAD) this.#typedAhead.push(data)
  }

  // What keys do while a line is read; KEYS names them.

  cancel(): void {
    this.#completing = false
    this.#typedAhead = []
    this.#leave('^C\r\n')
    this.#finish({ kind: 'cancelled' })
  }

  killWord(): void {
    this.#killBefore(BLANK_WORD_BEFORE)
  }

  killWordPart(): void {
    this.#killBefore(WORD_BEFORE)
  }

  killToStart(): void {
    this.#killBefore(/[^\n]*$/)
  }

  killWordAfter(): void {
    const { buf, pos } = this.#line
    const length = WORD_AFTER.exec(buf.slice(pos))?.[0].length ?? 0
    this.#killed = buf.slice(pos, pos + length)
    this.#setLine(buf.slice(0, pos) + buf.slice(pos + length), pos)
  }

  yank(): void {
    this.#insert(this.#killed)
  }

  wordBack(): void {
    const { buf, pos } = this.#line
    const length = WORD_BEFORE.exec(buf.slice(0, pos))?.[0].length ?? 0
    this.#setLine(buf, pos - length)
  }

  wordForward(): void {
    const { buf, pos } = this.#line
    const length = WORD_AFTER.exec(buf.slice(pos))?.[0].length ?? 0
    this.#setLine(buf, pos + length)
  }

  /** Up in the lines of the command, and from its first line on in the history. */
  up(): void {
    const { buf, pos } = this.#line
    if (buf.slice(0, pos).includes('\n')) this.#moveLine('\x1b[A')
    else this.#recall(1)
  }

  down(): void {
    const { buf, pos } = this.#line
    if (buf.slice(pos).includes('\n')) this.#moveLine('\x1b[B')
    else this.#recall(-1)
  }

  complete(): void {
    const reading = this.#reading
    if (!reading) return
    const { buf, pos } = this.#line
    this.#completing = true
    reading.request
      .complete(buf.slice(0, pos))
      .catch(() => ({ from: 0, candidates: [] })) // nothing to offer: a Tab is no place for an error
      .then((completion) => {
        this.#completing = false
        if (this.#active && this.#reading === reading) this.#showCompletion(completion, buf, pos)
        this.#takeTypedAhead()
      })
  }

  #showCompletion({ from, candidates }: Completion, buf: string, pos: number): void {
    if (candidates.length === 0) return
    const text = commonPrefix(candidates)
    if (candidates.length > 1 && text.length <= pos - from) return this.#showCandidates(candidates, buf, pos)
    this.#setLine(buf.slice(0, from) + text + buf.slice(pos), from + text.length)
  }

  #killBefore(pattern: RegExp): void {
    const { buf, pos } = this.#line
    const length = pattern.exec(buf.slice(0, pos))?.[0].length ?? 0
    if (length === 0) return
    this.#killed = buf.slice(pos - length, pos)
    this.#setLine(buf.slice(0, pos - length) + buf.slice(pos), pos - length)
  }

  #moveLine(key: string): void {
    this.#internals.state.editing = true
    this.#feed(key)
  }

  #recall(step: 1 | -1): void {
    const reading = this.#reading
    if (!reading) return
    const lines = this.#history.lines()
    const back = reading.back + step
    if (back < 0 || back > lines.length) return
    if (reading.back === 0) reading.draft = this.#line.buf
    reading.back = back
    const text = back === 0 ? reading.draft : (lines.at(-back) ?? '')
    this.#setLine(text, text.length)
  }

  #showCandidates(candidates: readonly string[], buf: string, pos: number): void {
    const shown = candidates.map((text) => text.trimEnd().replace(/.*\/(?=.)/s, ''))
    this.#leave(`\r\n${formatColumns(shown, this.#term.cols).replaceAll('\n', '\r\n')}`)
    this.#start(buf, pos)
  }
}

function isKey(data: string): boolean {
  return data.length === 1 || (data.startsWith('\x1b') && KEY_AFTER_ESCAPE.test(data.slice(1)))
}

/** Several lines become one command, run by the next Enter; a Tab would be lost, other controls would be obeyed. */
function pasted(data: string): string {
  return data
    .replaceAll('\t', '  ')
    .replace(/\r\n?/g, '\n')
    .replace(/(?!\n)\p{Cc}/gu, '')
    .replace(/\n+$/, '')
}

/** Readline's own history is switched off: it has 50 lines and one key of localStorage for everybody. */
function noHistory(): Internals['history'] {
  const nothing = () => undefined
  return { append: nothing, prev: nothing, next: nothing, resetCursor: nothing, cursor: -1 }
}
