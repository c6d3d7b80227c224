import fc from 'fast-check'
import { expect, test } from 'vitest'
import { utf8 } from '../../base/bytes.ts'
import { decodeRecord, encodeRecord } from './record.ts'

const at = new Date('2026-01-02T03:04:05.678Z')

test('a record is decoded as it was encoded, whatever its key and value', () => {
  fc.assert(
    fc.property(fc.string(), fc.uint8Array({ maxLength: 20_000 }), (key, value) => {
      expect(decodeRecord(encodeRecord({ key: utf8(key).length ? key : '/', value }, at))?.value).toEqual(value)
    }),
  )
})

test('has the form that libp2p writes', () => {
  const bytes = encodeRecord({ key: '/a/b', value: new Uint8Array([7, 8]) }, at)
  const time = [...utf8('2026-01-02T03:04:05.678Z')]
  expect([...bytes]).toEqual([10, 4, ...utf8('/a/b'), 18, 2, 7, 8, 42, time.length, ...time])
})

test('bytes that are no record are refused without an exception', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      decodeRecord(bytes)
    }),
  )
  const good = encodeRecord({ key: '/a/b', value: new Uint8Array(300) }, at)
  expect(decodeRecord(good.subarray(0, 100))).toBeUndefined()
  expect(decodeRecord(new Uint8Array(0))).toBeUndefined()
})
