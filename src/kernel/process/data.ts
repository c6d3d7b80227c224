// Data of events and results: checked, measured and encoded once, then carried as opaque CBOR bytes.
import { decode, encode } from 'cborg'
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { MAX_EVENT_BYTES, MAX_GATHER_BYTES } from '../../syscalls/limits.ts'
import type { Data } from '../../syscalls/types.ts'

const MAX_DEPTH = 64

/** @throws {OsError} EINVAL for what Data does not allow, EFBIG beyond MAX_EVENT_BYTES. */
export function encodeData(value: unknown): Uint8Array {
  const budget = { bytes: MAX_EVENT_BYTES }
  check(value, 0, budget)
  const bytes = encode(value)
  if (bytes.byteLength > MAX_EVENT_BYTES) throw tooLarge()
  return bytes
}

/**
 * Whether bytes of another node are one value as `encodeData` makes them: they become a part of larger ones. Nothing is
 * decoded, so that a hostile one costs no more than its length.
 */
export function holdsData(bytes: Uint8Array): boolean {
  return bytes.byteLength <= MAX_EVENT_BYTES && endOfItem(bytes, 0, 0) === bytes.byteLength
}

/** Where the CBOR item ends that begins at `at` (RFC 8949, 3); NaN when it is none, or of a kind that data has not. */
function endOfItem(bytes: Uint8Array, at: number, depth: number): number {
  const first = bytes[at]
  if (first === undefined || depth > MAX_DEPTH) return Number.NaN
  const [major, minor] = [first >> 5, first & 31]
  const width = minor < 24 ? 0 : 1 << (minor - 24)
  let next = at + 1 + width
  if (minor > 27 || next > bytes.byteLength) return Number.NaN
  let value = minor < 24 ? minor : 0
  for (let i = at + 1; i < next; i++) value = value * 256 + (bytes[i] as number)
  if (major < 2) return next
  if (major < 4) return next + value
  if (major === 7) return minor === 20 || minor === 21 || minor === 22 || minor > 24 ? next : Number.NaN
  if (major === 6 || value > bytes.byteLength) return Number.NaN
  for (let left = major === 5 ? 2 * value : value; left > 0 && next <= bytes.byteLength; left--) {
    next = endOfItem(bytes, next, depth + 1)
  }
  return next
}

export function decodeData(bytes: Uint8Array): Data {
  return decode(bytes) as Data
}

/** Walks the value before it is encoded, so that a hostile one costs no more than the limit. */
function check(value: unknown, depth: number, budget: { bytes: number }): void {
  if (depth > MAX_DEPTH) throw new OsError('EINVAL', `event data is nested deeper than ${MAX_DEPTH}`)
  budget.bytes -= 1
  if (typeof value === 'string') budget.bytes -= value.length
  else if (value instanceof Uint8Array) budget.bytes -= value.byteLength
  if (budget.bytes < 0) throw tooLarge()
  if (value === null || typeof value === 'boolean' || typeof value === 'string' || value instanceof Uint8Array) return
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new OsError('EINVAL', `event data must not hold ${value}`)
    return
  }
  if (Array.isArray(value)) {
    for (const item of value) check(item, depth + 1, budget)
    return
  }
  if (
    typeof value === 'object' &&
    (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null)
  ) {
    for (const [key, item] of Object.entries(value)) {
      budget.bytes -= key.length
      check(item, depth + 1, budget)
    }
    return
  }
  const kind = typeof value === 'object' ? value.constructor?.name : typeof value
  throw new OsError(
    'EINVAL',
    `event data holds a ${kind}: use null, booleans, numbers, strings, Uint8Arrays, arrays, objects`,
  )
}

function tooLarge(): OsError {
  return new OsError(
    'EFBIG',
    `event data is larger than ${MAX_EVENT_BYTES} bytes: put it into a file and pass its path`,
  )
}

const NULL = Uint8Array.of(0xf6)
const KEY_DATA = encode('data')
const KEY_RESULTS = encode('results')
const KEY_STATE = encode('state')

/** The encoded `{ data, results: [...] }` of a gather, put together without decoding. @throws {OsError} EFBIG. */
export function gatherInput(data: Uint8Array, results: readonly (Uint8Array | undefined)[]): Uint8Array {
  const size = results.reduce((sum, result) => sum + (result?.byteLength ?? 1), data.byteLength)
  if (size > MAX_GATHER_BYTES) {
    throw new OsError('EFBIG', `gather would deliver ${size} bytes, over ${MAX_GATHER_BYTES}: pass results in files`)
  }
  const parts = [Uint8Array.of(0xa2), KEY_DATA, data, KEY_RESULTS, arrayHeader(results.length)]
  return concat([...parts, ...results.map((result) => result ?? NULL)])
}

/** The encoded `{ data, state }` of a step of a fold. @param state undefined for the first one. */
export function foldInput(data: Uint8Array, state: Uint8Array | undefined): Uint8Array {
  return concat([Uint8Array.of(0xa2), KEY_DATA, data, KEY_STATE, state ?? NULL])
}

/** CBOR major type 4 (RFC 8949, 3.1). */
function arrayHeader(length: number): Uint8Array {
  if (length < 24) return Uint8Array.of(0x80 | length)
  if (length < 0x100) return Uint8Array.of(0x98, length)
  if (length < 0x10000) return Uint8Array.of(0x99, length >> 8, length & 0xff)
  return Uint8Array.of(0x9a, length >>> 24, (length >> 16) & 0xff, (length >> 8) & 0xff, length & 0xff)
}
