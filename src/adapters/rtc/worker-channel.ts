// The worker's RTCDataChannel: exists at once, is backed by the real channel when that has been transferred
// (worker.ts hands it over), or by messages to the page (page-channel.ts) where transfer is not supported.
import { type Handler, HandlerTarget } from './handlers.ts'
import { MAX_HELD_BYTES } from './limits.ts'
import type { HostEvent, HostRequest } from './protocol.ts'

export interface ChannelInit {
  number: number
  label: string
  protocol: string
  ordered: boolean
}

type Phase = 'pending' | 'transferred' | 'forwarded'

/**
 * States as in the standard. Messages are held until somebody listens and the channel is open: Chrome delivers the
 * first one of a transferred channel before `open`, when nobody could answer it yet.
 */
export class FacadeDataChannel extends HandlerTarget {
  readonly label: string
  readonly protocol: string
  readonly ordered: boolean
  readonly negotiated = false
  binaryType: BinaryType = 'arraybuffer'
  readonly #number: number
  readonly #post: (request: HostRequest, transfer?: Transferable[]) => void
  readonly #onEnd: (channel: FacadeDataChannel) => void
  #phase: Phase = 'pending'
  #real: RTCDataChannel | undefined
  #state: RTCDataChannelState = 'connecting'
  #threshold = 0
  #held: (ArrayBuffer | string)[] | undefined = []
  #heldBytes = 0
  #listened = false
  /** Forwarded mode: bytes given to the page, and what it reported last. */
  #sent = 0
  #taken = 0
  #pageBuffered = 0

  constructor(
    init: ChannelInit,
    post: (request: HostRequest, transfer?: Transferable[]) => void,
    onEnd: (channel: FacadeDataChannel) => void,
  ) {
    super()
    this.#number = init.number
    this.label = init.label
    this.protocol = init.protocol
    this.ordered = init.ordered
    this.#post = post
    this.#onEnd = onEnd
  }

  /** Our number for it; the platform's `id` would be null until the connection is up. */
  get id(): number {
    return this.#number
  }

  get readyState(): RTCDataChannelState {
    return this.#state
  }

  get bufferedAmount(): number {
    return this.#real ? this.#real.bufferedAmount : this.#sent - this.#taken + this.#pageBuffered
  }

  get bufferedAmountLowThreshold(): number {
    return this.#threshold
  }
  set bufferedAmountLowThreshold(bytes: number) {
    if (bytes === this.#threshold) return
    this.#threshold = bytes
    if (this.#real) this.#real.bufferedAmountLowThreshold = bytes
    else if (this.#phase === 'forwarded') this.#post({ t: 'threshold', channel: this.#number, bytes })
  }

  /** @throws {DOMException} InvalidStateError unless open. */
  send(data: string | ArrayBuffer | ArrayBufferView<ArrayBuffer>): void {
    if (this.#state !== 'open') {
      throw new DOMException(`Cannot send on a data channel that is ${this.#state}`, 'InvalidStateError')
    }
    if (this.#real) {
      // One signature at a time: the overloads of send() do not accept their union.
      if (typeof data === 'string') this.#real.send(data)
      else if (data instanceof ArrayBuffer) this.#real.send(data)
      else this.#real.send(data)
      return
    }
    const payload = typeof data === 'string' ? data : copyOf(data)
    this.#sent += typeof payload === 'string' ? payload.length : payload.byteLength
    this.#post({ t: 'send', channel: this.#number, data: payload }, typeof payload === 'string' ? [] : [payload])
  }

  close(): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#state = 'closing'
    if (this.#real) this.#real.close()
    else if (this.#phase === 'forwarded') this.#post({ t: 'close-channel', channel: this.#number })
    // Pending: adopt() closes it as soon as it exists.
  }

  override addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: AddEventListenerOptions | boolean,
  ): void {
    super.addEventListener(type, listener, options)
    if (type !== 'message' || !this.#held) return
    this.#listened = true
    queueMicrotask(() => this.#release())
  }

  /** The page has made the channel: `real` when it could be transferred, else its events follow one by one. */
  adopt(real: RTCDataChannel | undefined): void {
    if (this.#state === 'closed') return real?.close()
    this.#phase = real ? 'transferred' : 'forwarded'
    if (real) this.#adoptReal(real)
    else if (this.#threshold > 0) {
      this.#post({ t: 'threshold', channel: this.#number, bytes: this.#threshold })
    }
    if (this.#state !== 'closing') return
    if (real) real.close()
    else this.#post({ t: 'close-channel', channel: this.#number })
  }

  /** An event of a forwarded channel. */
  forwarded(event: HostEvent): void {
    if (event.t === 'open') this.#opened()
    else if (event.t === 'message') this.#receive(event.data)
    else if (event.t === 'closed') this.end(event.error)
    else if (event.t === 'buffered') {
      const before = this.bufferedAmount
      this.#taken = event.taken
      this.#pageBuffered = event.buffered
      if (before > this.#threshold && this.bufferedAmount <= this.#threshold) {
        this.dispatchEvent(new Event('bufferedamountlow'))
      }
    }
  }

  /** It is closed, whoever did it. Idempotent. */
  end(error?: string): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    if (this.#real) this.#real.onopen = this.#real.onclose = this.#real.onerror = this.#real.onbufferedamountlow = null
    this.#onEnd(this)
    if (error !== undefined) {
      const failure = Object.assign(new Event('error'), { error: new DOMException(error, 'OperationError') })
      this.dispatchEvent(failure)
    }
    this.dispatchEvent(new Event('close'))
  }

  #adoptReal(real: RTCDataChannel): void {
    this.#real = real
    real.binaryType = 'arraybuffer'
    if (this.#threshold > 0) real.bufferedAmountLowThreshold = this.#threshold
    real.onopen = () => this.#opened()
    real.onclose = () => this.end()
    real.onerror = ({ error }) => this.end(error.message)
    real.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => this.#receive(data)
    real.onbufferedamountlow = () => this.dispatchEvent(new Event('bufferedamountlow'))
    // `open` or `close` may have fired on the page before the transfer: nobody tells again.
    if (real.readyState === 'open') this.#opened()
    else if (real.readyState === 'closed') this.end()
  }

  #opened(): void {
    if (this.#state !== 'connecting') return
    this.#state = 'open'
    // Not inside adopt(): whoever received the channel in this task must be able to add listeners first.
    queueMicrotask(() => {
      if (this.#state !== 'open') return
      this.dispatchEvent(new Event('open'))
      this.#release()
    })
  }

  #receive(data: ArrayBuffer | string): void {
    if (!this.#held) {
      this.dispatchEvent(new MessageEvent('message', { data }))
      return
    }
    this.#held.push(data)
    this.#heldBytes += typeof data === 'string' ? data.length : data.byteLength
    if (this.#heldBytes > MAX_HELD_BYTES) this.close()
  }

  #release(): void {
    if (!this.#listened || this.#state === 'connecting') return
    const held = this.#held
    this.#held = undefined
    for (const data of held ?? []) this.dispatchEvent(new MessageEvent('message', { data }))
  }

  get onopen(): Handler {
    return this.getHandler('open')
  }
  set onopen(handler: Handler) {
    this.setHandler('open', handler)
  }
  get onclose(): Handler {
    return this.getHandler('close')
  }
  set onclose(handler: Handler) {
    this.setHandler('close', handler)
  }
  get onerror(): Handler {
    return this.getHandler('error')
  }
  set onerror(handler: Handler) {
    this.setHandler('error', handler)
  }
  get onmessage(): Handler {
    return this.getHandler('message')
  }
  set onmessage(handler: Handler) {
    this.setHandler('message', handler)
  }
  get onbufferedamountlow(): Handler {
    return this.getHandler('bufferedamountlow')
  }
  set onbufferedamountlow(handler: Handler) {
    this.setHandler('bufferedamountlow', handler)
  }
}

/** The bytes in a buffer of their own, to be transferred: the caller may hold other views of its buffer. */
function copyOf(data: ArrayBuffer | ArrayBufferView<ArrayBuffer>): ArrayBuffer {
  if (data instanceof ArrayBuffer) return data.slice(0)
  return data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength)
}
