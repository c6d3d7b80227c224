import { decode, encode } from 'cborg'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../base/bytes.ts'
import { decodeWithTail, encodeWithTail } from './tail.ts'

const large = (length: number) => new Uint8Array(length).fill(7)
const values = [
  large(16 * 1024),
  [large(65_535)],
  [5, 1, large(65_536)],
  [5, 300_000, [0, 1_048_576, 2_000_000, large(261_120)]],
  [5, 2 ** 20, ['o', 1, large(20_000)]],
]

describe('a frame that ends in large bytes', () => {
  it('is the same CBOR as any encoder makes, with the bytes as they are', () => {
    for (const value of values) {
      const [start, tail] = encodeWithTail(value) ?? []
      expect(concat([start ?? new Uint8Array(0), tail ?? new Uint8Array(0)])).toEqual(encode(value))
      expect(tail).toBe([value].flat(3).at(-1))
    }
  })

  it('is read as any decoder reads it, with the bytes as a view', () => {
    for (const value of values) {
      const body = encode(value)
      const read = decodeWithTail(body)
      expect(read).toEqual(value)
      expect(([read].flat(3).at(-1) as Uint8Array).buffer).toBe(body.buffer)
    }
  })
})

describe('any other frame', () => {
  it('is left to the general code', () => {
    for (const value of [1, 'x', [], [1, large(100)], [large(20_000), 1], { a: large(20_000) }, [[{ a: 1 }]]]) {
      expect(encodeWithTail(value)).toBeUndefined()
      expect(decodeWithTail(encode(value))).toBeUndefined()
    }
    expect(decodeWithTail(encode([{ a: 1 }, large(20_000)]))).toBeUndefined()
    expect(decodeWithTail(encode([-1, large(20_000)]))).toBeUndefined()
  })

  it('never reads as something else than the general code reads, whatever its bytes', () => {
    const start = fc.uint8Array({ maxLength: 24 })
    fc.assert(
      fc.property(start, fc.constantFrom(16_384, 16_390, 65_540), (bytes, length) => {
        const body = concat([bytes, large(length)])
        let read: unknown
        try {
          read = decodeWithTail(body)
        } catch {
          expect(() => decode(body)).toThrow()
          return
        }
        if (read !== undefined) expect(read).toEqual(decode(body))
      }),
      { numRuns: 3_000 },
    )
    // Heads that really lead to a tail are too rare among random bytes.
    const uint = fc.nat({ max: 2 ** 32 - 1 })
    fc.assert(
      fc.property(fc.array(fc.oneof(uint, fc.string()), { maxLength: 5 }), uint, (before, cut) => {
        const whole = encode([before.length, [...before, large(16_384)]])
        const body = whole.slice()
        body[cut % 40] = (body[cut % 40] ?? 0) ^ (1 << (cut % 8))
        let read: unknown
        try {
          read = decodeWithTail(body)
        } catch {
          expect(() => decode(body)).toThrow()
          return
        }
        if (read !== undefined) expect(read).toEqual(decode(body))
      }),
      { numRuns: 3_000 },
    )
  })
})
