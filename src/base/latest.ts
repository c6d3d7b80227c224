// A map that is bounded: when what it holds costs more than it may, the entries that were set longest ago go.

export class Latest<V, K extends string = string> {
  readonly #entries = new Map<K, V>()
  readonly #most: number
  readonly #cost: (value: V, key: K) => number
  #used = 0
  /** Nothing that is here comes before where it is: a map's own beginning is found again past all that was deleted there. */
  #oldest: Iterator<K> | undefined

  /**
   * @param most what all entries may cost together.
   * @param cost what one entry costs, the same each time that it is asked; default: 1, so that `most` is a number of entries.
   */
  constructor(most: number, cost: (value: V, key: K) => number = () => 1) {
    this.#most = most
    this.#cost = cost
  }

  get size(): number {
    return this.#entries.size
  }

  /** What all of them cost. */
  get used(): number {
    return this.#used
  }

  has(key: K): boolean {
    return this.#entries.has(key)
  }

  get(key: K): V | undefined {
    return this.#entries.get(key)
  }

  /** It is the latest then. One that costs more than all may is not kept, nor is what was there before it. */
  set(key: K, value: V): void {
    this.delete(key)
    this.#entries.set(key, value)
    this.#used += this.#cost(value, key)
    while (this.#used > this.#most) this.drop()
  }

  /** The oldest, if there is one. */
  drop(): void {
    while (this.#entries.size > 0) {
      this.#oldest ??= this.#entries.keys()
      const { done, value: oldest } = this.#oldest.next()
      if (done) this.#oldest = undefined
      else if (this.delete(oldest)) return
    }
  }

  /** @returns whether it was there. */
  delete(key: K): boolean {
    const value = this.#entries.get(key)
    if (value === undefined && !this.#entries.has(key)) return false
    this.#used -= this.#cost(value as V, key)
    return this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
    this.#used = 0
    this.#oldest = undefined
  }

  /** @returns what was there. */
  take(key: K): V | undefined {
    const value = this.#entries.get(key)
    this.delete(key)
    return value
  }

  /** The oldest first. */
  entries(): IterableIterator<[K, V]> {
    return this.#entries.entries()
  }

  /** The oldest first. */
  values(): IterableIterator<V> {
    return this.#entries.values()
  }
}
