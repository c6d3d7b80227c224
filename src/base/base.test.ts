import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { AssertionError, assert, unreachable } from './assert.ts'
import { concat, equalBytes, formatBytes, fromHex, fromUtf8, owned, toHex, utf8 } from './bytes.ts'
import { Emitter } from './emitter.ts'
import { errorCodes, errorLine, isOsError, OsError, toOsError } from './errors.ts'
import { isKid, isKidPrefix, kidFromHex, shortKid, shortNode } from './ids.ts'
import { Latest } from './latest.ts'

describe('bytes', () => {
  const bytes = fc.uint8Array({ maxLength: 50 })

  it('survive hex and UTF-8', () => {
    fc.assert(
      fc.property(bytes, fc.string({ unit: 'grapheme' }), (some, text) => {
        expect(fromHex(toHex(some))).toEqual(new Uint8Array(some))
        expect(fromUtf8(utf8(text))).toBe(text)
      }),
    )
    expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa') // a byte order mark is data
    expect(fromUtf8(Uint8Array.of(0xff))).toBe('\ufffd')
  })

  it('are no hex when they are not', () => {
    for (const text of ['0', 'xy', 'AB', '0g', ' 00']) expect(fromHex(text)).toBeUndefined()
  })

  it('are put together and compared', () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 5 }), (parts) => {
        expect([...concat(parts)]).toEqual(parts.flatMap((part) => [...part]))
      }),
    )
    expect(equalBytes(utf8('ab'), utf8('ab'))).toBe(true)
    expect(equalBytes(utf8('ab'), utf8('ac'))).toBe(false)
    expect(equalBytes(utf8('ab'), utf8('abc'))).toBe(false)
  })

  it('own a buffer of their size when they must', () => {
    const view = new Uint8Array(10).fill(7).subarray(2, 4)
    expect(owned(view)).toEqual(Uint8Array.of(7, 7))
    expect(owned(view).buffer.byteLength).toBe(2)
    const whole = new Uint8Array(3)
    expect(owned(whole)).toBe(whole)
  })

  it('are counted for people', () => {
    expect([0, 1023, 1024, 1536, 10 * 1024, 5 * 1024 ** 3, 2 ** 60].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '10 KiB',
      '5.0 GiB',
      '1048576 TiB',
    ])
  })
})

describe('an error', () => {
  it('keeps its code, its message and its cause', () => {
    const cause = new Error('inner')
    const error = new OsError('EIO', 'outer', { cause })
    expect([error.name, error.code, error.message, error.cause]).toEqual(['OsError', 'EIO', 'outer', cause])
    expect(isOsError(error)).toBe(true)
    expect(isOsError(error, 'EIO')).toBe(true)
    expect(isOsError(error, 'ENOENT')).toBe(false)
    expect(isOsError(cause)).toBe(false)
  })

  it('of another kind gets a code that fits', () => {
    const error = new OsError('EPIPE', 'x')
    expect(toOsError(error)).toBe(error)
    const abort = Object.assign(new Error('a'), { name: 'AbortError' })
    const quota = Object.assign(new Error('q'), { name: 'QuotaExceededError' })
    expect([toOsError(abort).code, toOsError(quota).code]).toEqual(['ECANCELED', 'ENOSPC'])
    expect(toOsError(new TypeError('t'), 'EINVAL')).toMatchObject({ code: 'EINVAL', message: 't' })
    for (const thrown of [undefined, null, 5, 'text', {}]) expect(toOsError(thrown).code).toBe('EIO')
  })

  it('is one line for a log', () => {
    expect(errorLine(new OsError('EIO', 'x'))).toBe('EIO: x')
    expect(errorLine(new TypeError('x'))).toBe('TypeError: x')
    expect(errorLine('x')).toBe('x')
  })

  it('has codes that are each there once', () => {
    expect(new Set(errorCodes).size).toBe(errorCodes.length)
  })
})

describe('an emitter', () => {
  it('calls its listeners in order, and one that throws does not stop the others', () => {
    const problems: unknown[] = []
    const emitter = new Emitter<number>((error) => problems.push(error))
    const got: string[] = []
    emitter.on((value) => got.push(`a${value}`))
    emitter.on(() => {
      throw new Error('mine')
    })
    const off = emitter.on((value) => got.push(`b${value}`))
    emitter.emit(1)
    off()
    off()
    emitter.emit(2)
    expect(got).toEqual(['a1', 'b1', 'a2'])
    expect(problems).toHaveLength(2)
    expect(emitter.size).toBe(2)
    emitter.clear()
    expect(emitter.size).toBe(0)
  })

  it('allows listeners to come and go while it calls them', () => {
    const emitter = new Emitter<void>(() => undefined)
    let calls = 0
    const off = emitter.on(() => {
      off()
      emitter.on(() => calls++)
    })
    emitter.emit()
    expect(calls).toBe(0)
    emitter.emit()
    expect(calls).toBe(1)
  })
})

describe('identifiers', () => {
  const kid = `K-${'0a'.repeat(32)}`
  it('are told from what is none', () => {
    expect(isKid(kid)).toBe(true)
    for (const text of ['', 'K-', kid.slice(0, -1), `${kid}0`, kid.toUpperCase(), ` ${kid}`, `${kid}\n`])
      expect(isKid(text)).toBe(false)
    expect([isKidPrefix('K-0a0a'), isKidPrefix(kid)]).toEqual([true, true])
    for (const text of ['K-0a0', 'k-0a0a', 'K-0A0A', `${kid}0`, 'K-0a0a\n']) expect(isKidPrefix(text)).toBe(false)
  })

  it('are shortened to what people can read', () => {
    expect(kidFromHex('ab'.repeat(32))).toBe(`K-${'ab'.repeat(32)}`)
    expect(shortKid(kid)).toBe('K-0a0a0a0a')
    expect(shortNode('12D3KooWabcdefgh')).toBe('abcdefgh')
  })
})

describe('an assertion', () => {
  it('stops a programmer’s error', () => {
    expect(() => assert(0, 'no')).toThrow(AssertionError)
    expect(() => assert(1, 'no')).not.toThrow()
    expect(() => unreachable('x' as never)).toThrow('unreachable: "x"')
  })
})

describe('what came last', () => {
  it('is kept as far as it may, the oldest goes first, and what is set again is new', () => {
    const last = new Latest<string>(5, (value, key) => key.length + value.length - 1)
    last.set('a', 'xx')
    last.set('b', 'yy')
    last.set('a', 'z')
    expect([...last.values()]).toEqual(['yy', 'z'])
    last.set('c', 'www')
    expect([...last.values()]).toEqual(['z', 'www'])
    expect(last.take('a')).toBe('z')
    expect([last.take('a'), last.has('b'), last.get('c'), last.size]).toEqual([undefined, false, 'www', 1])
    last.set('d', 'too long')
    expect([last.size, last.delete('d')]).toEqual([0, false])
  })

  it('counts entries where nothing else is said, also of no value', () => {
    const last = new Latest<undefined>(2)
    for (const key of ['a', 'b', 'c']) last.set(key, undefined)
    expect([last.has('a'), last.has('b'), last.delete('b'), last.size]).toEqual([false, true, true, 1])
  })

  it('holds what a list would, whatever is done to it', () => {
    const op = fc.record({
      what: fc.constantFrom('set', 'set', 'set', 'delete', 'take', 'clear' as const),
      key: fc.constantFrom(...'abcdefgh'),
      cost: fc.integer({ min: 0, max: 6 }),
    })
    fc.assert(
      fc.property(fc.array(op, { maxLength: 60 }), (ops) => {
        const last = new Latest<number>(10, (cost) => cost)
        let list: [string, number][] = []
        for (const { what, key, cost } of ops) {
          list = what === 'clear' ? [] : list.filter(([other]) => other !== key)
          if (what === 'set') {
            list.push([key, cost])
            while (list.reduce((sum, [, each]) => sum + each, 0) > 10) list.shift()
            last.set(key, cost)
          } else if (what === 'clear') last.clear()
          else last[what](key)
          expect([...last.entries()]).toEqual(list)
        }
      }),
    )
  })

  it('finds the oldest without walking past all that have gone', () => {
    const last = new Latest<number>(10)
    const walks = vi.spyOn(Map.prototype, 'keys')
    for (let i = 0; i < 1_000; i++) last.set(`${i}`, i)
    expect(walks.mock.calls.length).toBeLessThan(10)
    walks.mockRestore()
    expect([...last.values()]).toEqual(Array.from({ length: 10 }, (_, i) => 990 + i))
  })
})
