import { encode } from 'cborg'
import { expect, test } from 'vitest'
import { limits } from './limits.ts'
import { recordNamespaces, recordSelectors, recordValidators, validateRecord } from './records.ts'

const key = Buffer.from('/bs-peer/12D3KooW')

test('every namespace has a validator and a selector', () => {
  for (const name of recordNamespaces) {
    expect(() => recordValidators[name]?.(key, encode({ v: 1 }))).not.toThrow()
    expect(recordSelectors[name]?.(key, [encode(1), encode(2)])).toBe(1)
  }
})

test.each([
  ['too large', key, encode({ bytes: new Uint8Array(limits.recordBytes) }), 'EFBIG'],
  ['with an endless key', Buffer.alloc(300, '/a'), encode({}), 'EFBIG'],
  ['empty', key, new Uint8Array(0), 'EPROTO'],
  ['not CBOR', key, Buffer.from([0xff]), 'EPROTO'],
  ['followed by something', key, Buffer.concat([encode({}), Buffer.from([0])]), 'EPROTO'],
  ['without an envelope', key, encode('text'), 'EPROTO'],
] as const)('a record that is %s is refused', (_what, name, value, code) => {
  expect(() => validateRecord(name, value)).toThrow(expect.objectContaining({ code }))
})
