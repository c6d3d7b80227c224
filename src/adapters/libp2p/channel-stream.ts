// A raw data channel as a ByteStream: kernels talk over two of their own beside libp2p's. It sees what the channel has
// buffered, which pacing needs (a cold 32 MiB: 27.6 MB/s against 11.8 of a channel that is simply filled), and costs
// less than libp2p's framing (warm: 0.97 of a channel without any of our code, a libp2p stream 0.93; same run, medians
// of 16). The connection below is authenticated, hence so is the channel.
// States: connecting → open → closing (flushing, then `fin` sent) → closed. Only this file moves them.
import { OsError } from '../../base/errors.ts'
import type { ByteStream } from '../../ports/network.ts'
import { Inbox } from './inbox.ts'
import { CLOSE_MS, COLD_BUFFER_BYTES, COLD_BYTES, WARM_BUFFER_BYTES } from './limits.ts'

/** How a connection has to be filled; all bulk streams of one connection share it. */
export interface Pace {
  /** Bytes sent on this connection so far: it is cold until COLD_BYTES. */
  sentBytes: number
  /** Largest message that both sides take. */
  maxMessageBytes(): number
}

/** The only text message of the protocol: no more bytes come, and this was no accident. */
const FIN = 'fin'
/** Not worth a message of its own while earlier ones are still queued. */
const MIN_SLICE_BYTES = 16 * 1024

/** Bytes that are one message if they fit into one: the other side need not put them together then. */
interface Packet {
  parts: readonly Uint8Array[]
  byteLength: number
}

export class ChannelStream implements ByteStream {
  readonly #channel: RTCDataChannel
  readonly #pace: Pace
  readonly #inbox = new Inbox()
  /** What was sent together, in order; of the first perhaps only the rest. */
  readonly #queue: Packet[] = []
  #queuedBytes = 0
  /** Where several parts become one message. */
  #message = new Uint8Array(0)
  #waiters: { below: number; resolve: () => void }[] = []
  #closing = false

  constructor(channel: RTCDataChannel, pace: Pace) {
    this.#channel = channel
    this.#pace = pace
    channel.binaryType = 'arraybuffer'
    channel.onopen = () => this.#pump()
    channel.onbufferedamountlow = () => this.#pump()
    channel.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => this.#receive(data)
    channel.onclose = () => this.#closed()
  }

  get bufferedBytes(): number {
    return this.#inbox.ended ? 0 : this.#queuedBytes + this.#channel.bufferedAmount
  }

  send(...parts: readonly Uint8Array[]): void {
    if (this.#closing || this.#inbox.ended) throw new OsError('EPIPE', 'Cannot send: the stream is closed')
    const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0)
    if (byteLength === 0) return
    this.#queue.push({ parts, byteLength })
    this.#queuedBytes += byteLength
    this.#pump()
  }

  drained(belowBytes: number): Promise<void> {
    if (this.bufferedBytes <= belowBytes) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiters.push({ below: belowBytes, resolve })
      this.#settle()
    })
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    this.#inbox.onData(listener)
  }

  onClose(listener: (error: Error | undefined) => void): void {
    this.#inbox.onClose(listener)
  }

  close(): void {
    if (this.#closing || this.#inbox.ended) return
    this.#closing = true
    const late = setTimeout(() => this.abort('the other side did not take the last bytes'), CLOSE_MS)
    void this.drained(0).then(() => {
      if (this.#channel.readyState === 'open') this.#channel.send(FIN)
    })
    this.#channel.addEventListener('close', () => clearTimeout(late), { once: true })
  }

  abort(reason: string): void {
    this.#end(new OsError('ECONNRESET', reason))
  }

  #receive(data: ArrayBuffer | string): void {
    if (typeof data !== 'string') this.#inbox.push(new Uint8Array(data))
    else this.#end(data === FIN ? undefined : new OsError('EPROTO', 'text on a stream of bytes'))
  }

  /** The channel closed. Without a `fin`, bytes may be missing, unless this side was the one that sent it. */
  #closed(): void {
    const orderly = this.#closing && this.#queuedBytes === 0
    this.#end(orderly ? undefined : new OsError('ECONNRESET', 'the connection was closed'))
  }

  #end(error: Error | undefined): void {
    if (this.#inbox.ended) return
    this.#queue.length = 0
    this.#queuedBytes = 0
    this.#inbox.end(error)
    for (const { resolve } of this.#waiters.splice(0)) resolve()
    this.#channel.close()
  }

  #pump(): void {
    if (this.#channel.readyState === 'open') {
      for (let head = this.#queue[0]; head; head = this.#queue[0]) {
        const length = this.#mayTake(head)
        if (length === 0) break
        try {
          this.#channel.send(this.#first(head, length))
        } catch (error) {
          // It closes, and nobody has told us yet.
          return this.#end(new OsError('ECONNRESET', 'the connection is closing', { cause: error }))
        }
        this.#pace.sentBytes += length
        this.#queuedBytes -= length
        if (length === head.byteLength) this.#queue.shift()
        else this.#queue[0] = rest(head, length)
      }
    }
    this.#settle()
  }

  /** How many bytes of the packet at the head of the queue may be sent now. */
  #mayTake({ byteLength }: Packet): number {
    const room = this.#bufferLimit() - this.#channel.bufferedAmount
    const most = this.#pace.maxMessageBytes()
    // Larger ones are cut where the channel has room.
    if (byteLength <= Math.min(most, this.#bufferLimit() / 2)) return room >= byteLength ? byteLength : 0
    return room < Math.min(byteLength, MIN_SLICE_BYTES) ? 0 : Math.min(byteLength, room, most)
  }

  /** The first bytes of a packet as one message. A channel copies what it is given, so that the buffer can be used again. */
  #first({ parts }: Packet, length: number): Uint8Array<ArrayBuffer> {
    const [only] = parts as [Uint8Array<ArrayBuffer>]
    if (only.byteLength >= length) return only.subarray(0, length)
    if (this.#message.byteLength < length) this.#message = new Uint8Array(length)
    let at = 0
    for (const part of parts) {
      const piece = part.subarray(0, length - at)
      this.#message.set(piece, at)
      at += piece.byteLength
    }
    return this.#message.subarray(0, length)
  }

  /** How much the channel may hold: little while the connection is cold, then more with every byte it has carried. */
  #bufferLimit(): number {
    const grown = (this.#pace.sentBytes / COLD_BYTES) * COLD_BUFFER_BYTES
    return Math.min(WARM_BUFFER_BYTES, Math.max(COLD_BUFFER_BYTES, Math.floor(grown)))
  }

  /** Resolves who waited for this much, and asks the channel to tell when the next step is due. */
  #settle(): void {
    const buffered = this.bufferedBytes
    const due = this.#waiters.filter(({ below }) => buffered <= below)
    this.#waiters = this.#waiters.filter(({ below }) => buffered > below)
    const refill = this.#bufferLimit() / 2
    const wanted = this.#waiters.reduce((highest, { below }) => Math.max(highest, below), 0)
    this.#channel.bufferedAmountLowThreshold = this.#queue.length > 0 ? refill : wanted
    for (const { resolve } of due) resolve()
  }
}

function rest({ parts, byteLength }: Packet, taken: number): Packet {
  const left: Uint8Array[] = []
  let skip = taken
  for (const part of parts) {
    if (part.byteLength > skip) left.push(part.subarray(skip))
    skip = Math.max(0, skip - part.byteLength)
  }
  return { parts: left, byteLength: byteLength - taken }
}
