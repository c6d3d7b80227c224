// The fallback for browsers that cannot transfer data channels: the page keeps the channel and forwards its
// messages over the port. Its bufferedAmount is mirrored, so that the worker (worker-channel.ts) can pace itself.
import type { HostEvent } from './protocol.ts'

export class ForwardedChannel {
  readonly #rtc: RTCDataChannel
  readonly #id: number
  readonly #post: (event: HostEvent, transfer: Transferable[]) => void
  #taken = 0

  constructor(
    rtc: RTCDataChannel,
    id: number,
    post: (event: HostEvent, transfer: Transferable[]) => void,
    onClosed: () => void,
  ) {
    this.#rtc = rtc
    this.#id = id
    this.#post = post
    rtc.binaryType = 'arraybuffer'
    const closed = (error?: string): void => {
      rtc.onopen = rtc.onclose = rtc.onerror = rtc.onmessage = rtc.onbufferedamountlow = null
      onClosed()
      post({ t: 'closed', channel: id, ...(error === undefined ? {} : { error }) }, [])
    }
    rtc.onopen = () => post({ t: 'open', channel: id }, [])
    rtc.onclose = () => closed()
    rtc.onerror = ({ error }) => closed(error.message)
    rtc.onbufferedamountlow = () => this.#report()
    rtc.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) =>
      post({ t: 'message', channel: id, data }, typeof data === 'string' ? [] : [data])
    // Incoming channels may be open before anybody could listen.
    if (rtc.readyState === 'open') post({ t: 'open', channel: id }, [])
    else if (rtc.readyState === 'closed') closed()
  }

  send(data: ArrayBuffer | string): void {
    this.#taken += typeof data === 'string' ? data.length : data.byteLength
    if (this.#rtc.readyState !== 'open') return
    try {
      if (typeof data === 'string') this.#rtc.send(data)
      else this.#rtc.send(data)
    } catch {
      // The browser's own send queue is full: the stream would have a hole, so it ends here.
      this.#rtc.close()
    }
    this.#report()
  }

  setThreshold(bytes: number): void {
    this.#rtc.bufferedAmountLowThreshold = bytes
    this.#report()
  }

  close(): void {
    this.#rtc.close()
  }

  #report(): void {
    this.#post({ t: 'buffered', channel: this.#id, taken: this.#taken, buffered: this.#rtc.bufferedAmount }, [])
  }
}
