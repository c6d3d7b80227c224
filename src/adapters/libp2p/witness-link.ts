// The witness at the relay as a tab reaches it: one stream of frames, opened when there is something to say.
// Implements ports/witness.ts. relay-link.ts tells which connection; relay/witness.ts is the other side.
import type { Connection, Stream } from '@libp2p/interface'
import { errorLine } from '../../base/errors.ts'
import { FrameReader, framed } from '../../base/frames.ts'
import type { NodeId } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import { WITNESS_FRAME_BYTES, type WitnessLink } from '../../ports/witness.ts'
import * as limits from './limits.ts'

export const WITNESS_PROTOCOL = '/brittlestar/witness/1.0.0'

export class RelayWitness implements WitnessLink {
  readonly #log: LogSink
  #connection: Connection | undefined
  #stream: Promise<Stream> | undefined
  #changed: () => void = () => undefined
  #framed: (frame: Uint8Array) => void = () => undefined

  constructor(log: LogSink) {
    this.#log = log
  }

  get id(): NodeId | undefined {
    return this.#connection?.remotePeer.toString() as NodeId | undefined
  }

  onChange(listener: () => void): void {
    this.#changed = listener
  }

  onFrame(listener: (frame: Uint8Array) => void): void {
    this.#framed = listener
  }

  /** The connection to the relay, or that there is none. */
  set(connection: Connection | undefined): void {
    if (connection === this.#connection) return
    this.#connection = connection
    this.#stream = undefined
    this.#changed()
  }

  send(frame: Uint8Array): void {
    const connection = this.#connection
    if (!connection) return
    this.#stream ??= this.#open(connection)
    this.#stream
      .then((stream) => stream.send(framed(frame)))
      .catch((error: unknown) => {
        // Asked again by whoever waits for the answer.
        this.#log.log('debug', 'network', 'the witness cannot be told', { error: errorLine(error) })
        if (connection === this.#connection) this.#stream = undefined
      })
  }

  async #open(connection: Connection): Promise<Stream> {
    const signal = AbortSignal.timeout(limits.OPEN_STREAM_MS)
    const stream = await connection.newStream(WITNESS_PROTOCOL, { signal })
    const reader = new FrameReader(WITNESS_FRAME_BYTES)
    stream.addEventListener('message', ({ data }) => {
      if (connection !== this.#connection) return
      try {
        for (const frame of reader.push(data.subarray())) this.#framed(frame)
      } catch (error) {
        stream.abort(new Error(errorLine(error)))
      }
    })
    const gone = () => {
      if (connection === this.#connection) this.#stream = undefined
    }
    stream.addEventListener('close', gone)
    stream.addEventListener('remoteCloseWrite', () => {
      gone()
      stream.abort(new Error('the witness closed its side'))
    })
    return stream
  }
}
