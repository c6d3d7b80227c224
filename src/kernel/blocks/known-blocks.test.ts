import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { checksum, KnownBlocks } from './known-blocks.ts'

describe('a checksum', () => {
  it('is that of the bytes, wherever they are in memory', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(7), (bytes, offset) => {
        const elsewhere = new Uint8Array(new ArrayBuffer(bytes.byteLength + 8), offset, bytes.byteLength)
        elsewhere.set(bytes)
        expect(checksum(elsewhere)).toBe(checksum(bytes))
        expect(Number.isSafeInteger(checksum(bytes))).toBe(true)
      }),
    )
  })

  it('changes with any bit', () => {
    for (const length of [1, 3, 4, 15, 16, 17, 61]) {
      const bytes = Uint8Array.from({ length }, (_, i) => i * 37)
      const sums = new Set([checksum(bytes)])
      for (let bit = 0; bit < length * 8; bit++) {
        const flipped = bytes.slice()
        flipped[bit >> 3] = (flipped[bit >> 3] as number) ^ (1 << (bit & 7))
        sums.add(checksum(flipped))
      }
      expect(sums.size).toBe(length * 8 + 1)
    }
  })

  it('changes with several bits, with the order of words, and with the length of zeros', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 8, maxLength: 200 }),
        fc.array(fc.nat(), { minLength: 2 }),
        (bytes, bits) => {
          const changed = bytes.slice()
          for (const bit of bits) {
            const at = bit % (bytes.length * 8)
            changed[at >> 3] = (changed[at >> 3] as number) ^ (1 << (at & 7))
          }
          if (changed.every((byte, i) => byte === bytes[i])) return
          expect(checksum(changed)).not.toBe(checksum(bytes))
        },
      ),
      { numRuns: 1_000 },
    )
    const zeros = Array.from({ length: 200 }, (_, length) => checksum(new Uint8Array(length)))
    expect(new Set(zeros).size).toBe(200)
    const [first, second] = [Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0), Uint8Array.of(2, 0, 0, 0, 1, 0, 0, 0)]
    expect(checksum(first)).not.toBe(checksum(second))
  })
})

describe('blocks that are known', () => {
  const bytes = Uint8Array.of(1, 2, 3)

  it('are told from others with the sum of what was hashed, wherever that is', () => {
    const known = new KnownBlocks(10)
    known.hashed('a', bytes)
    expect(known.same('a', Uint8Array.of(1, 2, 3))).toBe(true)
    expect(known.same('a', Uint8Array.of(1, 2, 4))).toBe(false)
    expect(known.same('b', bytes)).toBe(false)
    expect(known.has('a')).toBe(false)
  })

  it('are here until they may be gone, which says nothing of what was hashed', () => {
    const known = new KnownBlocks(10)
    known.add('a')
    expect([known.has('a'), known.same('a', bytes)]).toEqual([true, false])
    known.hashed('a', bytes)
    known.delete('a')
    expect([known.has('a'), known.same('a', bytes)]).toEqual([false, true])
    known.add('a')
    known.clear()
    expect([known.has('a'), known.same('a', bytes)]).toEqual([false, true])
  })

  it('are so many at most', () => {
    const known = new KnownBlocks(2)
    for (const cid of ['a', 'b', 'c']) {
      known.add(cid)
      known.hashed(cid, bytes)
    }
    expect(['a', 'b', 'c'].map((cid) => known.has(cid))).toEqual([false, false, true])
    expect(['a', 'b', 'c'].map((cid) => known.same(cid, bytes))).toEqual([false, false, true])
  })
})
