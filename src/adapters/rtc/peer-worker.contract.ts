// Test support: a worker with the facade installed that connects to another such worker over a signalling port.
// page.browser.test.ts starts two of them. It answers commands with results and echoes what arrives on channels.
import { installPeerConnection } from './worker.ts'

type Signal =
  | { t: 'offer'; session: number; sdp: string }
  | { t: 'answer'; session: number; sdp: string }
  | { t: 'candidate'; session: number; from: 'caller' | 'answerer'; candidate: RTCIceCandidateInit }

let signals: MessagePort
const callers = new Map<number, RTCPeerConnection>()
const answerers = new Map<number, RTCPeerConnection>()
const events: string[] = []
let session = 0

const once = (target: EventTarget, type: string): Promise<Event> =>
  new Promise((resolve) => target.addEventListener(type, resolve, { once: true }))

function watch(pc: RTCPeerConnection, own: number, from: 'caller' | 'answerer'): void {
  pc.onicecandidate = ({ candidate }) => {
    if (candidate) signals.postMessage({ t: 'candidate', session: own, from, candidate: candidate.toJSON() })
  }
  pc.addEventListener('connectionstatechange', () => events.push(`${from} ${pc.connectionState}`))
  pc.addEventListener('close', () => events.push(`${from} close event`))
}

async function onSignal(signal: Signal): Promise<void> {
  if (signal.t === 'offer') {
    const pc = new RTCPeerConnection({ iceServers: [] })
    answerers.set(signal.session, pc)
    watch(pc, signal.session, 'answerer')
    pc.addEventListener('close', () => answerers.delete(signal.session))
    pc.ondatachannel = ({ channel }) => {
      events.push(`datachannel ${channel.label} ${channel.readyState}`)
      channel.onmessage = ({ data }) => channel.send(data)
    }
    Object.assign(pc, {
      onsidechannel: (channel: RTCDataChannel) => {
        events.push(`sidechannel ${channel.label}`)
        channel.onmessage = ({ data }) => channel.send(data)
      },
    })
    await pc.setRemoteDescription(new RTCSessionDescription({ type: 'offer', sdp: signal.sdp }))
    const answer = await pc.createAnswer()
    await pc.setLocalDescription(answer)
    signals.postMessage({ t: 'answer', session: signal.session, sdp: answer.sdp })
  } else if (signal.t === 'answer') {
    const caller = callers.get(signal.session)
    // The connection may be up, and closed again, before the page reports that it took the description.
    await caller?.setRemoteDescription({ type: 'answer', sdp: signal.sdp }).catch(() => undefined)
  } else {
    const pc = (signal.from === 'caller' ? answerers : callers).get(signal.session)
    // Candidates may come after the connection is closed again.
    await pc?.addIceCandidate(new RTCIceCandidate(signal.candidate)).catch(() => undefined)
  }
}

async function connect(label: string): Promise<{ pc: RTCPeerConnection; channel: RTCDataChannel }> {
  const own = ++session
  const pc = new RTCPeerConnection({ iceServers: [] })
  callers.set(own, pc)
  watch(pc, own, 'caller')
  const channel = pc.createDataChannel(label)
  const opened = once(channel, 'open')
  const offer = await pc.createOffer()
  await pc.setLocalDescription(offer)
  signals.postMessage({ t: 'offer', session: own, sdp: offer.sdp })
  await opened
  return { pc, channel }
}

async function echo(channel: RTCDataChannel, data: string | ArrayBuffer): Promise<unknown> {
  const answered = once(channel, 'message')
  if (typeof data === 'string') channel.send(data)
  else channel.send(data)
  return ((await answered) as MessageEvent).data
}

/** Sends `total` bytes with at most `limit` buffered; checks that all of them come back in order. */
async function stream(channel: RTCDataChannel, total: number, limit: number): Promise<object> {
  let received = 0
  let inOrder = true
  let highest = 0
  const done = new Promise<void>((resolve) => {
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
      if (new DataView(data).getUint32(0) !== received) inOrder = false
      received += data.byteLength
      if (received >= total) resolve()
    }
  })
  channel.bufferedAmountLowThreshold = limit / 2
  for (let sent = 0; sent < total; sent += 65_536) {
    const chunk = new Uint8Array(65_536)
    new DataView(chunk.buffer).setUint32(0, sent)
    channel.send(chunk)
    highest = Math.max(highest, channel.bufferedAmount)
    if (channel.bufferedAmount > limit) await once(channel, 'bufferedamountlow')
  }
  await done
  return { received, inOrder, highest }
}

const commands: Record<string, (...args: never[]) => Promise<unknown>> = {
  init: async (rtcPort: MessagePort, signalPort: MessagePort) => {
    installPeerConnection(rtcPort)
    signals = signalPort
    // One after the other: descriptions and candidates must keep their order.
    let queue = Promise.resolve()
    signals.onmessage = ({ data }) => {
      queue = queue.then(() => onSignal(data))
    }
  },
  async echoText(text: string) {
    const { pc, channel } = await connect('test')
    const answer = await echo(channel, text)
    const bytes = (await echo(channel, new Uint8Array([1, 2, 3]).buffer)) as ArrayBuffer
    pc.close()
    return [answer, ...new Uint8Array(bytes)]
  },
  async closeInitChannel() {
    const { pc, channel } = await connect('init')
    channel.close()
    await once(channel, 'close')
    const state = channel.readyState
    pc.close()
    return state
  },
  async sideChannel() {
    const { pc } = await connect('test')
    const side = pc.createDataChannel('/brittlestar/bulk/1')
    await once(side, 'open')
    const answer = await echo(side, 'sideways')
    pc.close()
    return answer
  },
  async closeEvents() {
    const { pc, channel } = await connect('test')
    const closed = [once(pc, 'close'), once(channel, 'close')]
    pc.close()
    await Promise.all(closed)
    let refused = ''
    try {
      channel.send('late')
    } catch (error) {
      refused = (error as DOMException).name
    }
    return [pc.connectionState, pc.signalingState, channel.readyState, refused]
  },
  async streamBytes(total: number, limit: number) {
    const { pc, channel } = await connect('test')
    const result = await stream(channel, total, limit)
    pc.close()
    return result
  },
  async cycle(times: number) {
    for (let i = 0; i < times; i++) {
      const { pc, channel } = await connect('test')
      await echo(channel, `cycle ${i}`)
      const closed = once(pc, 'close')
      pc.close()
      await closed
      callers.clear()
    }
  },
  async keepOpen() {
    await connect('test')
  },
  /** Packets counted before and after something came; once the connection is closed, the name of an error. */
  async heard() {
    const { pc, channel } = await connect('test')
    const { heardPackets } = pc as unknown as { heardPackets(): Promise<number | undefined> }
    const before = (await heardPackets.call(pc)) ?? 0
    await echo(channel, 'counted')
    let after = before
    // Chromium tells the same for 50 ms.
    while (after === before) after = (await heardPackets.call(pc)) ?? 0
    pc.close()
    return [before, after, await heardPackets.call(pc).catch((error: DOMException) => error.name)]
  },
  events: async () => events,
}

addEventListener('message', ({ data: { call, command, args } }: MessageEvent) => {
  const run = commands[command]
  Promise.resolve(run?.(...(args as never[]))).then(
    (value) => postMessage({ call, value }),
    (error: unknown) => postMessage({ call, error: String(error) }),
  )
})
