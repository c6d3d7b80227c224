// Keeps this node known to its relay: a WebSocket connection, a reservation (so that peers can signal to us) and the
// rendezvous stream (so that we hear of peers). Whatever is lost is regained, with growing pauses.
// States, as NetworkEvents: connecting → connected → (lost) connecting → offline (retrying) → connected.
import type { Connection, Stream } from '@libp2p/interface'
import { orAborted } from '../../base/abort.ts'
import { errorLine, OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { RelayState } from '../../ports/network.ts'
import type { Random } from '../../ports/random.ts'
import type { Engine } from './engine.ts'
import * as limits from './limits.ts'
import { encodeHello, RENDEZVOUS_PROTOCOL, RendezvousDecoder } from './rendezvous.ts'

/** What a relay says of itself at /relay.json. */
export interface RelayInfo {
  readonly peerId: string
  /** Where its WebSocket is, the likeliest first; with or without the peer id at the end. */
  readonly multiaddrs: readonly string[]
  readonly iceServers: readonly RTCIceServer[]
  readonly cluster: string
}

export interface RelayLinkOptions {
  engine: Engine
  log: LogSink
  random: Pick<Random, 'float'>
  /** SHA-256, in hex, of the page's secret: whoever brings that to the relay says goodbye for this tab. */
  goodbye?: string | undefined
  onState(state: RelayState, detail: string): void
  /** Once per rendezvous stream, before anything else of it: who is here. */
  onListed(peers: readonly NodeId[]): void
  onFound(peer: NodeId): void
  /** @param said what its page told the relay. */
  onGone(peer: NodeId, said: string | undefined): void
}

export class RelayLink {
  readonly #options: RelayLinkOptions
  #info: RelayInfo | null = null
  #session = new AbortController()
  #connection: Connection | undefined
  /** Ends the current pause. */
  #hurry: () => void = () => undefined
  /** As told last. */
  #state: RelayState | undefined
  #closed = false
  /** Relay addresses that libp2p listens on. */
  readonly #listened = new Set<string>()

  constructor(options: RelayLinkOptions) {
    this.#options = options
  }

  /** To the relay, while it is connected. */
  get connection(): Connection | undefined {
    return this.#connection?.status === 'open' ? this.#connection : undefined
  }

  /** The base of addresses at which peers are reached through this relay, while it is connected. */
  get circuitAddress(): string | undefined {
    if (this.#connection?.status !== 'open') return undefined
    return `${withPeerId(this.#connection.remoteAddr.toString(), this.#connection.remotePeer.toString())}/p2p-circuit`
  }

  /** Changes relays, or starts and stops having one. What is known already is only taken as a hint to look again. */
  set(info: RelayInfo | null): void {
    if (this.#closed) return
    if (info && sameRelay(info, this.#info)) return this.wake()
    this.#info = info
    const before = this.#connection
    this.#connection = undefined
    this.#session.abort()
    this.#session = new AbortController()
    if (before && before.remotePeer.toString() !== info?.peerId) before.abort(new Error('another relay is used'))
    if (info) void this.#keep(info, this.#session.signal)
    else this.#setState('offline', 'there is no relay')
  }

  /** Looks at once whether the relay is there, and tries at once if it was not. */
  wake(): void {
    this.#hurry()
    if (this.#connection) void this.#ping(this.#connection, limits.RELAY_WAKE_PING_MS)
  }

  close(): void {
    this.#closed = true
    this.#session.abort()
  }

  async #keep(info: RelayInfo, signal: AbortSignal): Promise<void> {
    let failures = 0
    this.#setState('connecting', `dialling ${info.multiaddrs[0] ?? 'no address'}`)
    while (!signal.aborted) {
      const timeout = AbortSignal.timeout(Math.min(limits.RELAY_DIAL_MS * 2 ** failures, limits.RELAY_DIAL_MAX_MS))
      try {
        const connection = await this.#connect(info, AbortSignal.any([signal, timeout]))
        if (signal.aborted) break
        failures = 0
        this.#connection = connection
        this.#setState('connected', connection.remoteAddr.toString())
        const reason = await this.#serve(connection, info, signal)
        if (!signal.aborted) this.#setState('connecting', reason)
      } catch (error) {
        if (signal.aborted) break
        // A WebSocket tells nobody why it failed.
        const why = error instanceof Event ? 'ECONNREFUSED: its WebSocket does not open' : errorLine(error)
        this.#options.log.log('debug', 'network', 'the relay cannot be reached', { error: why, failures })
        failures++
        // No answer in time says little, the first time: a machine that starts a dozen tabs is slow itself.
        if (!timeout.aborted || failures > 1) this.#setState('offline', why)
      }
      // Another session may have begun; the connection is its own then.
      if (signal.aborted) break
      this.#connection = undefined
      await this.#pause(failures, signal)
    }
  }

  async #connect(info: RelayInfo, timeout: AbortSignal): Promise<Connection> {
    const { node, address, peerId } = this.#options.engine
    if (info.multiaddrs.length === 0) throw new OsError('EINVAL', 'The relay tells no address')
    const addresses = info.multiaddrs.map((text) => address(withPeerId(text, info.peerId)))
    const connection = await node.dial(addresses, { signal: timeout })
    try {
      await orAborted(this.#reserve(connection, peerId(info.peerId)), timeout, () => {
        return new OsError('ETIMEDOUT', 'The relay gives no place')
      })
    } catch (error) {
      connection.abort(new Error('it gives no place'))
      throw error
    }
    return connection
  }

  /** The library refreshes a reservation that it has; it does not make a new one after the connection was lost. */
  async #reserve(connection: Connection, relay: ReturnType<Engine['peerId']>): Promise<void> {
    const { engine } = this.#options
    const text = withPeerId(connection.remoteAddr.toString(), relay.toString())
    // The listener announces us for as long as the node runs; one per relay is enough.
    if (this.#listened.has(text)) await engine.reservations.addRelay(relay, 'configured')
    else await engine.parts.transportManager.listen([engine.address(`${text}/p2p-circuit`)])
    if (!engine.reservations.hasReservation(relay)) throw new OsError('EAGAIN', 'The relay has no place for us')
    this.#listened.add(text)
  }

  /** Until the connection ends. @returns why. */
  async #serve(connection: Connection, info: RelayInfo, signal: AbortSignal): Promise<string> {
    const over = new AbortController()
    const ended = new Promise<string>((resolve) => {
      connection.addEventListener('close', ({ error }) => resolve(error ? errorLine(error) : 'the relay went away'))
      if (connection.status !== 'open') resolve('the relay went away')
      signal.addEventListener('abort', () => resolve('another relay is used'), { once: true })
    })
    const lost = ({ detail }: Event & { detail?: { relay?: { toString(): string } } }): void => {
      if (detail?.relay?.toString() === info.peerId) connection.abort(new Error('the relay took our place away'))
    }
    const { reservations } = this.#options.engine
    reservations.addEventListener('relay:removed', lost)
    const ping = setInterval(() => this.#ping(connection, limits.RELAY_PING_TIMEOUT_MS), limits.RELAY_PING_EVERY_MS)
    void this.#meet(connection, info.cluster, over.signal)
    const reason = await ended
    clearInterval(ping)
    reservations.removeEventListener('relay:removed', lost)
    over.abort()
    return reason
  }

  async #ping(connection: Connection, timeoutMs: number): Promise<void> {
    try {
      const signal = AbortSignal.timeout(timeoutMs)
      await this.#options.engine.node.services.ping.ping(connection.remotePeer, { signal })
    } catch (error) {
      connection.abort(new Error(`the relay does not answer: ${errorLine(error)}`))
    }
  }

  /** Keeps a rendezvous stream open until the signal. */
  async #meet(connection: Connection, cluster: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && connection.status === 'open') {
      try {
        await this.#hear(connection, cluster, signal)
      } catch (error) {
        if (!signal.aborted) {
          this.#options.log.log('warn', 'network', 'the rendezvous failed', { error: errorLine(error) })
        }
      }
      if (!signal.aborted) await sleep(limits.RENDEZVOUS_RETRY_MS, signal)
    }
  }

  async #hear(connection: Connection, cluster: string, signal: AbortSignal): Promise<void> {
    const timeout = AbortSignal.any([signal, AbortSignal.timeout(limits.OPEN_STREAM_MS)])
    const stream = await connection.newStream(RENDEZVOUS_PROTOCOL, { signal: timeout })
    const decoder = new RendezvousDecoder()
    const { promise, resolve } = Promise.withResolvers<void>()
    stream.addEventListener('message', ({ data }) => this.#heard(stream, decoder, data.subarray()))
    stream.addEventListener('close', () => resolve())
    stream.addEventListener('remoteCloseWrite', () => resolve())
    signal.addEventListener('abort', () => resolve(), { once: true })
    stream.send(encodeHello(cluster, this.#options.goodbye))
    await promise
    stream.abort(new Error('the rendezvous is over'))
  }

  #heard(stream: Stream, decoder: RendezvousDecoder, bytes: Uint8Array): void {
    try {
      for (const event of decoder.push(bytes)) {
        if (event.t === 'peers') this.#options.onListed(event.peers)
        else if (event.t === 'joined') this.#options.onFound(event.peer)
        else this.#options.onGone(event.peer, event.said)
      }
    } catch (error) {
      this.#options.log.log('warn', 'network', 'the relay breaks the rendezvous protocol', { error: errorLine(error) })
      stream.abort(new Error('it breaks the protocol'))
    }
  }

  async #pause(failures: number, signal: AbortSignal): Promise<void> {
    const longest = Math.min(limits.RELAY_RETRY_MIN_MS * 2 ** failures, limits.RELAY_RETRY_MAX_MS)
    const hurry = new AbortController()
    this.#hurry = () => hurry.abort()
    await sleep(longest * (1 - this.#options.random.float() / 2), AbortSignal.any([signal, hurry.signal]))
  }

  /** While it retries it stays `offline`: listeners hear of changes, not of attempts. */
  #setState(state: RelayState, detail: string): void {
    if (state === this.#state && state !== 'connecting') return
    this.#state = state
    this.#options.onState(state, detail)
  }
}

function sameRelay(a: RelayInfo, b: RelayInfo | null): boolean {
  return a.peerId === b?.peerId && a.cluster === b.cluster && a.multiaddrs.join() === b.multiaddrs.join()
}

function withPeerId(address: string, peerId: string): string {
  return address.endsWith(`/p2p/${peerId}`) ? address : `${address}/p2p/${peerId}`
}

/** Resolves after the time, or as soon as the signal aborts. */
function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}
