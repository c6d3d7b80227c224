// One line on the terminal that is redrawn in place, below the output that scrolls above it. Draws nothing where
// stderr is no terminal.
import { utf8 } from '../base/bytes.ts'
import { PROGRESS_INTERVAL_MS } from './limits.ts'
import type { ProgramContext } from './program.ts'
import type { ByteWriter } from './streams.ts'

const ERASE_LINE = '\r\x1b[K'

export class ProgressLine {
  readonly #terminal: ByteWriter
  readonly #context: ProgramContext
  #text = ''
  #drawn = false
  #lineStart = true
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(context: ProgramContext) {
    this.#context = context
    this.#terminal = context.stderr
  }

  get visible(): boolean {
    return this.#terminal.isTerminal
  }

  /** Shows `text` now, or later if the last drawing was a moment ago. */
  async show(text: string): Promise<void> {
    if (!this.visible) return
    this.#text = text
    const now = this.#context.host.now()
    if (now - this.#lastMs < PROGRESS_INTERVAL_MS) return
    this.#lastMs = now
    await this.#draw()
  }

  /** A writer for output that shares the terminal with the line. */
  around(target: ByteWriter): ByteWriter {
    if (!this.visible || !target.isTerminal) return target
    return {
      isTerminal: true,
      write: async (bytes) => {
        await this.clear()
        await target.write(bytes)
        if (bytes.byteLength > 0) this.#lineStart = bytes.at(-1) === 10
      },
      close: () => target.close(),
    }
  }

  async clear(): Promise<void> {
    if (!this.#drawn) return
    this.#drawn = false
    await this.#terminal.write(utf8(ERASE_LINE))
  }

  async #draw(): Promise<void> {
    if (!this.#lineStart) return // never into the middle of somebody's line
    this.#drawn = true
    const columns = this.#context.host.terminalSize?.().columns ?? 80
    await this.#terminal.write(utf8(ERASE_LINE + this.#text.slice(0, columns - 1)))
  }
}

/** `[#####-----]`, `fraction` from 0 to 1. */
export function bar(fraction: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width)
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`
}
