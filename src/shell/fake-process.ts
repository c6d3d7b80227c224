// What a program of the fake kernel gets, and where its output goes. Not part of any bundle.
import { concat } from '../base/bytes.ts'
import type { Kid } from '../base/ids.ts'

export interface FakeProcess {
  readonly kid: Kid
  readonly args: readonly string[]
  readonly cwd: string
  stdout(text: string): void
  stderr(text: string): void
  /** Raises a process event and updates the row. */
  progress(done: number, total: number): void
  /** Resolves when somebody kills it. */
  readonly killed: Promise<void>
}

/** A program: what it returns is its exit code; what it throws is its error. */
export type FakeProgram = (process: FakeProcess) => Promise<number> | number

/** A growing output that ends. */
export class Output {
  #bytes: Uint8Array = new Uint8Array(0)
  #ended = false
  readonly #changed: () => void
  constructor(changed: () => void) {
    this.#changed = changed
  }
  add(bytes: Uint8Array): void {
    this.#bytes = concat([this.#bytes, bytes])
    this.#changed()
  }
  end(): void {
    this.#ended = true
    this.#changed()
  }
  /** Undefined while there is nothing to say. */
  at(offset: number, length: number): Uint8Array | undefined {
    const piece = this.#bytes.slice(offset, offset + length)
    return piece.byteLength > 0 || this.#ended ? piece : undefined
  }
}
