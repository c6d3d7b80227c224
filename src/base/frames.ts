// Frames on a byte stream: 4 bytes of length (big endian), then that many bytes. For small control protocols.
import { type Bytes, concat } from './bytes.ts'
import { OsError } from './errors.ts'

const HEADER_BYTES = 4

export function framed(body: Uint8Array): Bytes {
  const header = new Uint8Array(HEADER_BYTES)
  new DataView(header.buffer).setUint32(0, body.byteLength)
  return concat([header, body])
}

/** Takes a stream's bytes in any pieces and gives whole frames. */
export class FrameReader {
  readonly #mostBytes: number
  #rest: Uint8Array = new Uint8Array(0)

  constructor(mostBytes: number) {
    this.#mostBytes = mostBytes
  }

  /** Bytes of a frame that is not whole yet. */
  get pendingBytes(): number {
    return this.#rest.byteLength
  }

  /** @throws {OsError} EPROTO for a frame that is too large; the stream is useless then. */
  push(bytes: Uint8Array): Uint8Array[] {
    this.#rest = this.#rest.byteLength === 0 ? bytes : concat([this.#rest, bytes])
    const frames: Uint8Array[] = []
    for (;;) {
      if (this.#rest.byteLength < HEADER_BYTES) return frames
      const length = new DataView(this.#rest.buffer, this.#rest.byteOffset).getUint32(0)
      if (length > this.#mostBytes) {
        throw new OsError('EPROTO', `a frame of ${length} bytes, more than ${this.#mostBytes}`)
      }
      const end = HEADER_BYTES + length
      if (this.#rest.byteLength < end) return frames
      frames.push(this.#rest.subarray(HEADER_BYTES, end))
      this.#rest = this.#rest.subarray(end)
    }
  }
}
