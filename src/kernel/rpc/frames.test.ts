import { encode } from 'cborg'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat } from '../../base/bytes.ts'
import { errorCodes, isOsError, OsError } from '../../base/errors.ts'
import { helloOf } from '../harness.contract.ts'
import { MAX_FRAME_BYTES } from '../limits.ts'
import { decodeFrame, encodeFrame, FRAME, type Frame, FrameReader } from './frames.ts'

const isProto = (error: unknown) => isOsError(error, 'EPROTO')
const isOsOrNothing = (action: () => unknown) => {
  try {
    action()
  } catch (error) {
    if (!isProto(error)) throw error
  }
}

const id = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const small = fc.integer({ min: 0, max: 1e9 })
const name = fc.string({ maxLength: 32 })
const value = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  name,
  fc.uint8Array({ maxLength: 300 }),
  fc.array(fc.integer(), { maxLength: 5 }),
  fc.dictionary(name, fc.integer(), { maxKeys: 5, noNullPrototype: true }),
)
const frame: fc.Arbitrary<Frame> = fc.oneof(
  fc.constant<Frame>([FRAME.HELLO, helloOf()]),
  fc.tuple(fc.constant(FRAME.CALL), id, name, small, small, value),
  fc.tuple(fc.constant(FRAME.RESULT), id, value),
  fc.tuple(fc.constant(FRAME.ERROR), id, fc.constantFrom(...errorCodes), name),
  fc.tuple(fc.constant(FRAME.CANCEL), id),
  fc.tuple(fc.constant(FRAME.ITEM), id, value),
  fc.tuple(fc.constant(FRAME.CREDIT), id, small),
  fc.tuple(
    fc.constant(FRAME.PING),
    id,
    fc.constant({ state: 'hidden' as const, running: 3, storage: 2, watch: false }),
  ),
  fc.tuple(fc.constant(FRAME.PONG), id),
  fc.tuple(fc.constant(FRAME.BYE), name),
  fc.tuple(fc.constant(FRAME.NOTE), name, value),
) as fc.Arbitrary<Frame>

const body = (bytes: Uint8Array) => bytes.subarray(4)

describe('a frame', () => {
  it('comes out as it went in, whatever its kind', () => {
    fc.assert(
      fc.property(frame, (each) => {
        expect(decodeFrame(body(encodeFrame(each)))).toEqual(each)
      }),
    )
  })

  it('is refused with EPROTO, and nothing else, when its bytes are arbitrary', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => isOsOrNothing(() => decodeFrame(bytes))))
  })

  it('is refused with EPROTO, and nothing else, when one byte of it was changed', () => {
    fc.assert(
      fc.property(frame, fc.nat(), fc.integer({ min: 1, max: 255 }), (each, at, change) => {
        const bytes = body(encodeFrame(each)).slice()
        const index = at % bytes.byteLength
        bytes[index] = (bytes[index] ?? 0) ^ change
        isOsOrNothing(() => decodeFrame(bytes))
      }),
    )
  })

  it.each([
    ['no array', encode({ a: 1 })],
    ['an empty array', encode([])],
    ['an unknown kind', encode([99, 1])],
    ['a kind that is a fraction', encode([1.5, 1])],
    ['a kind that is a string', encode(['0', 1])],
    ['too few elements', encode([FRAME.CALL, 1])],
    ['too many elements', encode([FRAME.CANCEL, 1, 2])],
    ['a negative id', encode([FRAME.CANCEL, -1])],
    ['an id beyond 2^53', encode([FRAME.CANCEL, 2n ** 60n])],
    ['a method name without bound', encode([FRAME.CALL, 1, 'x'.repeat(65), 0, 0, null])],
    ['an unknown error code', encode([FRAME.ERROR, 1, 'EWHATEVER', ''])],
    ['an infinite credit', encode([FRAME.CREDIT, 1, Number.POSITIVE_INFINITY])],
    ['bytes behind its end', concat([encode([FRAME.CANCEL, 1]), Uint8Array.of(0)])],
    ['one map key twice', Uint8Array.of(0x82, 0, 0xa2, 0x61, 0x76, 1, 0x61, 0x76, 2)],
    ['an array of 2^32 elements that are not there', Uint8Array.of(0x9a, 0xff, 0xff, 0xff, 0xff)],
    ['a string of 2^32 bytes that are not there', Uint8Array.of(0x82, 10, 0x7a, 0xff, 0xff, 0xff, 0xff)],
    ['a million nested arrays', new Uint8Array(1_000_000).fill(0x81)],
    ['a tag', Uint8Array.of(0xc1, 0x82, 4, 1)],
  ])('is refused when it holds %s', (_what, bytes) => {
    expect(() => decodeFrame(bytes)).toThrow(OsError)
    expect(() => decodeFrame(bytes)).toSatisfy((run: () => unknown) => {
      try {
        run()
        return false
      } catch (error) {
        return isProto(error)
      }
    })
  })

  it('keeps a key named __proto__ as data', () => {
    const hostile = JSON.parse('{"__proto__": {"polluted": true}}')
    const [, , got] = decodeFrame(body(encodeFrame([FRAME.RESULT, 1, hostile]))) as [number, number, object]
    expect(Object.getPrototypeOf(got)).toBe(Object.prototype)
    expect('polluted' in {}).toBe(false)
  })

  it('cannot be made larger than the limit', () => {
    const fits = new Uint8Array(MAX_FRAME_BYTES - 16)
    expect(encodeFrame([FRAME.RESULT, 1, fits]).byteLength).toBeLessThanOrEqual(MAX_FRAME_BYTES + 4)
    expect(() => encodeFrame([FRAME.RESULT, 1, new Uint8Array(MAX_FRAME_BYTES)])).toThrow(/over the limit/)
  })

  it('cannot carry what CBOR does not know', () => {
    expect(() => encodeFrame([FRAME.RESULT, 1, () => 1])).toSatisfy((run: () => unknown) => {
      try {
        run()
        return false
      } catch (error) {
        return isOsError(error, 'EINVAL')
      }
    })
  })
})

describe('the frame reader', () => {
  const frames: Frame[] = [
    [FRAME.CALL, 1, 'blocks.have', 0, 0, { cids: [] }],
    [FRAME.PONG, 7],
    [FRAME.ITEM, 1, new Uint8Array(90).fill(3)],
  ]
  const wire = concat(frames.map(encodeFrame))

  it('gives the same frames wherever the bytes are cut in two', () => {
    for (let cut = 0; cut <= wire.byteLength; cut++) {
      const reader = new FrameReader()
      const bodies = [...reader.push(wire.slice(0, cut)), ...reader.push(wire.slice(cut))]
      expect(bodies.map(decodeFrame)).toEqual(frames)
    }
  })

  it('gives the same frames however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { minLength: 1, maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 30 }),
        (sent, sizes) => {
          const bytes = concat(sent.map(encodeFrame))
          const reader = new FrameReader()
          const got: Frame[] = []
          for (let at = 0, i = 0; at < bytes.byteLength; i++) {
            const size = sizes[i % sizes.length] as number
            got.push(...reader.push(bytes.slice(at, at + size)).map(decodeFrame))
            at += size
          }
          expect(got).toEqual(sent)
        },
      ),
    )
  })

  it('refuses a length beyond the limit as soon as it is announced, before any of its bytes have come', () => {
    const reader = new FrameReader()
    const header = new Uint8Array(4)
    new DataView(header.buffer).setUint32(0, MAX_FRAME_BYTES + 1)
    expect(reader.push(header.slice(0, 3))).toEqual([])
    expect(() => reader.push(header.slice(3))).toThrow(/over the limit/)
  })

  it('gives an empty body for a length of zero, which is no frame', () => {
    const [empty] = new FrameReader().push(new Uint8Array(4))
    expect(empty?.byteLength).toBe(0)
    expect(() => decodeFrame(empty as Uint8Array)).toThrow(OsError)
  })

  it('holds no more than its bytes when they come one by one', () => {
    const reader = new FrameReader()
    const bytes = encodeFrame([FRAME.RESULT, 1, new Uint8Array(200_000)])
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < bytes.byteLength - 1; i++) reader.push(bytes.slice(i, i + 1))
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(16 * 1024 * 1024)
    expect(reader.push(bytes.slice(-1))).toHaveLength(1)
  })
})
