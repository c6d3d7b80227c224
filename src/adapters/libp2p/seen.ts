// In the page this takes the place of libp2p's filters (vite.config.ts), which remember what was seen in little memory and
// now and then wrongly: some thousand addresses need no such thing. Beyond its bound it forgets, and what comes again is new.

const FACTOR = 8

class Seen {
  readonly #keys = new Set<string>()
  readonly #most: number

  constructor(most: number) {
    this.#most = most
  }

  has(item: Uint8Array | string): boolean {
    return this.#keys.has(String(item))
  }

  /** @returns true: it has been taken. */
  add(item: Uint8Array | string): true {
    if (this.#keys.size >= this.#most) this.#keys.clear()
    this.#keys.add(String(item))
    return true
  }

  remove(item: Uint8Array | string): boolean {
    return this.#keys.delete(String(item))
  }
}

/** @param expected how many items may come. */
export function createScalableCuckooFilter(expected: number): Seen {
  return new Seen(expected * FACTOR)
}
