// Large bytes at the very end of a frame, as blocks travel, without copying them: the CBOR is the same, but what
// precedes the bytes is encoded and decoded apart. Used by frames.ts; knows CBOR's heads and nothing of calls.
import { decode, encode } from 'cborg'

/** Below this, a copy costs less than a piece of its own. */
const LEAST_BYTES = 16 * 1024
const EMPTY = new Uint8Array(0)
/** Arrays that such bytes may be nested in; frames need three. */
const MAX_DEPTH = 8

const UINT = 0
const BYTES = 2
const TEXT = 3
const ARRAY = 4

/** What `encode` makes of a value, as [all but the tail, the tail]; undefined when it does not end in large bytes. */
export function encodeWithTail(value: unknown): [start: Uint8Array, tail: Uint8Array] | undefined {
  const tail = tailOf(value, 0)
  if (!tail) return undefined
  const encoded = encode(replaceTail(value, EMPTY)) // ends with the head of empty bytes
  const start = new Uint8Array(encoded.byteLength + 4)
  start.set(encoded)
  const at = encoded.byteLength - 1
  const length = tail.byteLength
  if (length < 0x10000) {
    start[at] = (BYTES << 5) | 25
    new DataView(start.buffer).setUint16(at + 1, length)
    return [start.subarray(0, at + 3), tail]
  }
  start[at] = (BYTES << 5) | 26
  new DataView(start.buffer).setUint32(at + 1, length)
  return [start, tail]
}

/**
 * What `decode` makes of a body that ends in large bytes, which become a view of it; undefined when it does not, or
 * when what precedes them is more than numbers, texts and arrays.
 * @throws as `decode` does.
 */
export function decodeWithTail(body: Uint8Array): unknown {
  const found = findTail(body)
  if (!found) return undefined
  const start = new Uint8Array(found.headAt + 1)
  start.set(body.subarray(0, found.headAt))
  start[found.headAt] = BYTES << 5
  return replaceTail(decode(start), body.subarray(found.dataAt))
}

function tailOf(value: unknown, depth: number): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.byteLength >= LEAST_BYTES ? value : undefined
  return Array.isArray(value) && depth < MAX_DEPTH ? tailOf(value.at(-1), depth + 1) : undefined
}

function replaceTail(value: unknown, tail: Uint8Array): unknown {
  return Array.isArray(value) ? [...value.slice(0, -1), replaceTail(value.at(-1), tail)] : tail
}

function findTail(body: Uint8Array): { headAt: number; dataAt: number } | undefined {
  let at = 0
  for (let depth = 0; depth <= MAX_DEPTH; depth++) {
    const head = readHead(body, at)
    if (head?.major === BYTES) {
      const ends = head.value >= LEAST_BYTES && head.next + head.value === body.byteLength
      return ends ? { headAt: at, dataAt: head.next } : undefined
    }
    if (head?.major !== ARRAY || head.value > 16) return undefined
    at = head.next
    for (let i = 1; i < head.value; i++) {
      const each = readHead(body, at)
      if (each?.major !== UINT && each?.major !== TEXT) return undefined
      at = each.next + (each.major === TEXT ? each.value : 0)
    }
  }
  return undefined
}

/** Major type and argument of the item at `at`; undefined for what needs more than 32 bits, and at the end. */
function readHead(body: Uint8Array, at: number): { major: number; value: number; next: number } | undefined {
  const first = body[at]
  if (first === undefined) return undefined
  const [major, info] = [first >> 5, first & 31]
  if (info < 24) return { major, value: info, next: at + 1 }
  const size = 1 << (info - 24)
  if (size > 4 || at + 1 + size > body.byteLength) return undefined
  let value = 0
  for (let i = 1; i <= size; i++) value = value * 256 + (body[at + i] ?? 0)
  return { major, value, next: at + 1 + size }
}
