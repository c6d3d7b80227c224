// The Network port: composes links, dialer and relay over a libp2p node that is loaded when the network starts.
// It decides nothing about membership: what it hears becomes NetworkEvents, what it is asked for it does.
import type { Connection } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { orAborted } from '../../base/abort.ts'
import { assert } from '../../base/assert.ts'
import { Emitter } from '../../base/emitter.ts'
import { errorLine, OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { ByteStream, Network, NetworkEvent, StreamKind } from '../../ports/network.ts'
import type { Random } from '../../ports/random.ts'
import { ChannelStream } from './channel-stream.ts'
import type { Libp2pDht } from './dht.ts'
import { Dialer } from './dialer.ts'
import type { Engine } from './engine.ts'
import { type Identity, isNodeId } from './identity.ts'
import { Libp2pStream } from './libp2p-stream.ts'
import * as limits from './limits.ts'
import { isDirect, type Link, Links } from './links.ts'
import { type RelayInfo, RelayLink } from './relay-link.ts'
import { RelayWitness } from './witness-link.ts'

const SIGNALLING_PROTOCOL = '/webrtc-signaling/0.0.1'
const PROTOCOLS = { control: '/brittlestar/control/1', bulk: '/brittlestar/bulk/1' } as const
const KINDS = ['control', 'bulk'] as const
const MAX_EXTRA_ADDRESSES = 2

export interface Libp2pNetworkOptions {
  identity: Identity
  relay: RelayInfo | null
  log: LogSink
  random: Pick<Random, 'float'>
  namespaces: readonly string[]
  dht: Libp2pDht
  goodbye: string | undefined
}

type StreamListener = (peer: NodeId, kind: StreamKind, stream: ByteStream) => void

/** What exists from `start` to `close`. */
interface Running {
  engine: Engine
  dialer: Dialer
  relay: RelayLink
}

/** A relayed connection and what will close it. */
interface Limited {
  timer: ReturnType<typeof setTimeout>
  /** It has led to a direct connection. */
  used: boolean
}

export class Libp2pNetwork implements Network {
  readonly self: NodeId
  readonly witness: RelayWitness
  readonly #options: Libp2pNetworkOptions
  readonly #emitter: Emitter<NetworkEvent>
  readonly #links: Links
  readonly #found = new Map<NodeId, number>()
  readonly #limited = new Map<Connection, Limited>()
  #relayInfo: RelayInfo | null
  #onStream: StreamListener = () => assert(false, 'onStream must be set before start')
  #starting: Promise<void> | undefined
  #running: Running | undefined
  #closed = false

  constructor(options: Libp2pNetworkOptions) {
    this.#options = options
    this.self = options.identity.nodeId
    this.#relayInfo = options.relay
    const { log, dht } = options
    this.witness = new RelayWitness(log)
    this.#emitter = new Emitter((error) =>
      log.log('error', 'network', 'a listener failed', { error: errorLine(error) }),
    )
    this.#links = new Links({
      self: this.self,
      log,
      emit: (event) => this.#emitter.emit(event),
      onSideChannel: (link, channel) => this.#acceptChannel(link, channel),
      onDirect: (peer) => this.#running?.dialer.connected(peer),
      onGone: (peer) => dht.remove(peer),
      onReachable: (peer, reachable) => (reachable ? dht.add(peer) : dht.remove(peer)),
    })
  }

  on(listener: (event: NetworkEvent) => void): () => void {
    return this.#emitter.on(listener)
  }

  onStream(listener: StreamListener): void {
    this.#onStream = listener
  }

  start(): Promise<void> {
    this.#starting ??= this.#start()
    return this.#starting
  }

  setRelay(info: RelayInfo | null): void {
    this.#relayInfo = info
    this.#running?.relay.set(info)
  }

  async connect(peer: NodeId, options: { signal: AbortSignal }): Promise<void> {
    if (this.#links.get(peer)) return
    if (!this.#running) throw new OsError('EHOSTUNREACH', `Cannot connect to ${peer}: the network is not running`)
    await this.#running.dialer.connect(peer, options)
  }

  disconnect(peer: NodeId): void {
    const running = this.#running
    running?.dialer.cancel(peer)
    this.#links.close(peer, 'this node disconnected')
    for (const connection of running?.engine.node.getConnections(running.engine.peerId(peer)) ?? []) {
      connection.abort(new Error('this node disconnected'))
    }
  }

  heardPackets(peer: NodeId): Promise<number | undefined> {
    return this.#links.heardPackets(peer)
  }

  async open(peer: NodeId, kind: StreamKind, { signal }: { signal: AbortSignal }): Promise<ByteStream> {
    const link = this.#links.get(peer)
    if (!link) throw new OsError('EHOSTUNREACH', `Cannot open a stream to ${peer}: it is not connected`)
    try {
      const timeout = AbortSignal.any([signal, AbortSignal.timeout(limits.OPEN_STREAM_MS)])
      if (link.below && 'onsidechannel' in link.below) return await openChannel(link, kind, timeout)
      const { connection } = link
      const stream = await connection.newStream(PROTOCOLS[kind], {
        signal: timeout,
        maxOutboundStreams: limits.MAX_STREAMS_PER_KIND,
      })
      return new Libp2pStream(stream)
    } catch (cause) {
      const code = signal.aborted ? 'ECANCELED' : this.#links.get(peer) ? 'ETIMEDOUT' : 'ECONNRESET'
      throw new OsError(code, `Cannot open a ${kind} stream to ${peer}: ${errorLine(cause)}`, { cause })
    }
  }

  wake(): void {
    this.#running?.relay.wake()
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#starting?.catch(() => undefined) // told to whoever started it
    const running = this.#running
    this.#running = undefined
    if (running) {
      running.relay.close()
      running.dialer.close()
      for (const { timer } of this.#limited.values()) clearTimeout(timer)
      for (const peer of this.#links.peers()) this.#links.close(peer, 'this node stopped')
      await running.engine.node.stop()
    }
    this.#options.dht.attach(undefined)
    this.#emitter.clear()
  }

  async #start(): Promise<void> {
    const { identity, log, namespaces, dht, random } = this.#options
    const { createEngine } = await this.#loadEngine()
    const engine = await createEngine({
      privateKeyBytes: identity.privateKeyBytes,
      datastore: dht.datastore,
      log,
      namespaces,
      iceServers: () => [...(this.#relayInfo?.iceServers ?? [])],
      mayDial: (peer) => peer === this.#relayInfo?.peerId || this.#running?.dialer.isDialling(peer) === true,
      isDirect: (peer) => peer === this.#relayInfo?.peerId || this.#links.get(peer as NodeId) !== undefined,
      validate: (key, value) => dht.validate(key, value),
      select: (key, values) => dht.select(key, values),
    })
    const dialer = new Dialer({
      self: this.self,
      node: engine.node,
      isDirect: (peer) => this.#links.get(peer) !== undefined,
      addresses: (peer) => {
        this.#dropUsed(peer)
        return this.#addresses(peer)
      },
    })
    const relay = new RelayLink({
      engine,
      goodbye: this.#options.goodbye,
      log,
      random,
      onState: (state, detail) => {
        this.witness.set(relay.connection)
        // libp2p enters it when it has said what it speaks, after one ping that may come too late on a busy machine.
        if (state === 'connected' && this.#relayInfo) dht.add(this.#relayInfo.peerId as NodeId)
        this.#emitter.emit({ type: 'relay', state, detail })
      },
      onListed: (peers) => {
        for (const peer of peers) this.#foundBy(peer, 'relay')
        this.#emitter.emit({ type: 'listed', peers: peers.filter((peer) => peer !== this.self) })
      },
      onFound: (peer) => this.#foundBy(peer, 'relay'),
      onGone: (peer, said) => peer !== this.self && this.#emitter.emit({ type: 'hint-gone', peer, said }),
    })
    this.#listen(engine)
    await engine.node.start()
    await this.#guardSignalling(engine, dialer)
    dht.attach(engine)
    this.#running = { engine, dialer, relay }
    if (this.#closed) return
    relay.set(this.#relayInfo)
  }

  /** The relay serves it, and may be away just now: it is asked for again until it is there, or the node stops. */
  async #loadEngine(): Promise<typeof import('./engine.ts')> {
    for (let pauseMs = limits.ENGINE_RETRY_MIN_MS; ; pauseMs = Math.min(pauseMs * 2, limits.ENGINE_RETRY_MAX_MS)) {
      try {
        return await import('./engine.ts')
      } catch (error) {
        if (this.#closed) throw error
        const fields = { error: errorLine(error) }
        this.#options.log.log('warn', 'network', 'the network could not be loaded: it is asked for again', fields)
        this.#emitter.emit({ type: 'relay', state: 'offline', detail: fields.error })
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
      }
    }
  }

  #listen({ node, dht }: Engine): void {
    for (const kind of KINDS) {
      const accept = (stream: ConstructorParameters<typeof Libp2pStream>[0], connection: Connection): void => {
        this.#onStream(connection.remotePeer.toString() as NodeId, kind, new Libp2pStream(stream))
      }
      void node.handle(PROTOCOLS[kind], accept, { maxInboundStreams: limits.MAX_STREAMS_PER_KIND })
    }
    node.addEventListener('connection:open', ({ detail }) => this.#opened(detail))
    node.addEventListener('connection:close', ({ detail }) => {
      clearTimeout(this.#limited.get(detail)?.timer)
      this.#limited.delete(detail)
      this.#links.closed(detail, 'the connection was closed')
    })
    node.addEventListener('peer:disconnect', ({ detail }) => this.#options.dht.remove(detail.toString() as NodeId))
    dht.addEventListener?.('peer', (event) => {
      const { detail } = event as CustomEvent<{ id: { toString(): string } }>
      this.#foundBy(detail.id.toString() as NodeId, 'dht')
    })
  }

  /** A relayed connection has done its work when there is a direct one; if none comes, nobody else would close it. */
  #opened(connection: Connection): void {
    const peer = connection.remotePeer.toString()
    if (peer === this.#relayInfo?.peerId) return
    // Other kinds of keys than ours have other kinds of ids; nobody in a cluster has one.
    if (!isNodeId(peer)) return connection.abort(new Error('its key is not ed25519'))
    if (this.#links.opened(connection)) {
      const delay = connection.direction === 'outbound' ? 0 : limits.LIMITED_LINGER_MS
      for (const other of this.#limited.keys()) {
        if (other.remotePeer.equals(connection.remotePeer)) this.#closeLater(other, delay, true)
      }
    } else if (!isDirect(connection)) this.#closeLater(connection, limits.DIAL_MS + limits.LIMITED_LINGER_MS, false)
  }

  #closeLater(limited: Connection, delayMs: number, used: boolean): void {
    clearTimeout(this.#limited.get(limited)?.timer)
    const close = (): void => {
      limited.close().catch((error: Error) => limited.abort(error))
    }
    this.#limited.set(limited, { timer: setTimeout(close, delayMs), used })
  }

  /** The dialer decides whose signalling is answered before the transport sees it. */
  async #guardSignalling({ node, parts }: Engine, dialer: Dialer): Promise<void> {
    const { handler, options } = parts.registrar.getHandler(SIGNALLING_PROTOCOL)
    const answer = handler as Parameters<typeof node.handle>[1]
    await node.handle(
      SIGNALLING_PROTOCOL,
      (stream, connection) => {
        if (dialer.signalled(connection, stream)) return answer(stream, connection)
        stream.abort(new Error('this node is dialling you'))
      },
      { ...options, force: true },
    )
  }

  #foundBy(peer: NodeId, via: 'relay' | 'dht'): void {
    if (peer === this.self || peer === this.#relayInfo?.peerId || !isNodeId(peer)) return
    if (via === 'dht') {
      const now = performance.now()
      if (this.#links.get(peer) || now - (this.#found.get(peer) ?? -Infinity) < limits.DHT_FOUND_AGAIN_MS) return
      if (this.#found.size >= limits.DHT_FOUND_PEERS) this.#found.clear()
      this.#found.set(peer, now)
    }
    this.#emitter.emit({ type: 'found', peer, via })
  }

  /** The transport would signal over a relayed connection that the other side is just closing. */
  #dropUsed(peer: NodeId): void {
    for (const [connection, { used }] of [...this.#limited]) {
      if (used && connection.remotePeer.toString() === peer) connection.abort(new Error('it has done its work'))
    }
  }

  /** Through our relay; then as peers have told, e.g. through another tab. */
  async #addresses(peer: NodeId): Promise<Multiaddr[]> {
    const { engine, relay } = this.#running ?? {}
    if (!engine || !relay) return []
    const own = relay.circuitAddress
    const { peerStore } = engine.node
    const id = engine.peerId(peer)
    const known = (await peerStore.has(id)) ? (await peerStore.get(id)).addresses : []
    const others = known
      .map(({ multiaddr }) => multiaddr.toString().replace(`/p2p/${peer}`, ''))
      .filter((text) => text.endsWith('/p2p-circuit/webrtc'))
      .filter((text) => own === undefined || !text.includes(`/p2p/${this.#relayInfo?.peerId}/`))
      .slice(0, MAX_EXTRA_ADDRESSES)
    const all = own === undefined ? others : [`${own}/webrtc`, ...others]
    return all.map((text) => engine.address(`${text}/p2p/${peer}`))
  }

  #acceptChannel(link: Link, channel: RTCDataChannel): void {
    const kind = KINDS.find((each) => PROTOCOLS[each] === channel.label)
    if (
      !kind ||
      link.pace.maxMessageBytes() < limits.MIN_MESSAGE_BYTES ||
      link.sideChannels >= limits.MAX_STREAMS_PER_KIND * KINDS.length
    )
      return channel.close()
    link.sideChannels++
    channel.addEventListener('close', () => link.sideChannels--, { once: true })
    this.#onStream(link.peer, kind, new ChannelStream(channel, link.pace))
  }
}

/** A data channel of our own beside libp2p's, on the same authenticated connection. */
async function openChannel(link: Link, kind: StreamKind, signal: AbortSignal): Promise<ByteStream> {
  if (link.pace.maxMessageBytes() < limits.MIN_MESSAGE_BYTES) {
    throw new OsError('EPROTO', `it takes messages of at most ${link.pace.maxMessageBytes()} bytes`)
  }
  const channel = link.below?.createDataChannel(PROTOCOLS[kind])
  if (!channel) throw new OsError('ECONNRESET', 'the connection is gone')
  const stream = new ChannelStream(channel, link.pace)
  const opened = new Promise<void>((resolve, reject) => {
    channel.addEventListener('open', () => resolve(), { once: true })
    channel.addEventListener('close', () => reject(new OsError('ECONNRESET', 'the connection was closed')), {
      once: true,
    })
  })
  try {
    await orAborted(opened, signal, () => new OsError('ETIMEDOUT', 'it took too long'))
  } catch (error) {
    stream.abort('it did not open')
    throw error
  }
  return stream
}
