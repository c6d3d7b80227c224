import { describe, expect, it } from 'vitest'
import { storedHistory } from './history.ts'

function memory(first?: string) {
  let value: string | null = first ?? null
  return {
    getItem: () => value,
    setItem: (_: string, text: string) => {
      value = text
    },
    removeItem: () => {
      value = null
    },
  }
}

describe('storedHistory', () => {
  it('is there again after a reload, at most 1000 lines of it', () => {
    const storage = memory()
    const history = storedHistory(storage)
    for (let i = 0; i < 1100; i++) history.append(`echo ${i}`)
    const again = storedHistory(storage).lines()
    expect(again).toHaveLength(1000)
    expect(again.at(-1)).toBe('echo 1099')
  })

  it('keeps the lines of another tab', () => {
    const storage = memory()
    const one = storedHistory(storage)
    const two = storedHistory(storage)
    one.append('a')
    two.append('b')
    one.append('c')
    expect(storedHistory(storage).lines()).toEqual(['a', 'b', 'c'])
  })

  it('keeps no blank lines, no repetitions and no books', () => {
    const history = storedHistory(memory())
    for (const line of ['a', 'a', '  ', 'b', 'x'.repeat(20_000)]) history.append(line)
    expect(history.lines()).toEqual(['a', 'b'])
  })

  it('survives foreign and full storage', () => {
    expect(storedHistory(memory('{"not": "lines"}')).lines()).toEqual([])
    expect(storedHistory(memory('[1, 2]')).lines()).toEqual([])
    const full = {
      ...memory(),
      setItem: () => {
        throw new Error('QuotaExceededError')
      },
    }
    const history = storedHistory(full)
    history.append('a')
    expect(history.lines()).toEqual(['a'])
  })
})
