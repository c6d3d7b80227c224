import { decode, encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isOsError } from '../../base/errors.ts'
import { MAX_EVENT_BYTES, MAX_GATHER_BYTES } from '../../syscalls/limits.ts'
import { MAX_COMPLETION_BYTES } from '../limits.ts'
import { decodeCompletion, encodeCompletion, parseExecutionItem } from './completion.ts'
import { decodeData, encodeData, gatherInput } from './data.ts'

const code = (action: () => unknown) => {
  try {
    action()
    return 'ok'
  } catch (error) {
    if (!isOsError(error)) throw error
    return error.code
  }
}
const data = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.constant(null),
    fc.boolean(),
    // CBOR's shortest form has one zero: -0 comes out as 0.
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    fc.integer(),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array(),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.string(), tie('any'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).any

describe('event data', () => {
  it('comes out as it went in', () => {
    fc.assert(
      fc.property(data, (value) => {
        expect(decodeData(encodeData(value))).toEqual(value)
      }),
    )
  })

  it.each([
    ['undefined', undefined],
    ['a function', () => 1],
    ['a symbol', Symbol('x')],
    ['a bigint', 1n],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['a Date', new Date(0)],
    ['a Map', new Map()],
    ['a Float64Array', new Float64Array(1)],
    ['an ArrayBuffer', new ArrayBuffer(1)],
    ['an Error', new Error('x')],
    ['a sparse array of 4 billion', new Array(2 ** 32 - 1)],
    ['one of them deep inside', { a: [{ b: undefined }] }],
  ])('is refused with EINVAL when it holds %s', (_what, value) => {
    expect(code(() => encodeData(value))).toBe('EINVAL')
  })

  it('is refused when it is too deep or cyclic, before it costs anything', () => {
    let deep: unknown = 1
    for (let i = 0; i < 100_000; i++) deep = [deep]
    expect(code(() => encodeData(deep))).toBe('EINVAL')
    const cycle: unknown[] = []
    cycle.push(cycle)
    expect(code(() => encodeData(cycle))).toBe('EINVAL')
  })

  it('is refused with EFBIG and advice when it is too large, also when the same part is referred to billions of times', () => {
    expect(code(() => encodeData('x'.repeat(MAX_EVENT_BYTES)))).toBe('EFBIG')
    expect(code(() => encodeData(new Uint8Array(MAX_EVENT_BYTES)))).toBe('EFBIG')
    expect(code(() => encodeData('é'.repeat(MAX_EVENT_BYTES * 0.7)))).toBe('EFBIG')
    expect(code(() => encodeData(new Uint8Array(MAX_EVENT_BYTES - 64)))).toBe('ok')
    let bomb: unknown = 'lol'
    for (let i = 0; i < 40; i++) bomb = Array(10).fill(bomb)
    expect(code(() => encodeData(bomb))).toBe('EFBIG')
    expect(() => encodeData(bomb)).toThrow(/put it into a file and pass its path/)
  })

  it('keeps a key named __proto__ as data', () => {
    const hostile = JSON.parse('{"__proto__": {"x": 1}}')
    const got = decodeData(encodeData(hostile)) as object
    expect(Object.keys(got)).toEqual(['__proto__'])
    expect('x' in got).toBe(false)
  })
})

describe('the input of a gather', () => {
  it('is the CBOR of { data, results }, for any number of results', () => {
    for (const count of [0, 1, 23, 24, 255, 256, 65_535, 65_536]) {
      const results = Array.from({ length: count }, (_, i) => (i % 7 === 0 ? undefined : encode(i)))
      const input = gatherInput(encode('mine'), results)
      const expected = { data: 'mine', results: results.map((_, i) => (i % 7 === 0 ? null : i)) }
      expect(decode(input)).toEqual(expected)
    }
  })

  it('is EFBIG with advice when the results together are too large', () => {
    const results = Array(17).fill(new Uint8Array(MAX_GATHER_BYTES / 16))
    expect(code(() => gatherInput(encode(null), results))).toBe('EFBIG')
    expect(() => gatherInput(encode(null), results)).toThrow(/pass results in files/)
  })
})

describe('a completion from an executor', () => {
  const good = { ok: true as const, result: encode(1), emits: [], ops: [], exit: null, ms: 1 }

  it('comes out as it went in', () => {
    expect(decodeCompletion(encodeCompletion(good))).toEqual(good)
    const bad = { ok: false as const, kind: 'threw' as const, message: 'no' }
    expect(decodeCompletion(encodeCompletion(bad))).toEqual(bad)
  })

  it.each([
    ['garbage', Uint8Array.of(1, 2, 3)],
    ['nothing', new Uint8Array(0)],
    ['more than it should have', encode({ ...good, more: 1 })],
    ['a result that is no bytes', encode({ ...good, result: 1 })],
    ['an exit code beyond 255', encode({ ...good, exit: 256 })],
    ['a negative time', encode({ ...good, ms: -1 })],
    ['data that is too large', encode({ ...good, result: new Uint8Array(MAX_EVENT_BYTES + 1) })],
    ['an operation that does not exist', encode({ ...good, ops: [{ op: 'chmod', path: '/' }] })],
    ['too many bytes', new Uint8Array(MAX_COMPLETION_BYTES + 1)],
    ['an unknown kind of failure', encode({ ok: false, kind: 'bored', message: '' })],
    ['a message without bound', encode({ ok: false, kind: 'threw', message: 'x'.repeat(8193) })],
  ])('is EPROTO when it holds %s', (_what, bytes) => {
    expect(code(() => decodeCompletion(bytes))).toBe('EPROTO')
  })

  it('comes in items of known form only', () => {
    const one = new Uint8Array(1)
    for (const item of [
      ['o', 0, 2, one],
      ['p', 31, one],
      ['c', 0, one],
      ['c', 0, one, 1, one],
    ]) {
      expect(parseExecutionItem(item)).toEqual(item)
    }
    const broken: unknown[] = [null, [], 'o', ['o', 0, 3, one], ['o', 32, 1, one], ['p', 0], ['p', 0.5, one]]
    broken.push(['c'], ['c', 'x'], ['c', 0], ['c', 0, one, 1], ['c', 0, one, one, 1], ['c', -1, one], ['x', 0, one])
    broken.push(['c', ...Array.from({ length: 33 }, (_, i) => [i % 32, one]).flat()])
    for (const item of broken) expect(code(() => parseExecutionItem(item))).toBe('EPROTO')
  })
})
