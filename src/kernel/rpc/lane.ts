// One byte stream to one peer: handshake, then frames both ways. Above: session.ts, which pairs the control and
// the bulk lane of a peer. Below: the network port.
//
// States: greeting → open → closed. The first frame from the other side must be a valid hello of our cluster
// and version, within HELLO_TIMEOUT_MS; anything else closes the lane with a reason.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { ByteStream, StreamKind } from '../../ports/network.ts'
import { HELLO_TIMEOUT_MS, MAX_QUEUED_BYTES } from '../limits.ts'
import {
  decodeFrame,
  encodeFrame,
  encodeFrameParts,
  FRAME,
  type Frame,
  FrameReader,
  type Hello,
  PROTOCOL_VERSION,
} from './frames.ts'

export interface LaneEvents {
  onOpen(hello: Hello): void
  /** It speaks another version of the protocol: the lane ends. */
  onOtherVersion(theirs: number): void
  onFrame(frame: Frame, encodedBytes: number): void
  /** Once; `hostile` when the peer broke the protocol. */
  onClose(reason: string, hostile: boolean): void
}

export class Lane {
  readonly peer: NodeId
  readonly kind: StreamKind
  readonly #stream: ByteStream
  readonly #events: LaneEvents
  readonly #own: Hello
  readonly #reader = new FrameReader()
  readonly #greetingTimer: Timer
  #state: 'greeting' | 'open' | 'closed' = 'greeting'

  constructor(options: {
    peer: NodeId
    kind: StreamKind
    stream: ByteStream
    hello: Hello
    clock: Clock
    events: LaneEvents
  }) {
    this.peer = options.peer
    this.kind = options.kind
    this.#stream = options.stream
    this.#events = options.events
    this.#own = options.hello
    this.#greetingTimer = options.clock.setTimer(
      () => this.#fail(`said nothing for ${HELLO_TIMEOUT_MS} ms`, true),
      HELLO_TIMEOUT_MS,
      'lane hello',
    )
  }

  /** Says hello, then begins to listen. Separate from construction, because the other side may have spoken already. */
  start(): void {
    try {
      this.#stream.send(encodeFrame([FRAME.HELLO, this.#own]))
    } catch (error) {
      this.#fail(errorLine(error), false) // it closed before we could answer
    }
    this.#stream.onData((chunk) => this.#receive(chunk))
    this.#stream.onClose((error) => this.#closed(error ? errorLine(error) : 'stream closed', false))
  }

  get bufferedBytes(): number {
    return this.#stream.bufferedBytes
  }

  drained(belowBytes: number): Promise<void> {
    return this.#stream.drained(belowBytes)
  }

  /**
   * Large bytes at the frame's end are queued as they are: they must not change afterwards.
   * @throws {OsError} EFBIG, EINVAL, EPIPE; EAGAIN when too much is queued for this peer already.
   */
  send(frame: Frame): void {
    if (this.#state === 'closed') throw new OsError('EPIPE', 'the link to this peer is closed')
    const parts = encodeFrameParts(frame)
    const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
    if (this.#stream.bufferedBytes + length > MAX_QUEUED_BYTES) {
      throw new OsError('EAGAIN', `more than ${MAX_QUEUED_BYTES} bytes are queued for this peer`)
    }
    this.#stream.send(...parts)
  }

  /** Best effort: a full queue or a closed stream says it as well, only later. */
  goodbye(reason: string): void {
    try {
      this.send([FRAME.BYE, reason])
    } catch (error) {
      if (!isOsError(error, 'EPIPE') && !isOsError(error, 'EAGAIN')) throw error
    }
  }

  /** Flushes what is queued, then closes. Idempotent. */
  close(reason: string): void {
    if (this.#state === 'closed') return
    this.#stream.close()
    this.#closed(reason, false)
  }

  #receive(chunk: Uint8Array): void {
    if (this.#state === 'closed') return
    try {
      for (const body of this.#reader.push(chunk)) {
        const frame = decodeFrame(body)
        if (this.#state === 'greeting') this.#greet(frame)
        else if (frame[0] === FRAME.HELLO) throw new OsError('EPROTO', 'said hello twice')
        else this.#events.onFrame(frame, body.byteLength)
        if ((this.#state as string) === 'closed') return
      }
    } catch (error) {
      this.#fail(errorLine(error), true)
    }
  }

  #greet(frame: Frame): void {
    if (frame[0] !== FRAME.HELLO) throw new OsError('EPROTO', 'did not say hello first')
    const theirs = frame[1]
    if (theirs.v !== PROTOCOL_VERSION) {
      this.#events.onOtherVersion(theirs.v)
      const older = theirs.v < PROTOCOL_VERSION ? 'that one' : 'this tab'
      const versions = `speaks protocol version ${theirs.v}, this tab speaks ${PROTOCOL_VERSION}`
      throw new OsError('EPROTO', `${versions}: reload ${older}`)
    }
    if (theirs.cluster !== this.#own.cluster) throw new OsError('EPROTO', 'belongs to another cluster')
    this.#state = 'open'
    this.#greetingTimer.cancel()
    this.#events.onOpen(theirs)
  }

  #fail(reason: string, hostile: boolean): void {
    if (this.#state === 'closed') return
    // First our own word for it: the stream may report the abort before it returns, as an ordinary close.
    this.#closed(reason, hostile)
    this.#stream.abort(reason)
  }

  #closed(reason: string, hostile: boolean): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#greetingTimer.cancel()
    this.#events.onClose(reason, hostile)
  }
}
