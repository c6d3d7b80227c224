import { describe, expect, it } from 'vitest'
import { assertData } from './data.ts'

function errorOf(value: unknown): Error {
  try {
    assertData(value, 'data')
  } catch (error) {
    return error as Error
  }
  throw new Error('nothing was wrong')
}

/** `value` inside so many objects. */
function inside(levels: number, value: unknown): unknown {
  return levels === 0 ? value : { a: inside(levels - 1, value) }
}

describe('assertData', () => {
  it('takes plain data, the same part twice and 64 levels included', () => {
    const part = { x: [1, 'two', null, true, new Uint8Array(2)] }
    expect(() => assertData({ one: part, two: [part, Object.create(null)] }, 'data')).not.toThrow()
    expect(() => assertData(inside(64, {}), 'data')).not.toThrow()
  })

  it('names the part that is not', () => {
    expect(errorOf({ list: [0, { when: new Date() }] }).message).toMatch(/^data\.list\[1\]\.when is a Date; use null, /)
    expect(errorOf(undefined).message).toMatch(/^data is undefined; /)
    expect(errorOf([() => 1]).message).toMatch(/^data\[0\] is a function; /)
  })

  it('says that data is circular, or nested too deep, with a path that stays short', () => {
    const circular: Record<string, unknown> = {}
    circular['a'] = circular
    expect(errorOf(circular).message).toBe('data.a is circular: it is inside itself')
    const list: unknown[] = []
    list.push({ list })
    expect(errorOf(list).message).toBe('data[0].list is circular: it is inside itself')
    const { message } = errorOf(inside(1_000, 1))
    expect(message).toMatch(/^data(\.a)+…(\.a)+ is nested more than 64 levels deep$/)
    expect(message.length).toBeLessThan(130)
  })

  it('throws where a stack of ten frames still has the caller', () => {
    expect(errorOf(inside(60, new Date())).stack?.split('\n').slice(0, 4).join()).toContain('errorOf')
  })
})
