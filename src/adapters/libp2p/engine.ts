// The libp2p node itself: the only file that loads libp2p, and therefore loaded when the network starts (network.ts).
// It configures and composes; what is dialled, kept and answered is decided in links.ts, dialer.ts and dht.ts.
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { privateKeyFromProtobuf } from '@libp2p/crypto/keys'
import { type Identify, identify } from '@libp2p/identify'
import type { Libp2p, PeerId, Transport } from '@libp2p/interface'
import { type KadDHT, kadDHT } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { type Ping, ping } from '@libp2p/ping'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2pInit } from 'libp2p'
import type { LogSink } from '../../ports/log.ts'
import type { BoundedDatastore } from './datastore.ts'
import * as limits from './limits.ts'
import { quietLogger } from './narration.ts'

export interface EngineOptions {
  privateKeyBytes: Uint8Array
  datastore: BoundedDatastore
  log: LogSink
  namespaces: readonly string[]
  /** Asked at every connection: the relay's advice may change. */
  iceServers(): RTCIceServer[]
  /** Nothing else in libp2p may dial: not the DHT, not its tables, not its reconnection. */
  mayDial(peer: string): boolean
  isDirect(peer: string): boolean
  /** Rejects for a record that must not be kept. */
  validate(key: string, value: Uint8Array): Promise<void>
  select(key: string, values: readonly Uint8Array[]): number
}

/** What the DHT offers beside its public interface; checked at run time where it is used. */
export type OpenDht = KadDHT &
  Partial<EventTarget> & {
    routingTable: {
      size: number
      add?(peer: PeerId): Promise<void>
      remove?(peer: PeerId): Promise<void>
      find?(peer: PeerId): Promise<PeerId | undefined>
    }
  }

type Services = { identify: Identify; ping: Ping; dht: KadDHT; parts: Parts }

/** libp2p's own components that its public interface hides; services receive them. */
interface Parts {
  registrar: {
    getHandler(protocol: string): { handler: (...args: never[]) => unknown; options: object }
  }
  transportManager: { listen(addresses: Multiaddr[]): Promise<void> }
}

/** Reservations at relays (circuit-relay-v2 4.2.13: CircuitRelayTransport.reservationStore). */
interface Reservations extends EventTarget {
  addRelay(peer: PeerId, type: 'configured'): Promise<unknown>
  hasReservation(peer: PeerId): boolean
}

export interface Engine {
  readonly node: Libp2p<Services>
  readonly dht: OpenDht
  readonly parts: Parts
  readonly reservations: Reservations
  address(text: string): Multiaddr
  peerId(text: string): PeerId
}

/** The node is made, not started. */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  let circuit: (Transport & { reservationStore?: Reservations }) | undefined
  const node = await createLibp2p<Services>({
    start: false,
    privateKey: privateKeyFromProtobuf(options.privateKeyBytes),
    nodeInfo: { name: 'brittlestar', version: '1', userAgent: 'brittlestar' },
    datastore: options.datastore,
    logger: quietLogger(options.log),
    addresses: { listen: ['/webrtc'] },
    transports: [
      webRTC({
        rtcConfiguration: () => ({ iceServers: options.iceServers() }),
        dataChannel: { maxMessageSize: limits.MAX_MESSAGE_BYTES, maxBufferedAmount: limits.STREAM_BUFFER_BYTES },
      }),
      webSockets(),
      (components) => {
        circuit = circuitRelayTransport()(components)
        return circuit
      },
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    transportManager: { faultTolerance: 1 },
    ...connectionOptions(options),
    services: {
      identify: identify({ runOnLimitedConnection: false }),
      ping: ping({ maxInboundStreams: limits.MAX_STREAMS_PER_KIND * 2 }),
      dht: kadDHT(dhtOptions(options)),
      parts: ({ registrar, transportManager }) => ({ registrar, transportManager }),
    },
  })
  if (!circuit?.reservationStore) throw new Error('circuit-relay-v2 has no reservationStore: its version has changed')
  const { dht, parts } = node.services
  return {
    node,
    dht: dht as OpenDht,
    parts,
    reservations: circuit.reservationStore,
    address: multiaddr,
    peerId: peerIdFromString,
  }
}

function connectionOptions({
  mayDial,
}: EngineOptions): Pick<Libp2pInit, `connection${'Gater' | 'Manager' | 'Monitor'}`> {
  return {
    connectionGater: {
      denyDialPeer: (peer) => !mayDial(peer.toString()),
      // Its default in browsers refuses the addresses of private networks and plain WebSockets.
      denyDialMultiaddr: () => false,
    },
    connectionManager: {
      maxConnections: limits.MAX_CONNECTIONS,
      maxParallelDials: limits.MAX_DIALS * 2,
      dialTimeout: limits.DIAL_MS,
      addressDialTimeout: limits.ADDRESS_DIAL_MS,
      inboundUpgradeTimeout: limits.DIAL_MS,
      inboundStreamProtocolNegotiationTimeout: limits.OPEN_STREAM_MS,
      outboundStreamProtocolNegotiationTimeout: limits.OPEN_STREAM_MS,
      inboundConnectionThreshold: Number.POSITIVE_INFINITY,
      maxIncomingPendingConnections: limits.MAX_CONNECTIONS,
      reconnectRetries: 0,
    },
    // It opens a stream to everybody every 10 s, which costs the page threads of both sides, and would close
    // connections of busy or frozen tabs. The kernel judges who is alive.
    connectionMonitor: { enabled: false },
  }
}

function dhtOptions(options: EngineOptions): Parameters<typeof kadDHT>[0] {
  const timeout = { minTimeout: limits.DHT_REQUEST_MIN_MS, maxTimeout: limits.DHT_REQUEST_MAX_MS }
  const decoder = new TextDecoder()
  const forNamespaces = <T>(value: T) => Object.fromEntries(options.namespaces.map((name) => [name, value]))
  return {
    protocol: '/brittlestar/kad/1.0.0',
    clientMode: false,
    alpha: 3,
    disjointPaths: 1,
    networkDialTimeout: timeout,
    pingNewContactTimeout: timeout,
    pingOldContactTimeout: timeout,
    // Queries wait for the first look for neighbours, and that waits for the first neighbour.
    initialQuerySelfInterval: 1,
    // Only peers that are directly connected enter the table or are told to others. Such a peer may have no address
    // of its own (no relay holds a place for it), and the library ignores peers without any.
    peerInfoMapper: ({ id, multiaddrs }) => {
      if (!options.isDirect(id.toString())) return { id, multiaddrs: [] }
      return { id, multiaddrs: multiaddrs.length > 0 ? multiaddrs : [multiaddr(`/webrtc/p2p/${id}`)] }
    },
    validators: forNamespaces((key: Uint8Array, value: Uint8Array) => options.validate(decoder.decode(key), value)),
    selectors: forNamespaces((key: Uint8Array, values: Uint8Array[]) => options.select(decoder.decode(key), values)),
  }
}
