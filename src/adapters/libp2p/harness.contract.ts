// Test support: the page of a tab whose network runs in a worker (tab-worker.contract.ts). network.test.ts builds it,
// lets a relay serve it and drives it through `globalThis.tab`.
import { hostPeerConnections } from '../rtc/page.ts'

const worker = new Worker(new URL('./tab-worker.contract.ts', import.meta.url), { type: 'module' })
const { port1, port2 } = new MessageChannel()
const host = hostPeerConnections(port1, { forward: location.hash === '#forward' })
const calls = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
let last = 0

worker.onmessage = ({ data: { call, value, error } }) => {
  if (error === undefined) calls.get(call)?.resolve(value)
  else calls.get(call)?.reject(new Error(error))
  calls.delete(call)
}

worker.onerror = ({ message }) => reportError(new Error(`in the worker: ${message}`))

function run(command: string, args: unknown[], transfer: Transferable[] = []): Promise<unknown> {
  return new Promise((resolve, reject) => {
    calls.set(++last, { resolve, reject })
    worker.postMessage({ call: last, command, args }, transfer)
  })
}

/** A raw data channel between two pages, without any of our code: what the browser can do. */
const raw = {
  pc: new RTCPeerConnection(),
  channel: undefined as RTCDataChannel | undefined,
  received: 0,
  async describe(offer?: RTCSessionDescriptionInit) {
    if (offer) {
      this.pc.ondatachannel = ({ channel }) => {
        channel.binaryType = 'arraybuffer'
        this.channel = channel
        channel.onmessage = ({ data }) => {
          if (data instanceof ArrayBuffer) this.received += data.byteLength
          else channel.send(String(this.received))
        }
      }
      await this.pc.setRemoteDescription(offer)
      await this.pc.setLocalDescription(await this.pc.createAnswer())
    } else {
      this.channel = this.pc.createDataChannel('raw')
      await this.pc.setLocalDescription(await this.pc.createOffer())
    }
    while (this.pc.iceGatheringState !== 'complete') {
      await new Promise((resolve) => this.pc.addEventListener('icegatheringstatechange', resolve, { once: true }))
    }
    return this.pc.localDescription?.toJSON()
  },
  async accept(answer: RTCSessionDescriptionInit) {
    await this.pc.setRemoteDescription(answer)
    const channel = this.channel
    if (channel && channel.readyState !== 'open') {
      await new Promise((resolve) => channel.addEventListener('open', resolve, { once: true }))
    }
  },
  /** @returns milliseconds until the other page has said that it has all bytes. */
  async send(bytes: number, messageBytes: number, bufferBytes: number) {
    const channel = this.channel
    if (!channel) throw new Error('there is no channel')
    const message = new Uint8Array(messageBytes)
    const began = performance.now()
    channel.bufferedAmountLowThreshold = bufferBytes / 2
    for (let sent = 0; sent < bytes; sent += messageBytes) {
      if (channel.bufferedAmount >= bufferBytes) {
        await new Promise((resolve) => channel.addEventListener('bufferedamountlow', resolve, { once: true }))
      }
      channel.send(message)
    }
    const done = new Promise((resolve) => channel.addEventListener('message', resolve, { once: true }))
    channel.send('how many?')
    await done
    return performance.now() - began
  },
  close() {
    this.pc.close()
    this.pc = new RTCPeerConnection()
    this.received = 0
  },
}

const tab = {
  raw,
  connections: () => host.openCount(),
  async init(privateKey?: number[]): Promise<unknown> {
    const relay = await (await fetch('/relay.json')).json()
    return run('init', [port2, relay, privateKey, location.hash === '#plain'], [port2])
  },
  run: (command: string, ...args: unknown[]) => run(command, args),
  /** Keeps this page's thread busy. */
  block(ms: number) {
    const until = performance.now() + ms
    while (performance.now() < until);
  },
}

export type Tab = typeof tab
Object.assign(globalThis, { tab })
