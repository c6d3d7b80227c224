// Wire format between kernels: frames of canonical CBOR behind a 4-byte big-endian length. Nothing here keeps
// state about calls; session.ts does. Everything that arrives is validated and bounded here.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { concat } from '../../base/bytes.ts'
import { errorCodes, OsError, toOsError } from '../../base/errors.ts'
import { MAX_FRAME_BYTES } from '../limits.ts'
import { decodeWithTail, encodeWithTail } from './tail.ts'

export const PROTOCOL_VERSION = 16

const id = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const text = (max: number) => v.pipe(v.string(), v.maxLength(max))
const small = v.pipe(v.number(), v.minValue(0), v.maxValue(1e15))

/** How well a node can keep what others count on: number of its StorageClass. */
const storage = v.picklist([0, 1, 2, 3, 4])

/** What each side says first on every stream. The node id itself is authenticated by the transport. */
export const hello = v.object({
  v: v.pipe(v.number(), v.integer()),
  cluster: text(64),
  /** Browser profile: the failure domain. */
  device: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  /** Random per boot, so that a reloaded tab is told apart from its former self. */
  session: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
  /** SHA-256 of a secret that nobody tells but this tab's page, when it is closed: who knows it has its word. */
  goodbye: v.exactOptional(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
  /** Workers offered. */
  slots: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1024)),
  storage,
  /** Its wall clock as it says this, in Unix ms. */
  wallMs: v.exactOptional(v.pipe(v.number(), v.minValue(-1e15), v.maxValue(1e15))),
})
export type Hello = v.InferOutput<typeof hello>

/** What a heartbeat tells about its sender. */
export const pulse = v.object({
  state: v.picklist(['alive', 'hidden', 'frozen']),
  running: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(1e6)),
  storage,
  /** The receiver is a watcher: it will hear from the sender with every heartbeat, and may hold silence against it. */
  watch: v.boolean(),
})
export type Pulse = v.InferOutput<typeof pulse>

/** Number of a ping that is not answered: most heartbeats are such, and halve what an idle mesh sends. */
export const NO_ANSWER = 0

const HELLO = 0
const CALL = 1
const RESULT = 2
const ERROR = 3
const CANCEL = 4
const ITEM = 5
const CREDIT = 6
const PING = 7
const PONG = 8
const BYE = 9
const NOTE = 10

/** Shape of each frame, indexed by its first element. */
const shapes = [
  v.strictTuple([v.literal(HELLO), hello]),
  /** id, method, milliseconds the caller will wait (0: until cancelled), bytes of items it can take, arguments */
  v.strictTuple([v.literal(CALL), id, text(64), small, small, v.unknown()]),
  v.strictTuple([v.literal(RESULT), id, v.unknown()]),
  v.strictTuple([v.literal(ERROR), id, v.picklist(errorCodes), text(4096)]),
  v.strictTuple([v.literal(CANCEL), id]),
  v.strictTuple([v.literal(ITEM), id, v.unknown()]),
  v.strictTuple([v.literal(CREDIT), id, small]),
  /** number, or NO_ANSWER for a heartbeat that wants no pong */
  v.strictTuple([v.literal(PING), id, pulse]),
  v.strictTuple([v.literal(PONG), id]),
  v.strictTuple([v.literal(BYE), text(200)]),
  v.strictTuple([v.literal(NOTE), text(64), v.unknown()]),
] as const
export type Frame = v.InferOutput<(typeof shapes)[number]>
export const FRAME = { HELLO, CALL, RESULT, ERROR, CANCEL, ITEM, CREDIT, PING, PONG, BYE, NOTE } as const

/** @throws {OsError} EFBIG when it would exceed MAX_FRAME_BYTES; EINVAL for what CBOR cannot hold. */
export function encodeFrame(value: Frame): Uint8Array {
  return concat(encodeFrameParts(value))
}

/** The pieces of a frame, to be sent one behind the other. Large bytes at its end are a piece as they are. */
export function encodeFrameParts(value: Frame): Uint8Array[] {
  let parts: Uint8Array[]
  try {
    parts = encodeWithTail(value) ?? [encode(value)]
  } catch (error) {
    throw toOsError(error, 'EINVAL')
  }
  const [start = new Uint8Array(0), ...tail] = parts
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0)
  if (length > MAX_FRAME_BYTES) {
    throw new OsError('EFBIG', `a message of ${length} bytes is over the limit of ${MAX_FRAME_BYTES}`)
  }
  const first = new Uint8Array(4 + start.byteLength)
  new DataView(first.buffer).setUint32(0, length)
  first.set(start, 4)
  return [first, ...tail]
}

/** Large bytes at the frame's end are a view of `body`. @throws {OsError} EPROTO for anything that is no valid frame. */
export function decodeFrame(body: Uint8Array): Frame {
  let value: unknown
  try {
    value = decodeWithTail(body) ?? decode(body, { rejectDuplicateMapKeys: true })
  } catch (error) {
    throw new OsError('EPROTO', 'a frame is not CBOR', { cause: error })
  }
  const shape = Array.isArray(value) && typeof value[0] === 'number' ? shapes[value[0]] : undefined
  if (!shape) throw new OsError('EPROTO', 'a frame is of no known kind')
  const parsed = v.safeParse(shape, value)
  if (!parsed.success) throw new OsError('EPROTO', `a frame is malformed: ${parsed.issues[0].message.slice(0, 120)}`)
  return parsed.output
}

/** Pieces of an unfinished frame that are joined into one: a frame sent byte by byte must not cost 200 times its size. */
const JOIN_PIECES = 64

/** Cuts a byte stream into frame bodies. Holds at most one frame's bytes plus one chunk. */
export class FrameReader {
  #chunks: Uint8Array[] = []
  #size = 0
  /** Chunks at the end that have not been joined. */
  #loose = 0

  /** @throws {OsError} EPROTO as soon as a length beyond the limit is announced. */
  push(chunk: Uint8Array): Uint8Array[] {
    if (chunk.byteLength > 0) {
      this.#chunks.push(chunk)
      this.#size += chunk.byteLength
      this.#loose++
    }
    const bodies: Uint8Array[] = []
    while (this.#size >= 4) {
      const length = this.#peekLength()
      if (length > MAX_FRAME_BYTES) {
        throw new OsError('EPROTO', `a frame of ${length} bytes is over the limit of ${MAX_FRAME_BYTES}`)
      }
      if (this.#size < 4 + length) break
      this.#take(4)
      bodies.push(this.#take(length))
      this.#loose = this.#chunks.length
    }
    if (this.#loose >= JOIN_PIECES) {
      this.#chunks.push(concat(this.#chunks.splice(-this.#loose)))
      this.#loose = 0
    }
    return bodies
  }

  #peekLength(): number {
    let value = 0
    let seen = 0
    for (const chunk of this.#chunks) {
      for (let i = 0; i < chunk.byteLength && seen < 4; i++, seen++) value = value * 256 + (chunk[i] ?? 0)
      if (seen === 4) break
    }
    return value
  }

  #take(count: number): Uint8Array {
    this.#size -= count
    const first = this.#chunks[0]
    if (first && first.byteLength >= count) {
      if (first.byteLength === count) this.#chunks.shift()
      else this.#chunks[0] = first.subarray(count)
      return first.subarray(0, count)
    }
    const out = new Uint8Array(count)
    let at = 0
    let used = 0
    while (at < count) {
      const chunk = this.#chunks[used] as Uint8Array
      const part = chunk.subarray(0, count - at)
      out.set(part, at)
      at += part.byteLength
      if (part.byteLength < chunk.byteLength) this.#chunks[used] = chunk.subarray(part.byteLength)
      else used++
    }
    this.#chunks.splice(0, used)
    return out
  }
}
