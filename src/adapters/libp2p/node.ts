// Entry of this adapter: one libp2p node as the ports Network and Dht. Creating it is cheap; libp2p is loaded by
// `network.start()`. In a worker, install adapters/rtc first: the WebRTC transport copies the globals when loaded.
import type { Dht } from '../../ports/dht.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Network } from '../../ports/network.ts'
import type { Random } from '../../ports/random.ts'
import { Libp2pDht } from './dht.ts'
import type { Identity } from './identity.ts'
import { Libp2pNetwork } from './network.ts'
import type { RelayInfo } from './relay-link.ts'

export type { RelayInfo } from './relay-link.ts'

/** DHT namespaces that the relay stores; both sides must agree (relay/records.ts). */
export const DHT_NAMESPACES = ['bs-peer', 'bs-home', 'bs-prov', 'bs-dev'] as const

export interface Libp2pNodeOptions {
  /** From identity.ts: createIdentity or loadIdentity. */
  identity: Identity
  /** null: no relay is known yet; setRelay tells later. */
  relay: RelayInfo | null
  log: LogSink
  /** For jitter. */
  random: Pick<Random, 'float'>
  dhtNamespaces?: readonly string[]
  /** SHA-256, in hex, of a secret of the page, with which it can say goodbye for this node. */
  goodbye?: string | undefined
}

export interface Libp2pNode {
  readonly network: Network
  readonly dht: Dht
  /** Uses this relay from now on, or none. May be called at any time. */
  setRelay(relay: RelayInfo | null): void
  /** Ends the network. Idempotent. */
  close(): Promise<void>
}

export function createLibp2pNode(options: Libp2pNodeOptions): Libp2pNode {
  const { identity, relay, log, random, goodbye, dhtNamespaces: namespaces = DHT_NAMESPACES } = options
  const dht = new Libp2pDht({ log, namespaces })
  const network = new Libp2pNetwork({ identity, relay, log, random, goodbye, namespaces, dht })
  return {
    network,
    dht,
    setRelay: (info) => network.setRelay(info),
    close: () => network.close(),
  }
}
