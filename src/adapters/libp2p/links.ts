// Direct connections to peers: at most one per peer is used, the others are closed; what happens to them becomes
// NetworkEvents. dialer.ts makes them; relayed connections are only noticed here to be closed after their upgrade.
import type { Connection } from '@libp2p/interface'
import { errorLine } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { NetworkEvent } from '../../ports/network.ts'
import type { Pace } from './channel-stream.ts'
import * as limits from './limits.ts'

/** An RTCPeerConnection below a libp2p connection; with `onsidechannel` it is the facade of adapters/rtc. */
export interface BelowConnection extends EventTarget {
  readonly iceConnectionState: RTCIceConnectionState
  readonly sctp?: { readonly maxMessageSize: number } | null
  createDataChannel(label: string): RTCDataChannel
  onsidechannel?: ((channel: RTCDataChannel) => void) | null
  heardPackets?(): Promise<number | undefined>
}

export interface Link {
  readonly peer: NodeId
  readonly connection: Connection
  readonly below: BelowConnection | undefined
  readonly pace: Pace
  readonly openedAt: number
  reachable: boolean
  /** Channels that the peer has opened beside libp2p's and that are still open. */
  sideChannels: number
}

export interface LinksOptions {
  self: NodeId
  log: LogSink
  emit(event: NetworkEvent): void
  onSideChannel(link: Link, channel: RTCDataChannel): void
  /** A first direct connection to this peer exists. */
  onDirect(peer: NodeId): void
  onGone(peer: NodeId): void
  onReachable(peer: NodeId, reachable: boolean): void
}

export class Links {
  readonly #options: LinksOptions
  /** Open direct connections by peer; the first one is the one in use. */
  readonly #links = new Map<NodeId, Link[]>()
  /** Why we closed all connections to a peer, for the event that follows. */
  readonly #reasons = new Map<NodeId, string>()

  constructor(options: LinksOptions) {
    this.#options = options
  }

  get(peer: NodeId): Link | undefined {
    return this.#links.get(peer)?.[0]
  }

  peers(): NodeId[] {
    return [...this.#links.keys()]
  }

  /** @returns whether it is a direct connection to a peer. */
  opened(connection: Connection): boolean {
    if (!isDirect(connection) || connection.status !== 'open') return false
    const peer = connection.remotePeer.toString() as NodeId
    const link = this.#observe(peer, connection)
    const before = this.#links.get(peer)
    if (!before) {
      this.#links.set(peer, [link])
      this.#options.emit({ type: 'connected', peer, direct: true })
      this.#options.onDirect(peer)
      return true
    }
    const [used, spare] = this.#prefer(before[0] ?? link, link)
    this.#links.set(peer, [used, ...[...before, link].filter((other) => other !== used)])
    this.#options.log.log('debug', 'network', 'a second connection to one peer: closing one', { peer })
    spare.connection.abort(new Error('another connection to this peer is used'))
    return true
  }

  closed(connection: Connection, why: string): void {
    const peer = connection.remotePeer.toString() as NodeId
    const links = this.#links.get(peer)
    if (!links?.some((link) => link.connection === connection)) return
    const rest = links.filter((link) => link.connection !== connection)
    if (rest.length > 0) {
      this.#links.set(peer, rest)
      return
    }
    this.#links.delete(peer)
    const reason = this.#reasons.get(peer) ?? why
    this.#reasons.delete(peer)
    this.#options.emit({ type: 'disconnected', peer, reason })
    this.#options.onGone(peer)
  }

  /** Of the connection that is used; undefined where it ends meanwhile. */
  async heardPackets(peer: NodeId): Promise<number | undefined> {
    try {
      return await this.get(peer)?.below?.heardPackets?.()
    } catch (error) {
      this.#options.log.log('debug', 'network', `cannot count what ${peer} sends: ${errorLine(error)}`)
      return undefined
    }
  }

  close(peer: NodeId, reason: string): void {
    const links = this.#links.get(peer)
    if (!links) return
    this.#reasons.set(peer, reason)
    for (const { connection } of [...links]) connection.abort(new Error(reason))
  }

  /**
   * Of two connections, the one to keep and the one to close. Both sides must choose alike: of two simultaneous dials
   * that of the smaller peer id wins. Otherwise the newer one replaces one that the peer no longer knows.
   */
  #prefer(before: Link, after: Link): [Link, Link] {
    const dialledBy = (link: Link): string =>
      link.connection.direction === 'outbound' ? this.#options.self : link.peer
    const simultaneous = after.openedAt - before.openedAt < limits.SIMULTANEOUS_MS
    if (!before.reachable || !simultaneous || dialledBy(before) === dialledBy(after)) return [after, before]
    return dialledBy(before) < dialledBy(after) ? [before, after] : [after, before]
  }

  #observe(peer: NodeId, connection: Connection): Link {
    const below = belowOf(connection)
    const max = (): number =>
      Math.min(below?.sctp?.maxMessageSize ?? limits.SAFE_MESSAGE_BYTES, limits.MAX_MESSAGE_BYTES)
    const pace: Pace = { sentBytes: 0, maxMessageBytes: max }
    const link: Link = { peer, connection, below, pace, openedAt: performance.now(), reachable: true, sideChannels: 0 }
    below?.addEventListener('iceconnectionstatechange', () => this.#iceChanged(link))
    if (below && 'onsidechannel' in below) {
      below.onsidechannel = (channel) => this.#options.onSideChannel(link, channel)
    }
    return link
  }

  #iceChanged(link: Link): void {
    const state = link.below?.iceConnectionState
    const reachable = state === 'connected' || state === 'completed'
    if (!reachable && state !== 'disconnected' && state !== 'failed') return
    if (reachable === link.reachable) return
    link.reachable = reachable
    if (this.get(link.peer) !== link) return
    this.#options.emit({ type: 'reachable', peer: link.peer, reachable })
    this.#options.onReachable(link.peer, reachable)
  }
}

/** Relayed connections have limits or end in `/p2p-circuit`; those to the relay are WebSockets. */
export function isDirect(connection: Connection): boolean {
  return connection.limits === undefined && connection.direct && connection.remoteAddr.toString().includes('/webrtc')
}

/** libp2p hides what is below a connection (3.3.11: Connection.maConn, @libp2p/webrtc 6.0.33: .peerConnection). */
function belowOf(connection: Connection): BelowConnection | undefined {
  const { maConn } = connection as { maConn?: { peerConnection?: BelowConnection } }
  return typeof maConn?.peerConnection?.createDataChannel === 'function' ? maConn.peerConnection : undefined
}
