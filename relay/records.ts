// What the relay checks of directory records that it stores for others: their size and their outer form.
// Signatures, versions and choice among several are the tabs' business (src/kernel/directory).
import { decode } from 'cborg'
import { OsError } from '../src/base/errors.ts'
import { limits } from './limits.ts'

/** The protocol of the tabs' DHT: src/adapters/libp2p uses the same name. */
export const dhtProtocol = '/brittlestar/kad/1.0.0'
export const recordNamespaces = ['bs-peer', 'bs-home', 'bs-prov', 'bs-dev'] as const

const MAX_KEY_BYTES = 256

type Validate = (key: Uint8Array, value: Uint8Array) => void
type Select = (key: Uint8Array, values: Uint8Array[]) => number

export const recordValidators: Record<string, Validate> = forEachNamespace(() => validateRecord)
/** The last to arrive: the relay cannot tell which is newest, and tabs choose among what they collect. */
export const recordSelectors: Record<string, Select> = forEachNamespace(() => (_key, values) => values.length - 1)

/** @throws {OsError} EFBIG, EPROTO */
export function validateRecord(key: Uint8Array, value: Uint8Array): void {
  if (key.byteLength > MAX_KEY_BYTES) throw new OsError('EFBIG', `a record's key of ${key.byteLength} bytes`)
  if (value.byteLength > limits.recordBytes) throw new OsError('EFBIG', `a record of ${value.byteLength} bytes`)
  let content: unknown
  try {
    content = decode(value, { strict: true, useMaps: true })
  } catch (cause) {
    throw new OsError('EPROTO', 'a record that is not CBOR', { cause })
  }
  if (typeof content !== 'object' || content === null || content instanceof Uint8Array) {
    throw new OsError('EPROTO', 'a record without an envelope')
  }
}

function forEachNamespace<T>(make: () => T): Record<string, T> {
  return Object.fromEntries(recordNamespaces.map((name) => [name, make()]))
}
