// Everything that happened in a run, hashed as it happens: two runs of one seed must give the same hash.

export class Trace {
  readonly #onLine: ((line: string) => void) | undefined
  #a = 0xdeadbeef
  #b = 0x41c6ce57
  #lines = 0

  constructor(onLine?: (line: string) => void) {
    this.#onLine = onLine
  }

  /** cyrb53 (bryc), two 32-bit lanes over UTF-16 code units. */
  add(line: string): void {
    this.#onLine?.(line)
    this.#lines++
    for (let i = 0; i < line.length; i++) {
      const code = line.charCodeAt(i)
      this.#a = Math.imul(this.#a ^ code, 2654435761)
      this.#b = Math.imul(this.#b ^ code, 1597334677)
    }
  }

  hash(): string {
    const hex = (value: number) => (value >>> 0).toString(16).padStart(8, '0')
    return `${hex(this.#a)}${hex(this.#b)}-${this.#lines}`
  }
}
