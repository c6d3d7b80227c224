// What libp2p stores, in memory and bounded: the DHT's records (kept for others, too) and what is known of peers
// each have a budget; the entries written longest ago go first. An older record never replaces a newer one.
import type { Libp2pInit } from 'libp2p'
import { Latest } from '../../base/latest.ts'
import { DHT_ENTRY_OVERHEAD_BYTES, DHT_PEER_BYTES, DHT_RECORD_BYTES } from './limits.ts'

type Datastore = NonNullable<Libp2pInit['datastore']>
type Key = Parameters<Datastore['get']>[0]
type Query = Parameters<Datastore['query']>[0]
type KeyQuery = Parameters<Datastore['queryKeys']>[0]
type Pair = { key: Key; value: Uint8Array }

export const RECORD_PREFIX = '/dht/record/'

function cost({ value }: Pair, key: string): number {
  return value.byteLength + 2 * key.length + DHT_ENTRY_OVERHEAD_BYTES
}

export class BoundedDatastore implements Datastore {
  readonly #records = new Latest<Pair>(DHT_RECORD_BYTES, cost)
  readonly #rest = new Latest<Pair>(DHT_PEER_BYTES, cost)
  readonly #isNewer: (before: Uint8Array, after: Uint8Array) => boolean

  /** @param isNewer whether `after` may replace the stored record `before`. */
  constructor(isNewer: (before: Uint8Array, after: Uint8Array) => boolean) {
    this.#isNewer = isNewer
  }

  /** The stored form of a record, by the key's text after RECORD_PREFIX. */
  record(name: string): Uint8Array | undefined {
    return this.#records.get(RECORD_PREFIX + name)?.value
  }

  put(key: Key, value: Uint8Array): Key {
    const budget = this.#budget(key)
    const before = budget === this.#records ? budget.get(key.toString())?.value : undefined
    if (!before || this.#isNewer(before, value)) budget.set(key.toString(), { key, value })
    return key
  }

  get(key: Key): Uint8Array {
    const found = this.#budget(key).get(key.toString())
    // libp2p tells this failure from others by its name.
    if (!found) throw Object.assign(new Error(`${key} is not stored here`), { name: 'NotFoundError' })
    return found.value
  }

  has(key: Key): boolean {
    return this.#budget(key).has(key.toString())
  }

  delete(key: Key): void {
    this.#budget(key).delete(key.toString())
  }

  async *putMany(source: Iterable<Pair> | AsyncIterable<Pair>): AsyncGenerator<Key> {
    for await (const { key, value } of source) yield this.put(key, value)
  }

  async *getMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Pair> {
    for await (const key of source) yield { key, value: this.get(key) }
  }

  async *deleteMany(source: Iterable<Key> | AsyncIterable<Key>): AsyncGenerator<Key> {
    for await (const key of source) {
      this.delete(key)
      yield key
    }
  }

  batch() {
    const steps: (() => void)[] = []
    return {
      put: (key: Key, value: Uint8Array) => void steps.push(() => this.put(key, value)),
      delete: (key: Key) => void steps.push(() => this.delete(key)),
      commit: () => {
        for (const step of steps.splice(0)) step()
      },
    }
  }

  *query({ prefix, filters = [], orders = [], offset = 0, limit }: Query): Generator<Pair> {
    const pairs = this.#all(prefix).filter((pair) => filters.every((filter) => filter(pair)))
    for (const order of orders) pairs.sort(order)
    yield* pairs.slice(offset, limit === undefined ? undefined : offset + limit)
  }

  *queryKeys({ prefix, filters = [], orders = [], offset = 0, limit }: KeyQuery): Generator<Key> {
    const all = this.#all(prefix).map(({ key }) => key)
    const keys = all.filter((key) => filters.every((filter) => filter(key)))
    for (const order of orders) keys.sort(order)
    yield* keys.slice(offset, limit === undefined ? undefined : offset + limit)
  }

  #budget(key: Key): Latest<Pair> {
    return key.toString().startsWith(RECORD_PREFIX) ? this.#records : this.#rest
  }

  #all(prefix = ''): Pair[] {
    const pairs = [...this.#records.values(), ...this.#rest.values()]
    return prefix === '' ? pairs : pairs.filter(({ key }) => key.toString().startsWith(prefix))
  }
}
