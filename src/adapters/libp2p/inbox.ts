// The receiving end that both kinds of ByteStream share: what arrives before its receiver is known waits here.
import { assert } from '../../base/assert.ts'

export class Inbox {
  #onData: ((chunk: Uint8Array) => void) | undefined
  #onClose: ((error: Error | undefined) => void) | undefined
  #waiting: Uint8Array[] = []
  #end: { error: Error | undefined } | undefined
  #told = false

  get ended(): boolean {
    return this.#end !== undefined
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    assert(!this.#onData, 'a stream has one receiver')
    this.#onData = listener
    for (const chunk of this.#waiting.splice(0)) listener(chunk)
  }

  onClose(listener: (error: Error | undefined) => void): void {
    assert(!this.#onClose, 'a stream has one receiver')
    this.#onClose = listener
    // Later: the receiver has not finished setting itself up.
    if (this.#end) queueMicrotask(() => this.#tell())
  }

  push(chunk: Uint8Array): void {
    if (this.#end) return
    if (this.#onData) this.#onData(chunk)
    else this.#waiting.push(chunk)
  }

  /** Nothing comes any more. Only the first call counts. */
  end(error: Error | undefined): void {
    if (this.#end) return
    this.#end = { error }
    this.#tell()
  }

  #tell(): void {
    if (!this.#onClose || !this.#end || this.#told) return
    this.#told = true
    this.#onClose(this.#end.error)
  }
}
