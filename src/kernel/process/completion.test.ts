import { encode } from 'cborg'
import { describe, expect, it } from 'vitest'
import { concat } from '../../base/bytes.ts'
import { MAX_EVENT_BYTES } from '../../syscalls/limits.ts'
import { decodeCompletion, encodeCompletion } from './completion.ts'
import { encodeData } from './data.ts'

const done = (result: Uint8Array, data = encodeData(1)) =>
  encodeCompletion({ ok: true, result, emits: [{ task: 't', data, after: null }], ops: [], exit: null, ms: 1 })

describe('a completion', () => {
  it('carries results as they were encoded', () => {
    const result = encodeData({ a: [1, -70_000, 'two', null, true, 0.5, Uint8Array.of(3), 2 ** 40, {}], ü: [] })
    expect(decodeCompletion(done(result))).toMatchObject({ ok: true, result })
  })

  const bad: [string, Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['two values, of which the second would become another result', concat([encodeData(1), encodeData(2)])],
    ['the beginning of a value', encodeData('a long text').subarray(0, 4)],
    ['an array that takes what follows it', Uint8Array.of(0x82, 0x01)],
    ['what is no data', encode(undefined)],
    ['too much', encode(new Uint8Array(MAX_EVENT_BYTES))],
    ['a text that is longer than what there is', Uint8Array.of(0x7b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
    ['more members than bytes', Uint8Array.of(0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01)],
    ['a list without an end', Uint8Array.of(0x9f, 0x01, 0xff)],
    ['a tag', Uint8Array.of(0xc1, 0x01)],
    ['deep nesting', concat([new Uint8Array(100).fill(0x81), encodeData(1)])],
  ]
  it.each(bad)('with %s for a result or for data is refused', (_what, bytes) => {
    const refused = expect.objectContaining({ code: 'EPROTO' })
    expect(() => decodeCompletion(done(bytes))).toThrow(refused)
    expect(() => decodeCompletion(done(encodeData(1), bytes))).toThrow(refused)
  })
})
