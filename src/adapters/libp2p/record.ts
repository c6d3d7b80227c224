// The form in which kad-dht stores records (protobuf: 1 key, 2 value, 5 time of arrival), read and written without
// the library: dht.ts answers from what this node holds without waiting for a query, also when it is alone.
import { type Bytes, concat, fromUtf8, utf8 } from '../../base/bytes.ts'

export interface StoredRecord {
  key: string
  value: Uint8Array
}

const KEY = 1
const VALUE = 2
const TIME = 5
const LENGTH_DELIMITED = 2

export function encodeRecord({ key, value }: StoredRecord, receivedAt: Date): Bytes {
  const fields = [
    [KEY, utf8(key)],
    [VALUE, value],
    [TIME, utf8(receivedAt.toISOString())],
  ] as const
  return concat(
    fields.flatMap(([field, bytes]) => [varint((field << 3) | LENGTH_DELIMITED), varint(bytes.byteLength), bytes]),
  )
}

/** @returns undefined for bytes that are no record. */
export function decodeRecord(bytes: Uint8Array): StoredRecord | undefined {
  let key: string | undefined
  let value: Uint8Array | undefined
  let offset = 0
  const next = (): number => {
    let result = 0
    for (let factor = 1; ; factor *= 128) {
      const byte = bytes[offset++]
      if (byte === undefined || factor > 2 ** 35) return Number.NaN
      result += (byte & 127) * factor
      if (byte < 128) return result
    }
  }
  while (offset < bytes.byteLength) {
    const tag = next()
    const length = next()
    if ((tag & 7) !== LENGTH_DELIMITED || !(offset + length <= bytes.byteLength)) return undefined
    const content = bytes.subarray(offset, offset + length)
    if (tag >> 3 === KEY) key = fromUtf8(content)
    else if (tag >> 3 === VALUE) value = content
    offset += length
  }
  return key === undefined || value === undefined ? undefined : { key, value }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest & 127) | 128)
  bytes.push(rest)
  return new Uint8Array(bytes)
}
