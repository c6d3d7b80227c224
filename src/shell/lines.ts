// Lines of a program that prints many, for a pipe or a terminal: joined, but none is held back for long.
import { LINES_BYTES, LINES_MS } from './limits.ts'
import type { ProgramContext } from './program.ts'

export class Lines {
  readonly #context: ProgramContext
  #text = ''
  #printedMs = Number.NEGATIVE_INFINITY

  constructor(context: ProgramContext) {
    this.#context = context
  }

  /** @param text whole lines. @throws {OsError} EPIPE, ECANCELED. */
  async add(text: string): Promise<void> {
    this.#text += text
    if (this.#text.length >= LINES_BYTES || this.#context.host.now() - this.#printedMs >= LINES_MS) await this.flush()
  }

  async flush(): Promise<void> {
    const text = this.#text
    this.#text = ''
    await this.#context.print(text)
    this.#printedMs = this.#context.host.now()
  }
}
