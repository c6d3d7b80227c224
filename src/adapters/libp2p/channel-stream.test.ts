// Pacing and closing against a data channel whose buffer the test empties; real ones: network.test.ts.
import { describe, expect, test } from 'vitest'
import { ChannelStream } from './channel-stream.ts'
import { COLD_BUFFER_BYTES, COLD_BYTES, MAX_MESSAGE_BYTES, WARM_BUFFER_BYTES } from './limits.ts'

class FakeChannel extends EventTarget {
  binaryType = 'blob'
  readyState = 'open'
  bufferedAmount = 0
  bufferedAmountLowThreshold = 0
  highest = 0
  readonly sent: (Uint8Array | string)[] = []
  onopen: (() => void) | null = null
  onclose: (() => void) | null = null
  onmessage: ((event: { data: ArrayBuffer | string }) => void) | null = null
  onbufferedamountlow: (() => void) | null = null

  send(data: Uint8Array | string): void {
    this.sent.push(typeof data === 'string' ? data : data.slice()) // as a channel does
    if (typeof data === 'string') return
    this.bufferedAmount += data.byteLength
    this.highest = Math.max(this.highest, this.bufferedAmount)
  }

  /** The network takes some bytes. */
  take(bytes: number): void {
    const before = this.bufferedAmount
    this.bufferedAmount = Math.max(0, before - bytes)
    const threshold = this.bufferedAmountLowThreshold
    if (before > threshold && this.bufferedAmount <= threshold) this.onbufferedamountlow?.()
  }

  close(): void {
    if (this.readyState === 'closed') return
    this.readyState = 'closed'
    this.onclose?.()
    this.dispatchEvent(new Event('close'))
  }

  get sentBytes(): number {
    return this.sent.reduce((sum, data) => sum + (typeof data === 'string' ? 0 : data.byteLength), 0)
  }
}

function makeStream({ sentBytes = 0, maxMessageBytes = MAX_MESSAGE_BYTES } = {}): {
  channel: FakeChannel
  stream: ChannelStream
  closes: (Error | undefined)[]
} {
  const channel = new FakeChannel()
  const pace = { sentBytes, maxMessageBytes: () => maxMessageBytes }
  const stream = new ChannelStream(channel as unknown as RTCDataChannel, pace)
  const closes: (Error | undefined)[] = []
  stream.onData(() => undefined)
  stream.onClose((error) => closes.push(error))
  return { channel, stream, closes }
}

const MIB = 1024 * 1024

describe('a bulk stream', () => {
  test('keeps at most 64 KiB in the buffer for the first 8 MiB of a connection, then slowly up to 256 KiB', () => {
    const { channel, stream } = makeStream()
    stream.send(new Uint8Array(64 * MIB))
    while (channel.sentBytes <= COLD_BYTES) {
      expect(channel.bufferedAmount).toBeLessThanOrEqual(COLD_BUFFER_BYTES)
      channel.take(20_000)
    }
    while (channel.sentBytes <= 2 * COLD_BYTES) {
      expect(channel.bufferedAmount).toBeLessThanOrEqual(2 * COLD_BUFFER_BYTES)
      channel.take(20_000)
    }
    while (channel.sentBytes < 64 * MIB) channel.take(100_000)
    expect(channel.highest).toBe(WARM_BUFFER_BYTES)
    expect(channel.sentBytes).toBe(64 * MIB)
  })

  test('sends no message that is larger than both sides take', () => {
    const { channel, stream } = makeStream({ sentBytes: 64 * MIB, maxMessageBytes: 100_000 })
    stream.send(new Uint8Array(200_001))
    const sizes = channel.sent.map((data) => data.length)
    expect(sizes).toEqual([100_000, 100_000, 1])
  })

  test('sends what is given together as one message, whether it waits or not, and cuts what is larger', () => {
    const { channel, stream } = makeStream()
    const packet = (i: number) => [new Uint8Array(30).fill(i), new Uint8Array(32_000).fill(i + 100)]
    for (let i = 0; i < 9; i++) stream.send(...packet(i))
    expect(channel.sent).toHaveLength(2)
    while (stream.bufferedBytes > 0) channel.take(5_000)
    expect(channel.highest).toBeLessThanOrEqual(COLD_BUFFER_BYTES)
    for (const [i, message] of channel.sent.entries()) {
      expect(message).toHaveLength(32_030)
      expect([message[0], message[29], message[30], message[32_029]]).toEqual([i, i, i + 100, i + 100])
    }
    stream.send(new Uint8Array(10).fill(1), new Uint8Array(100_000).fill(2), new Uint8Array(10).fill(3))
    while (stream.bufferedBytes > 0) channel.take(5_000)
    const cut = Buffer.concat(channel.sent.slice(9) as Uint8Array[])
    expect(cut).toHaveLength(100_020)
    expect([cut[9], cut[10], cut[100_009], cut[100_010]]).toEqual([1, 2, 2, 3])
  })

  test('tells honestly what is buffered: its own queue and that of the channel', async () => {
    const { channel, stream } = makeStream({ sentBytes: COLD_BYTES })
    stream.send(new Uint8Array(4 * MIB))
    expect(stream.bufferedBytes).toBe(4 * MIB)
    let drained = false
    const waiting = stream.drained(MIB / 4).then(() => {
      drained = true
    })
    while (stream.bufferedBytes > MIB / 4) {
      await Promise.resolve()
      expect(drained).toBe(false)
      channel.take(200_000)
    }
    await waiting
    while (stream.bufferedBytes > 0) channel.take(200_000)
    await stream.drained(0)
  })

  test('sends what was queued while the channel was opening', () => {
    const { channel, stream } = makeStream()
    channel.readyState = 'connecting'
    stream.send(new Uint8Array(10))
    expect(channel.sent).toHaveLength(0)
    channel.readyState = 'open'
    channel.onopen?.()
    expect(channel.sentBytes).toBe(10)
  })

  test('ends when the channel takes no more before it says that it closes', () => {
    const { channel, stream, closes } = makeStream()
    channel.send = () => {
      throw new DOMException('closing', 'InvalidStateError')
    }
    stream.send(new Uint8Array(10))
    expect(closes).toMatchObject([{ code: 'ECONNRESET' }])
  })

  test('says fin when all is out, and ends orderly when the other side closes', async () => {
    const { channel, stream, closes } = makeStream()
    stream.send(new Uint8Array(200_000))
    stream.close()
    expect(() => stream.send(new Uint8Array(1))).toThrowError(expect.objectContaining({ code: 'EPIPE' }))
    while (stream.bufferedBytes > 0) channel.take(50_000)
    await Promise.resolve()
    expect(channel.sent.at(-1)).toBe('fin')
    channel.close()
    expect(closes).toEqual([undefined])
  })

  test('ends orderly at fin, with an error without it, and with one for any other text', () => {
    const orderly = makeStream()
    orderly.channel.onmessage?.({ data: 'fin' })
    expect(orderly.closes).toEqual([undefined])
    expect(orderly.channel.readyState).toBe('closed')
    const lost = makeStream()
    lost.channel.close()
    expect(lost.closes[0]).toMatchObject({ code: 'ECONNRESET' })
    const strange = makeStream()
    strange.channel.onmessage?.({ data: 'hello' })
    expect(strange.closes[0]).toMatchObject({ code: 'EPROTO' })
  })

  test('lets nobody wait for a stream that has ended', async () => {
    const { stream, closes } = makeStream()
    stream.send(new Uint8Array(4 * MIB))
    const waiting = stream.drained(0)
    stream.abort('the test says so')
    await waiting
    expect(stream.bufferedBytes).toBe(0)
    expect(closes).toHaveLength(1)
    await stream.drained(0)
  })
})
