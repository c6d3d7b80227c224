// A libp2p stream as a ByteStream: for peers whose connection is not ours to open channels on (channel-stream.ts).
import type { Stream } from '@libp2p/interface'
import { errorLine, OsError } from '../../base/errors.ts'
import type { ByteStream } from '../../ports/network.ts'
import { Inbox } from './inbox.ts'
import { CLOSE_MS } from './limits.ts'

/** The data channel below a stream of @libp2p/webrtc 6.0.33, which hides it; only its buffer is read. */
interface OnChannel {
  channel?: { bufferedAmount?: number } & Partial<EventTarget>
}

export class Libp2pStream implements ByteStream {
  readonly #stream: Stream
  readonly #inbox = new Inbox()
  readonly #waiters = new Set<{ below: number; resolve: () => void }>()

  constructor(stream: Stream) {
    this.#stream = stream
    stream.addEventListener('message', ({ data }) => {
      if (data instanceof Uint8Array) this.#inbox.push(data)
      else for (const chunk of data) this.#inbox.push(chunk)
    })
    stream.addEventListener('remoteCloseWrite', () => {
      this.#inbox.end(undefined)
      this.close()
    })
    stream.addEventListener('close', ({ error }) => {
      this.#inbox.end(error && new OsError('ECONNRESET', errorLine(error), { cause: error }))
      this.#wake()
    })
    const wake = (): void => this.#wake()
    stream.addEventListener('drain', wake)
    stream.addEventListener('idle', wake)
    this.#channel?.addEventListener?.('bufferedamountlow', wake)
  }

  get #channel(): OnChannel['channel'] {
    return (this.#stream as OnChannel).channel
  }

  get bufferedBytes(): number {
    if (this.#stream.status !== 'open') return 0
    return this.#stream.writeBufferLength + (this.#channel?.bufferedAmount ?? 0)
  }

  send(...parts: readonly Uint8Array[]): void {
    if (this.#stream.writeStatus !== 'writable') throw new OsError('EPIPE', 'Cannot send: the stream is closed')
    try {
      for (const part of parts) this.#stream.send(part)
    } catch (cause) {
      throw new OsError('EPIPE', `Cannot send: ${errorLine(cause)}`, { cause })
    }
  }

  drained(belowBytes: number): Promise<void> {
    if (this.bufferedBytes <= belowBytes) return Promise.resolve()
    return new Promise((resolve) => this.#waiters.add({ below: belowBytes, resolve }))
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    this.#inbox.onData(listener)
  }

  onClose(listener: (error: Error | undefined) => void): void {
    this.#inbox.onClose(listener)
  }

  close(): void {
    if (this.#stream.writeStatus !== 'writable') return
    this.#stream.close({ signal: AbortSignal.timeout(CLOSE_MS) }).catch((error: Error) => this.#stream.abort(error))
  }

  abort(reason: string): void {
    this.#stream.abort(new OsError('ECONNRESET', reason))
  }

  #wake(): void {
    for (const waiter of this.#waiters) {
      if (this.bufferedBytes > waiter.below) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }
}
