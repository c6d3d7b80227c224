// A raw RTCDataChannel between two pages, as anybody would write it: what the platform itself can do. The code in
// `page.evaluate` runs in those pages.
import type { Page } from 'playwright'

interface RawSide {
  connection: RTCPeerConnection
  channel?: RTCDataChannel
  /** Resolves with the number of bytes when `total` have arrived. */
  received?: Promise<number>
}

declare global {
  var raw: RawSide
  /** All connections of a page, so that none is collected. */
  var rawConnections: RTCPeerConnection[] | undefined
}

export interface RawPair {
  caller: Page
  callee: Page
}

/**
 * Connects two pages. With `echo`, the callee sends every message back, from its page or from a worker to which the
 * channel was transferred.
 */
export async function connectRaw(pair: RawPair, echo?: 'page' | 'worker'): Promise<void> {
  const { caller, callee } = pair
  await callee.evaluate((where) => {
    const connection = new RTCPeerConnection()
    globalThis.raw = { connection }
    globalThis.rawConnections = [...(globalThis.rawConnections ?? []), connection]
    connection.ondatachannel = ({ channel }) => {
      channel.binaryType = 'arraybuffer'
      globalThis.raw.channel = channel
      if (where === 'page') channel.onmessage = ({ data }) => channel.send(data)
      if (where !== 'worker') return
      const source = `onmessage = ({ data: channel }) => {
        channel.binaryType = 'arraybuffer'
        const held = [] // Chrome delivers the first message of a transferred channel before it is open
        channel.onmessage = ({ data }) => (channel.readyState === 'open' ? channel.send(data) : held.push(data))
        channel.onopen = () => held.splice(0).forEach((data) => channel.send(data))
      }`
      const worker = new Worker(URL.createObjectURL(new Blob([source])))
      worker.postMessage(channel, [channel as unknown as Transferable])
    }
  }, echo)
  const offer = await caller.evaluate(async () => {
    const connection = new RTCPeerConnection()
    const channel = connection.createDataChannel('raw')
    channel.binaryType = 'arraybuffer'
    globalThis.raw = { connection, channel }
    globalThis.rawConnections = [...(globalThis.rawConnections ?? []), connection]
    await connection.setLocalDescription()
    while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10))
    return connection.localDescription?.sdp ?? ''
  })
  const answer = await callee.evaluate(async (sdp) => {
    const { connection } = globalThis.raw
    await connection.setRemoteDescription({ type: 'offer', sdp })
    await connection.setLocalDescription()
    while (connection.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 10))
    return connection.localDescription?.sdp ?? ''
  }, offer)
  await caller.evaluate(async (sdp) => {
    const { connection, channel } = globalThis.raw
    await connection.setRemoteDescription({ type: 'answer', sdp })
    while (channel?.readyState !== 'open') await new Promise((resolve) => setTimeout(resolve, 5))
  }, answer)
  await callee.waitForFunction(() => globalThis.raw.channel !== undefined, undefined, { polling: 5 })
}

/** Round trips of a small message, in ms. */
export function pingRaw(caller: Page, count: number): Promise<number[]> {
  return caller.evaluate(async (wanted) => {
    const { channel } = globalThis.raw
    if (!channel) throw new Error('no channel')
    const samples: number[] = []
    const message = new Uint8Array(64)
    for (let i = 0; i < wanted; i++) {
      const began = performance.now()
      await new Promise<void>((resolve) => {
        channel.onmessage = () => resolve()
        channel.send(message)
      })
      samples.push(performance.now() - began)
    }
    return samples
  }, count)
}

/**
 * Sends `bytes` from caller to callee, filling the channel's buffer up to `bufferedBytes` as naive code does.
 * @returns MiB/s as the receiver sees it, from the start of sending.
 */
export async function sendRaw({ caller, callee }: RawPair, bytes: number, bufferedBytes: number): Promise<number> {
  await callee.evaluate((total) => {
    const { channel } = globalThis.raw
    if (!channel) throw new Error('no channel')
    globalThis.raw.received = new Promise((resolve) => {
      let seen = 0
      channel.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => {
        seen += data.byteLength
        if (seen >= total) resolve(Date.now())
      }
    })
  }, bytes)
  const began = await caller.evaluate(
    async ([total, limit]) => {
      const { channel } = globalThis.raw
      if (!channel) throw new Error('no channel')
      const message = new Uint8Array(64 * 1024).map((_, i) => i * 7)
      channel.bufferedAmountLowThreshold = limit / 2
      const start = Date.now()
      for (let sent = 0; sent < total; sent += message.byteLength) {
        if (channel.bufferedAmount >= limit) {
          await new Promise((resolve) => {
            channel.onbufferedamountlow = resolve
          })
        }
        channel.send(message)
      }
      return start
    },
    [bytes, bufferedBytes] as const,
  )
  const ended = (await callee.evaluate(() => globalThis.raw.received)) ?? Number.NaN
  return bytes / 2 ** 20 / ((ended - began) / 1000)
}
