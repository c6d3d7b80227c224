// The Dht port over kad-dht: answers from what this node holds, then from each peer as it replies, and counts who
// confirmed a put. Alone, or before the network has started, it is a store of its own.
import { base32 } from 'multiformats/bases/base32'
import { equalBytes, utf8 } from '../../base/bytes.ts'
import { errorLine, OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Dht, DhtRules } from '../../ports/dht.ts'
import type { LogSink } from '../../ports/log.ts'
import { BoundedDatastore, RECORD_PREFIX } from './datastore.ts'
import type { Engine } from './engine.ts'
import * as limits from './limits.ts'
import { decodeRecord, encodeRecord } from './record.ts'

export interface Libp2pDhtOptions {
  log: LogSink
  /** Namespaces that the relay and all tabs accept. */
  namespaces: readonly string[]
}

type DatastoreKey = Parameters<BoundedDatastore['put']>[0]

export class Libp2pDht implements Dht {
  readonly datastore: BoundedDatastore
  readonly #options: Libp2pDhtOptions
  #rules: DhtRules | undefined
  /** Peers to which there is a direct connection. */
  readonly #usable = new Set<NodeId>()
  #engine: Engine | undefined

  constructor(options: Libp2pDhtOptions) {
    this.#options = options
    this.datastore = new BoundedDatastore((before, after) => this.#isNewer(before, after))
  }

  /** Nodes in the routing table: those that can be asked. */
  get peers(): number {
    return this.#engine?.dht.routingTable.size ?? 0
  }

  setRules(rules: DhtRules): void {
    this.#rules = rules
  }

  attach(engine: Engine | undefined): void {
    this.#engine = engine
  }

  /** For libp2p: a record that came from the network. Rejects when it must not be kept. */
  async validate(key: string, value: Uint8Array): Promise<void> {
    this.#check(key, value)
    await this.#rules?.validate(key, value)
  }

  select(key: string, values: readonly Uint8Array[]): number {
    return this.#rules?.select(key, values) ?? 0
  }

  async put(key: string, value: Uint8Array, { signal }: { signal: AbortSignal }): Promise<number> {
    await this.validate(key, value)
    this.#keep(key, value)
    const engine = this.#engine
    if (!engine || this.peers === 0) return 0
    const confirmed = new Set<string>()
    try {
      for await (const event of engine.dht.put(utf8(key), value, { signal })) {
        if (event.name !== 'PEER_RESPONSE' || event.messageName !== 'PUT_VALUE' || !event.record) continue
        if (equalBytes(event.record.value, value)) confirmed.add(event.from.toString())
      }
    } catch (error) {
      this.#log('a put ended early', key, error)
    }
    return confirmed.size
  }

  async *get(key: string, { signal }: { signal: AbortSignal }): AsyncGenerator<Uint8Array> {
    const seen: Uint8Array[] = []
    const held = this.#held(key)
    if (held) {
      seen.push(held)
      yield held
    }
    const engine = this.#engine
    if (!engine || this.peers === 0) return
    try {
      // Its own values come at the end of the query; each peer's answer, already validated, comes at once.
      for await (const event of engine.dht.get(utf8(key), { signal })) {
        if (event.name !== 'PEER_RESPONSE' || !event.record) continue
        const { value } = event.record
        if (seen.some((other) => equalBytes(other, value))) continue
        seen.push(value)
        this.#keep(key, value)
        yield value
      }
    } catch (error) {
      this.#log('a look-up ended early', key, error)
    }
  }

  /** A direct connection to the peer is usable: it belongs in the routing table. */
  add(peer: NodeId): void {
    this.#usable.add(peer)
    this.#enter(peer, limits.DHT_ENTER_ATTEMPTS).catch((error) => this.#log('cannot add a peer', peer, error))
  }

  /** The table takes only whom it has pinged, once, for a second: who is busy just then is pinged again. */
  async #enter(peer: NodeId, attempts: number): Promise<void> {
    const engine = this.#engine
    const table = engine?.dht.routingTable
    if (!engine || !this.#usable.has(peer)) return
    const id = engine.peerId(peer)
    await table?.add?.(id)
    if (attempts <= 1 || (await table?.find?.(id))) return
    setTimeout(() => {
      this.#enter(peer, attempts - 1).catch((error) => this.#log('cannot add a peer', peer, error))
    }, limits.DHT_ENTER_PAUSE_MS)
  }

  /** It is not, and must not delay a query. */
  remove(peer: NodeId): void {
    this.#usable.delete(peer)
    const engine = this.#engine
    engine?.dht.routingTable
      .remove?.(engine.peerId(peer))
      .catch((error) => this.#log('cannot remove a peer', peer, error))
  }

  #check(key: string, value: Uint8Array): void {
    const namespace = key.split('/')[1] ?? ''
    if (!key.startsWith('/') || !this.#options.namespaces.includes(namespace)) {
      throw new OsError('EINVAL', `Cannot use the DHT key ${key}: its namespace is none of ${this.#options.namespaces}`)
    }
    if (utf8(key).byteLength > limits.DHT_KEY_BYTES || value.byteLength > limits.DHT_VALUE_BYTES) {
      throw new OsError('EFBIG', `A DHT record has at most ${limits.DHT_VALUE_BYTES} bytes: ${key}`)
    }
  }

  #keep(key: string, value: Uint8Array): void {
    const name = RECORD_PREFIX + base32.baseEncode(utf8(key))
    // The store asks a key for nothing but its text.
    this.datastore.put({ toString: () => name } as DatastoreKey, encodeRecord({ key, value }, new Date()))
  }

  #held(key: string): Uint8Array | undefined {
    const bytes = this.datastore.record(base32.baseEncode(utf8(key)))
    const record = bytes && decodeRecord(bytes)
    return record?.key === key ? record.value : undefined
  }

  #isNewer(before: Uint8Array, after: Uint8Array): boolean {
    const [old, young] = [decodeRecord(before), decodeRecord(after)]
    if (!old || !young) return true
    // The same value again only renews its time of arrival.
    return equalBytes(old.value, young.value) || this.select(young.key, [old.value, young.value]) === 1
  }

  #log(message: string, subject: string, error: unknown): void {
    this.#options.log.log('debug', 'dht', message, { subject, error: errorLine(error) })
  }
}
