// The page's half of WebRTC: owns every real RTCPeerConnection on behalf of the kernel worker (worker.ts), which
// cannot have any. Data channels are transferred to the worker; where the browser cannot, page-channel.ts forwards.
import type { LogSink } from '../../ports/log.ts'
import * as limits from './limits.ts'
import { ForwardedChannel } from './page-channel.ts'
import { type Candidate, type HostEvent, type HostRequest, parseRequest } from './protocol.ts'

export interface HostOptions {
  /** Forward every message over the port even where channels could be transferred: for tests of that path. */
  forward?: boolean
  log?: LogSink
}

export interface PeerConnectionHost {
  /** Closes all connections and stops listening to the worker. Idempotent. */
  close(): void
  /** RTCPeerConnections that are alive. */
  openCount(): number
}

interface Hosted {
  readonly rtc: RTCPeerConnection
  readonly keepalive: RTCDataChannel
  /** Channels that are still on this page: forwarded ones, by number. */
  readonly forwarded: Set<number>
}

/**
 * Serves one worker.
 * @param port its other end goes to installPeerConnection in the worker.
 */
export function hostPeerConnections(port: MessagePort, options: HostOptions = {}): PeerConnectionHost {
  const host = new Host(port, options)
  return { close: () => host.close(), openCount: () => host.openCount() }
}

class Host {
  readonly #port: MessagePort
  readonly #log: LogSink | undefined
  readonly #connections = new Map<number, Hosted>()
  readonly #forwarded = new Map<number, ForwardedChannel>()
  #canTransfer: boolean
  #lastIncoming = 0
  /** Requests for connections that could not be created yet, in order. */
  readonly #waiting = new Map<number, HostRequest[]>()
  #closedSinceCollection = 0

  constructor(port: MessagePort, options: HostOptions) {
    this.#port = port
    this.#log = options.log
    this.#canTransfer = options.forward !== true
    port.onmessage = (event) => {
      const request = parseRequest(event.data)
      if (request) this.#serve(request)
      else this.#log?.log('error', 'rtc', 'the worker sent a message that is no request')
    }
  }

  openCount(): number {
    return this.#connections.size
  }

  close(): void {
    this.#port.onmessage = null
    this.#waiting.clear()
    for (const id of [...this.#connections.keys()]) this.#closeConnection(id)
  }

  #post(event: HostEvent, transfer: Transferable[] = []): void {
    this.#port.postMessage(event, transfer)
  }

  #serve(request: HostRequest): void {
    const queue = 'pc' in request ? this.#waiting.get(request.pc) : undefined
    if (queue && request.t !== 'close') {
      queue.push(request)
      return
    }
    switch (request.t) {
      case 'create':
        return this.#create(request.pc, request.iceServers, limits.CREATE_RETRIES)
      case 'channel':
        return this.#createChannel(request)
      case 'send':
        return this.#forwarded.get(request.channel)?.send(request.data)
      case 'threshold':
        return this.#forwarded.get(request.channel)?.setThreshold(request.bytes)
      case 'close-channel':
        return this.#forwarded.get(request.channel)?.close()
      case 'close':
        return this.#closeConnection(request.pc)
      default:
        this.#call(request).catch((error: unknown) => {
          const { name, message } = error instanceof Error ? error : new Error(String(error))
          this.#post({ t: 'failed', call: request.call, name, message })
        })
    }
  }

  async #call(request: Extract<HostRequest, { call: number }>): Promise<void> {
    const rtc = this.#connections.get(request.pc)?.rtc
    if (!rtc) throw new DOMException('Cannot use a closed RTCPeerConnection', 'InvalidStateError')
    const call = request.call
    if (request.t === 'offer' || request.t === 'answer') {
      const made = request.t === 'offer' ? await rtc.createOffer() : await rtc.createAnswer()
      return this.#post({ t: 'done', call, description: { type: made.type, sdp: made.sdp ?? '' } })
    }
    if (request.t === 'heard') return this.#post({ t: 'done', call, ...(await heardOf(rtc)) })
    if (request.t === 'local') await rtc.setLocalDescription(request.description)
    else if (request.t === 'remote') await rtc.setRemoteDescription(request.description)
    else await rtc.addIceCandidate(request.candidate ?? undefined)
    this.#post({ t: 'done', call })
  }

  #create(id: number, iceServers: RTCIceServer[], retries: number): void {
    try {
      const hosted = this.#construct(iceServers)
      this.#connections.set(id, hosted)
      this.#observe(id, hosted)
    } catch (error) {
      if (retries > 0) return this.#createLater(id, iceServers, retries - 1)
      this.#waiting.delete(id)
      const reason = `cannot create an RTCPeerConnection: ${error instanceof Error ? error.message : String(error)}`
      this.#log?.log('error', 'rtc', reason)
      return this.#post({ t: 'gone', pc: id, reason })
    }
    const requests = this.#waiting.get(id) ?? []
    this.#waiting.delete(id)
    for (const request of requests) this.#serve(request)
  }

  #construct(iceServers: RTCIceServer[]): Hosted {
    if (this.#connections.size >= limits.MAX_PEER_CONNECTIONS) {
      throw new Error(`${limits.MAX_PEER_CONNECTIONS} connections are open`)
    }
    const rtc = new RTCPeerConnection({ iceServers })
    const id = limits.KEEPALIVE_CHANNEL_ID
    const keepalive = rtc.createDataChannel(limits.KEEPALIVE_CHANNEL_LABEL, { negotiated: true, id })
    return { rtc, keepalive, forwarded: new Set() }
  }

  #createLater(id: number, iceServers: RTCIceServer[], retries: number): void {
    if (!this.#waiting.has(id)) this.#waiting.set(id, [])
    this.#collectGarbage()
    setTimeout(() => {
      if (this.#waiting.has(id)) this.#create(id, iceServers, retries)
    }, limits.CREATE_RETRY_MS)
  }

  #collectGarbage(): void {
    this.#closedSinceCollection = 0
    new ArrayBuffer(limits.COLLECT_BYTES)
  }

  #observe(id: number, { rtc, keepalive }: Hosted): void {
    const report = (): void => this.#reportState(id, rtc)
    rtc.onconnectionstatechange = report
    rtc.oniceconnectionstatechange = report
    rtc.onicegatheringstatechange = report
    rtc.onsignalingstatechange = report
    rtc.onicecandidate = ({ candidate }) =>
      this.#post({ t: 'ice-candidate', pc: id, candidate: candidate ? toCandidate(candidate) : null })
    rtc.ondatachannel = ({ channel }) => this.#handOver(id, --this.#lastIncoming, channel, true)
    keepalive.onclose = () => {
      if (!this.#connections.has(id)) return
      this.#closeConnection(id)
      this.#post({ t: 'gone', pc: id, reason: 'closed by the other side' })
    }
  }

  #reportState(id: number, rtc: RTCPeerConnection): void {
    const { connectionState, iceConnectionState, iceGatheringState, signalingState } = rtc
    const maxMessageSize = rtc.sctp?.maxMessageSize ?? null
    const state = { connectionState, iceConnectionState, iceGatheringState, signalingState, maxMessageSize }
    this.#post({ t: 'state', pc: id, ...state })
  }

  #createChannel(request: Extract<HostRequest, { t: 'channel' }>): void {
    const hosted = this.#connections.get(request.pc)
    try {
      if (!hosted) throw new Error('the connection is closed')
      const { label, protocol, ordered } = request
      this.#handOver(request.pc, request.channel, hosted.rtc.createDataChannel(label, { protocol, ordered }), false)
    } catch (error) {
      this.#post({ t: 'closed', channel: request.channel, error: String(error) })
    }
  }

  /** Must run in the task that created the channel: browsers transfer none that has been used. */
  #handOver(pc: number, id: number, rtc: RTCDataChannel, incoming: boolean): void {
    const { label, protocol, ordered } = rtc
    const announce = (real: RTCDataChannel | undefined, transfer: Transferable[]): void => {
      if (incoming) this.#post({ t: 'incoming', pc, channel: id, label, protocol, ordered, rtc: real }, transfer)
      else this.#post({ t: 'channel', channel: id, rtc: real }, transfer)
    }
    if (this.#canTransfer) {
      try {
        // TypeScript's DOM library does not list RTCDataChannel among the transferable types yet.
        return announce(rtc, [rtc as unknown as Transferable])
      } catch (error) {
        if (!(error instanceof DOMException || error instanceof TypeError)) throw error
        this.#canTransfer = false
        this.#log?.log('info', 'rtc', 'this browser cannot transfer data channels: forwarding their messages')
      }
    }
    announce(undefined, [])
    this.#connections.get(pc)?.forwarded.add(id)
    const forwarded = new ForwardedChannel(
      rtc,
      id,
      (event, transfer) => this.#post(event, transfer),
      () => {
        this.#forwarded.delete(id)
        this.#connections.get(pc)?.forwarded.delete(id)
      },
    )
    this.#forwarded.set(id, forwarded)
  }

  #closeConnection(id: number): void {
    this.#waiting.delete(id)
    const hosted = this.#connections.get(id)
    if (!hosted) return
    this.#connections.delete(id)
    const { rtc, keepalive } = hosted
    keepalive.onclose = null
    rtc.onconnectionstatechange = null
    rtc.oniceconnectionstatechange = null
    rtc.onicegatheringstatechange = null
    rtc.onsignalingstatechange = null
    rtc.onicecandidate = null
    rtc.ondatachannel = null
    for (const channel of hosted.forwarded) this.#forwarded.delete(channel)
    rtc.close()
    if (++this.#closedSinceCollection >= limits.COLLECT_AFTER_CLOSED) this.#collectGarbage()
  }
}

function toCandidate({ candidate, sdpMid, sdpMLineIndex, usernameFragment }: RTCIceCandidate): Candidate {
  return { candidate, sdpMid, sdpMLineIndex, usernameFragment }
}

/**
 * How many packets the other side's network stack has sent: data, acknowledgements, and checks of the connection, which
 * browsers count apart. Nothing where this browser counts none of them.
 */
async function heardOf(rtc: RTCPeerConnection): Promise<{ packets?: number }> {
  let packets = 0
  for (const row of (await rtc.getStats()).values() as Iterable<Record<string, unknown>>) {
    // Safari and Firefox count checks only, which a busy tab's stack sends every few seconds: what it acknowledges is not among them.
    if (row['type'] !== 'candidate-pair' || typeof row['packetsReceived'] !== 'number') continue
    for (const name of ['packetsReceived', 'requestsReceived', 'responsesReceived']) {
      const value = row[name]
      if (typeof value === 'number') packets += value
    }
  }
  return packets > 0 ? { packets } : {}
}
