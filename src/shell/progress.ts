// One line on the terminal that is redrawn in place, below the output that scrolls above it. Draws nothing where
// stderr is no terminal.
import { PROGRESS_INTERVAL_MS } from './limits.ts'
import type { ProgramContext } from './program.ts'

export class ProgressLine {
  readonly #context: ProgramContext
  #drawn = false
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(context: ProgramContext) {
    this.#context = context
  }

  get visible(): boolean {
    return this.#context.stderr.status !== undefined
  }

  /** Shows `text`, unless the last drawing was a moment ago. */
  async show(text: string): Promise<void> {
    const { host, stderr } = this.#context
    const now = host.now()
    if (now - this.#lastMs < PROGRESS_INTERVAL_MS) return
    this.#lastMs = now
    this.#drawn = true
    await stderr.status?.(text.slice(0, (host.terminalSize?.().columns ?? 80) - 1))
  }

  async clear(): Promise<void> {
    if (!this.#drawn) return
    this.#drawn = false
    await this.#context.stderr.status?.(undefined)
  }
}

/** `[#####-----]`, `fraction` from 0 to 1. */
export function bar(fraction: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width)
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}]`
}
