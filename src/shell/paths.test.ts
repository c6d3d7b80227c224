import { expect, it } from 'vitest'
import { isInside, namedPath, resolvePath } from './paths.ts'

it('a path keeps the slash that asks for a directory, where it is named', () => {
  const cases = {
    'a/': '/d/a/',
    'a//': '/d/a/',
    'a/.': '/d/a/',
    a: '/d/a',
    '.': '/d/',
    './': '/d/',
    '/': '/',
    '..': '/',
    'a/..': '/d',
  }
  for (const [text, named] of Object.entries(cases)) {
    expect([text, namedPath('/d', text)]).toEqual([text, named])
    expect(resolvePath('/d', text)).toBe(named.replace(/(?<=.)\/$/, ''))
  }
  expect(() => namedPath('/d', '')).toThrow('No such file')
})

it('what is in a directory, with or without a slash behind its name', () => {
  for (const directory of ['/a', '/a/']) {
    expect(isInside('/a/b', directory)).toBe(true)
    expect(isInside('/a', directory)).toBe(true)
    expect(isInside('/ab', directory)).toBe(false)
  }
  expect(isInside('/a', '/')).toBe(true)
})
