// The worker's half of WebRTC: an RTCPeerConnection for code that expects one (@libp2p/webrtc), backed by real
// connections on the page (page.ts). Install it before that library is imported: it copies the global then.
import type { LogSink } from '../../ports/log.ts'
import { type Handler, HandlerTarget } from './handlers.ts'
import { MAX_HELD_CHANNELS, NEGOTIATION_CHANNEL_LABEL, SIDE_CHANNEL_PREFIX } from './limits.ts'
import { type Candidate, type Description, type HostEvent, type HostRequest, parseEvent } from './protocol.ts'
import { FacadeDataChannel } from './worker-channel.ts'

type HostState = Extract<HostEvent, { t: 'state' }>
type Done = Extract<HostEvent, { t: 'done' }>
type Call = { resolve: (done: Done) => void; reject: (error: Error) => void }
// Omit does not distribute over a union by itself.
type Unnumbered<T> = T extends { call: number } ? Omit<T, 'call'> : never

/**
 * Defines globalThis.RTCPeerConnection, RTCSessionDescription and RTCIceCandidate.
 * @param port its other end was given to hostPeerConnections on the page.
 */
export function installPeerConnection(port: MessagePort, options: { log?: LogSink } = {}): void {
  const bridge = new Bridge(port, options.log)
  class RTCPeerConnection extends FacadePeerConnection {
    constructor(config: RTCConfiguration = {}) {
      super(bridge, config)
    }
  }
  Object.assign(globalThis, {
    RTCPeerConnection,
    RTCSessionDescription: SessionDescription,
    RTCIceCandidate: IceCandidate,
  })
}

class SessionDescription {
  readonly type: RTCSdpType
  readonly sdp: string

  constructor(init: RTCSessionDescriptionInit) {
    this.type = init.type
    this.sdp = init.sdp ?? ''
  }

  toJSON(): Description {
    return { type: this.type, sdp: this.sdp }
  }
}

class IceCandidate {
  readonly candidate: string
  readonly sdpMid: string | null
  readonly sdpMLineIndex: number | null
  readonly usernameFragment: string | null

  constructor(init: RTCLocalIceCandidateInit) {
    this.candidate = init.candidate ?? ''
    this.sdpMid = init.sdpMid ?? null
    this.sdpMLineIndex = init.sdpMLineIndex ?? null
    this.usernameFragment = init.usernameFragment ?? null
  }

  toJSON(): Candidate {
    const { candidate, sdpMid, sdpMLineIndex, usernameFragment } = this
    return { candidate, sdpMid, sdpMLineIndex, usernameFragment }
  }
}

/** Carries requests to the page and its events back to connections and channels. */
class Bridge {
  readonly #port: MessagePort
  readonly #connections = new Map<number, FacadePeerConnection>()
  readonly #channels = new Map<number, FacadeDataChannel>()
  readonly #calls = new Map<number, Call & { pc: number }>()
  #last = 0

  constructor(port: MessagePort, log: LogSink | undefined) {
    this.#port = port
    port.onmessage = ({ data }) => {
      const event = parseEvent(data)
      if (event) this.#receive(event)
      else log?.log('error', 'rtc', 'the page sent a message that is no event')
    }
    port.onmessageerror = () => log?.log('error', 'rtc', 'a data channel could not be received')
  }

  register(connection: FacadePeerConnection): number {
    this.#connections.set(++this.#last, connection)
    return this.#last
  }

  post(request: HostRequest, transfer: Transferable[] = []): void {
    this.#port.postMessage(request, transfer)
  }

  call(request: Unnumbered<HostRequest>): Promise<Done> {
    const call = ++this.#last
    return new Promise((resolve, reject) => {
      this.#calls.set(call, { resolve, reject, pc: request.pc })
      this.post({ ...request, call } as HostRequest)
    })
  }

  addChannel(init: { label: string; protocol: string; ordered: boolean; number?: number }, pc: FacadePeerConnection) {
    const number = init.number ?? ++this.#last
    const channel = new FacadeDataChannel(
      { ...init, number },
      (request, transfer) => this.post(request, transfer),
      () => {
        this.#channels.delete(number)
        pc.channels.delete(channel)
      },
    )
    this.#channels.set(number, channel)
    pc.channels.add(channel)
    return channel
  }

  drop(pc: number, reason: string): void {
    this.#connections.delete(pc)
    for (const [id, call] of this.#calls) {
      if (call.pc !== pc) continue
      this.#calls.delete(id)
      call.reject(new DOMException(`The RTCPeerConnection was closed: ${reason}`, 'InvalidStateError'))
    }
  }

  #receive(event: HostEvent): void {
    if ('call' in event) {
      const call = this.#calls.get(event.call)
      this.#calls.delete(event.call)
      if (event.t === 'done') call?.resolve(event)
      else call?.reject(new DOMException(event.message, event.name))
    } else if ('pc' in event) {
      const connection = this.#connections.get(event.pc)
      if (connection) connection.receive(event)
      else if (event.t === 'incoming' && event.rtc) (event.rtc as RTCDataChannel).close()
    } else if (event.t === 'channel') {
      const real = event.rtc as RTCDataChannel | undefined
      const channel = this.#channels.get(event.channel)
      if (channel) channel.adopt(real)
      else real?.close()
    } else this.#channels.get(event.channel)?.forwarded(event)
  }
}

/**
 * States as in the standard, with two additions: `close()` dispatches a `close` event (the transport waits for one
 * that browsers never fire), and a connection that the other side closed becomes `closed` here, too.
 */
export class FacadePeerConnection extends HandlerTarget {
  readonly channels = new Set<FacadeDataChannel>()
  connectionState: RTCPeerConnectionState = 'new'
  iceConnectionState: RTCIceConnectionState = 'new'
  iceGatheringState: RTCIceGatheringState = 'new'
  signalingState: RTCSignalingState = 'stable'
  localDescription: SessionDescription | null = null
  remoteDescription: SessionDescription | null = null
  /** Largest message that both sides take, once connected. */
  sctp: { readonly maxMessageSize: number } | null = null
  readonly #bridge: Bridge
  readonly #id: number
  #sideChannels: FacadeDataChannel[] = []
  #onSideChannel: ((channel: FacadeDataChannel) => void) | null = null

  constructor(bridge: Bridge, config: RTCConfiguration) {
    super()
    this.#bridge = bridge
    this.#id = bridge.register(this)
    const iceServers = (config.iceServers ?? []).map(({ urls, username, credential }) => ({
      urls,
      ...(username === undefined ? {} : { username }),
      ...(credential === undefined ? {} : { credential }),
    }))
    bridge.post({ t: 'create', pc: this.#id, iceServers })
  }

  createDataChannel(label: string, init: RTCDataChannelInit = {}): FacadeDataChannel {
    if (this.signalingState === 'closed') {
      throw new DOMException('Cannot create a data channel: the connection is closed', 'InvalidStateError')
    }
    const { protocol = '', ordered = true } = init
    const channel = this.#bridge.addChannel({ label, protocol, ordered }, this)
    this.#bridge.post({ t: 'channel', pc: this.#id, channel: channel.id, label, protocol, ordered })
    return channel
  }

  async createOffer(): Promise<SessionDescription> {
    return described(await this.#bridge.call({ t: 'offer', pc: this.#id }))
  }

  async createAnswer(): Promise<SessionDescription> {
    return described(await this.#bridge.call({ t: 'answer', pc: this.#id }))
  }

  async setLocalDescription(init: RTCLocalSessionDescriptionInit): Promise<void> {
    const description = { type: init.type ?? 'offer', sdp: init.sdp ?? '' }
    await this.#bridge.call({ t: 'local', pc: this.#id, description })
    this.localDescription = new SessionDescription(description)
  }

  async setRemoteDescription(init: RTCSessionDescriptionInit): Promise<void> {
    const description = { type: init.type, sdp: init.sdp ?? '' }
    await this.#bridge.call({ t: 'remote', pc: this.#id, description })
    this.remoteDescription = new SessionDescription(description)
  }

  async addIceCandidate(init: RTCIceCandidateInit | null): Promise<void> {
    const candidate = init ? new IceCandidate(init).toJSON() : null
    await this.#bridge.call({ t: 'candidate', pc: this.#id, candidate })
  }

  /** Packets that came from the other side's network stack; undefined where the browser does not count them. */
  async heardPackets(): Promise<number | undefined> {
    return (await this.#bridge.call({ t: 'heard', pc: this.#id })).packets
  }

  close(): void {
    if (this.signalingState === 'closed') return
    this.#bridge.post({ t: 'close', pc: this.#id })
    this.#ended('by its owner')
  }

  /** Takes incoming channels whose label begins with SIDE_CHANNEL_PREFIX; they never become `datachannel` events. */
  get onsidechannel(): ((channel: FacadeDataChannel) => void) | null {
    return this.#onSideChannel
  }
  set onsidechannel(handler: ((channel: FacadeDataChannel) => void) | null) {
    this.#onSideChannel = handler
    if (!handler) return
    for (const channel of this.#sideChannels.splice(0)) handler(channel)
  }

  /** An event of the page for this connection. */
  receive(event: Extract<HostEvent, { pc: number }>): void {
    if (event.t === 'state') this.#update(event)
    else if (event.t === 'gone') {
      this.#ended(event.reason)
      this.dispatchEvent(new Event('connectionstatechange'))
    } else if (event.t === 'ice-candidate') {
      const candidate = event.candidate ? new IceCandidate(event.candidate) : null
      this.dispatchEvent(Object.assign(new Event('icecandidate'), { candidate }))
    } else this.#incoming(event)
  }

  #incoming(event: Extract<HostEvent, { t: 'incoming' }>): void {
    const { label, protocol, ordered } = event
    const channel = this.#bridge.addChannel({ number: event.channel, label, protocol, ordered }, this)
    channel.adopt(event.rtc as RTCDataChannel | undefined)
    if (label === NEGOTIATION_CHANNEL_LABEL) return
    if (!label.startsWith(SIDE_CHANNEL_PREFIX)) {
      this.dispatchEvent(Object.assign(new Event('datachannel'), { channel }))
    } else if (this.#onSideChannel) this.#onSideChannel(channel)
    else if (this.#sideChannels.length < MAX_HELD_CHANNELS) this.#sideChannels.push(channel)
    else channel.close()
  }

  #update(state: HostState): void {
    const changed: string[] = []
    if (this.connectionState !== state.connectionState) changed.push('connectionstatechange')
    if (this.iceConnectionState !== state.iceConnectionState) changed.push('iceconnectionstatechange')
    if (this.iceGatheringState !== state.iceGatheringState) changed.push('icegatheringstatechange')
    if (this.signalingState !== state.signalingState) changed.push('signalingstatechange')
    this.connectionState = state.connectionState
    this.iceConnectionState = state.iceConnectionState
    this.iceGatheringState = state.iceGatheringState
    this.signalingState = state.signalingState
    this.sctp = state.maxMessageSize === null ? null : { maxMessageSize: state.maxMessageSize }
    for (const type of changed) this.dispatchEvent(new Event(type))
  }

  #ended(reason: string): void {
    this.connectionState = 'closed'
    this.iceConnectionState = 'closed'
    this.signalingState = 'closed'
    this.#bridge.drop(this.#id, reason)
    this.#sideChannels = []
    const channels = [...this.channels]
    this.channels.clear()
    // Later: callers of close() do not expect events in the middle of it.
    queueMicrotask(() => {
      for (const channel of channels) channel.end()
      this.dispatchEvent(new Event('close'))
    })
  }

  get onconnectionstatechange(): Handler {
    return this.getHandler('connectionstatechange')
  }
  set onconnectionstatechange(handler: Handler) {
    this.setHandler('connectionstatechange', handler)
  }
  get oniceconnectionstatechange(): Handler {
    return this.getHandler('iceconnectionstatechange')
  }
  set oniceconnectionstatechange(handler: Handler) {
    this.setHandler('iceconnectionstatechange', handler)
  }
  get onicecandidate(): Handler {
    return this.getHandler('icecandidate')
  }
  set onicecandidate(handler: Handler) {
    this.setHandler('icecandidate', handler)
  }
  get onicecandidateerror(): Handler {
    return this.getHandler('icecandidateerror')
  }
  set onicecandidateerror(handler: Handler) {
    this.setHandler('icecandidateerror', handler)
  }
  get ondatachannel(): Handler {
    return this.getHandler('datachannel')
  }
  set ondatachannel(handler: Handler) {
    this.setHandler('datachannel', handler)
  }
}

function described({ description }: Done): SessionDescription {
  if (!description) throw new DOMException('The page made no description', 'OperationError')
  return new SessionDescription(description)
}
