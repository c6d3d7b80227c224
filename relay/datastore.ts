// libp2p's datastore in memory, bounded: the DHT's records and what is known of peers each have a budget in bytes,
// and the entries written longest ago go first. The library's own memory store grows without end.
import { NotFoundError } from '@libp2p/interface'
import type { Libp2pInit } from 'libp2p'
import { Latest } from '../src/base/latest.ts'
import type { Limits } from './limits.ts'

type Datastore = NonNullable<Libp2pInit['datastore']>
type Key = Parameters<Datastore['get']>[0]
type Query = Parameters<Datastore['query']>[0]
type KeyQuery = Parameters<Datastore['queryKeys']>[0]
type Pair = { key: Key; value: Uint8Array }

/** What an entry costs beside its bytes: the map's slot, the key object, the strings. */
const ENTRY_OVERHEAD_BYTES = 200

function cost({ value }: Pair, key: string): number {
  return value.byteLength + 2 * key.length + ENTRY_OVERHEAD_BYTES
}

export class BoundedDatastore implements Datastore {
  readonly #dht: Latest<Pair>
  readonly #rest: Latest<Pair>

  constructor(limits: Pick<Limits, 'recordsTotalBytes' | 'peersTotalBytes'>) {
    this.#dht = new Latest(limits.recordsTotalBytes, cost)
    this.#rest = new Latest(limits.peersTotalBytes, cost)
  }

  /** Directory records kept now. */
  get records(): number {
    return this.#dht.size
  }

  put(key: Key, value: Uint8Array): Key {
    this.#budget(key).set(key.toString(), { key, value })
    return key
  }

  get(key: Key): Uint8Array {
    const found = this.#budget(key).get(key.toString())
    if (!found) throw new NotFoundError(`${key} is not stored here`)
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

  *query({ prefix, filters = [], orders = [], offset, limit }: Query): Generator<Pair> {
    const pairs = this.#all(prefix).filter((pair) => filters.every((filter) => filter(pair)))
    for (const order of orders) pairs.sort(order)
    yield* slice(pairs, offset, limit)
  }

  *queryKeys({ prefix, filters = [], orders = [], offset, limit }: KeyQuery): Generator<Key> {
    const all = this.#all(prefix).map(({ key }) => key)
    const keys = all.filter((key) => filters.every((filter) => filter(key)))
    for (const order of orders) keys.sort(order)
    yield* slice(keys, offset, limit)
  }

  #budget(key: Key): Latest<Pair> {
    return key.toString().startsWith('/dht/') ? this.#dht : this.#rest
  }

  #all(prefix = ''): Pair[] {
    const pairs = [...this.#dht.values(), ...this.#rest.values()]
    return prefix === '' ? pairs : pairs.filter(({ key }) => key.toString().startsWith(prefix))
  }
}

function slice<T>(items: readonly T[], offset = 0, limit = Number.POSITIVE_INFINITY): T[] {
  return items.slice(offset, offset + limit)
}
