// The libp2p side of the relay: circuits for signalling, a seat in the tabs' DHT, the rendezvous.
// front.ts owns the port and says who may connect; nothing here limits by address.
import { type CircuitRelayService, circuitRelayServer, RELAY_V2_STOP_CODEC } from '@libp2p/circuit-relay-v2'
import { type Identify, identify } from '@libp2p/identify'
import type { Libp2p, PeerId, PrivateKey } from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { type Ping, ping } from '@libp2p/ping'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { errorLine } from '../src/base/errors.ts'
import { BoundedDatastore } from './datastore.ts'
import type { UpgradeHandler } from './front.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log.ts'
import type { Metrics } from './metrics.ts'
import { dhtProtocol, recordSelectors, recordValidators } from './records.ts'
import { Rendezvous, rendezvousProtocol, rendezvousStreamsPerPeer } from './rendezvous.ts'
import { FrontTransport, loopbackListen } from './transport.ts'
import { Witnesses, witnessProtocol, witnessStreamsPerPeer } from './witness.ts'
import type { WitnessStore } from './witness-store.ts'

export interface RelayNodeOptions {
  key: PrivateKey
  cluster: string
  /** Multiaddrs, without a peer id, that tabs hear as this relay's. */
  announce: readonly string[]
  maxPeers: number
  version: string
  limits: Limits
  log: Log
  metrics: Metrics
  witnessStore: WitnessStore
}

export interface RelayNode {
  readonly peerId: string
  readonly upgrade: UpgradeHandler
  /** A page that is being closed says so, with its tab's secret. @returns whether it is anybody's. */
  goodbye(secret: string): boolean
  /** Ends all streams and connections. Idempotent. */
  close(): Promise<void>
}

// A type, not an interface: libp2p asks for an index signature.
type Services = { identify: Identify; ping: Ping; relay: CircuitRelayService; dht: KadDHT }

export async function startRelayNode(options: RelayNodeOptions): Promise<RelayNode> {
  const { limits, log, metrics } = options
  const transport = new FrontTransport(limits, log)
  const datastore = new BoundedDatastore(limits)
  const node = await createNode(options, transport, datastore)
  const rendezvous = new Rendezvous(options)
  await node.handle(rendezvousProtocol, (stream, connection) => rendezvous.accept(stream, connection), {
    maxInboundStreams: rendezvousStreamsPerPeer,
  })
  const connected = new Set<string>()
  node.addEventListener('peer:connect', ({ detail }) => connected.add(detail.toString()))
  node.addEventListener('peer:disconnect', ({ detail }) => connected.delete(detail.toString()))
  const alive = (peer: string) => connected.has(peer)
  const witnesses = new Witnesses({ store: options.witnessStore, alive, limits, log, metrics })
  await node.handle(witnessProtocol, (stream, connection) => witnesses.accept(stream, connection), {
    maxInboundStreams: witnessStreamsPerPeer,
  })
  node.addEventListener('peer:disconnect', ({ detail }) => forgetInDht(node, detail, log))
  metrics.gauge('brittlestar_peers', 'Tabs with a libp2p connection now.', () => node.getPeers().length)
  metrics.gauge('brittlestar_reservations', 'Relay slots held now.', () => node.services.relay.reservations.size)
  metrics.gauge('brittlestar_circuits', 'Circuits between two tabs open now.', () => circuits(node))
  metrics.gauge('brittlestar_dht_records', 'Directory records kept here.', () => datastore.records)
  let closing: Promise<void> | undefined
  return {
    peerId: node.peerId.toString(),
    upgrade: (request, socket, head) => transport.upgrade(request, socket, head),
    goodbye: (secret) => rendezvous.goodbye(secret),
    close: () => {
      rendezvous.close()
      witnesses.close()
      closing ??= Promise.resolve(node.stop()).then(() => options.witnessStore.close())
      return closing
    },
  }
}

function createNode(
  { key, announce, maxPeers, version, limits }: RelayNodeOptions,
  transport: FrontTransport,
  datastore: BoundedDatastore,
): Promise<Libp2p<Services>> {
  const streamOptions = {
    maxReadBufferLength: limits.streamBufferBytes,
    maxWriteBufferLength: limits.streamBufferBytes,
  }
  return createLibp2p<Services>({
    privateKey: key,
    nodeInfo: { name: 'brittlestar-relay', version },
    datastore,
    addresses: { listen: [loopbackListen], announce: [...announce] },
    transports: [transport.factory],
    connectionEncrypters: [noise()],
    streamMuxers: [
      yamux({
        maxInboundStreams: limits.streamsPerConnection,
        maxOutboundStreams: limits.streamsPerConnection,
        streamOptions,
      }),
    ],
    connectionGater: { denyInboundConnection: (connection) => !transport.isAdmitted(connection) },
    connectionManager: {
      // The front refuses newcomers; libp2p would cut connections of tabs that are at work. Each tab may briefly
      // hold two, when it redials before the old one is seen to be dead.
      maxConnections: maxPeers * 2 + 1,
      inboundConnectionThreshold: Number.POSITIVE_INFINITY,
      // The front has counted each of them, by its address too: a bound of all that say nothing would be one that a single
      // address can fill, and then nobody joins. The library's 10 refuses a class that joins together.
      maxIncomingPendingConnections: maxPeers * 2 + 1,
      inboundUpgradeTimeout: limits.upgradeMs,
    },
    // Pings would ask hidden and frozen tabs; TCP keep-alive finds the dead ones (limits.tcpKeepAliveMs).
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      ping: ping({ maxInboundStreams: 4 }),
      relay: circuitRelayServer({
        maxInboundHopStreams: limits.hopStreams,
        maxOutboundStopStreams: limits.hopStreams,
        reservations: {
          maxReservations: limits.reservations,
          reservationTtl: limits.reservationTtlMs,
          defaultDurationLimit: limits.circuitMs,
          defaultDataLimit: limits.circuitBytes,
        },
      }),
      dht: kadDHT({
        protocol: dhtProtocol,
        clientMode: false,
        alpha: 3,
        disjointPaths: 1,
        peerInfoMapper: passthroughMapper,
        validators: recordValidators,
        selectors: recordSelectors,
      }),
    },
  })
}

/** The library keeps peers that left in its table until it pings them; tabs would be sent to them meanwhile. */
function forgetInDht({ services: { dht } }: Libp2p<Services>, peer: PeerId, log: Log): void {
  const { routingTable } = dht as KadDHT & { routingTable?: { remove?: (peer: PeerId) => Promise<void> } }
  routingTable
    ?.remove?.(peer)
    .catch((error) => log.debug('cannot remove a peer from the routing table', { error: errorLine(error) }))
}

/** Each circuit is one outbound "stop" stream to the tab that was called. */
function circuits(node: Libp2p): number {
  const streams = node.getConnections().flatMap((connection) => connection.streams)
  return streams.filter((stream) => stream.protocol === RELAY_V2_STOP_CODEC).length
}
