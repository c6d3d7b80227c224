import { expect, it } from 'vitest'
import { describeFailure } from './task-error.ts'

const messageOf = (error: unknown) => describeFailure(error, { name: 'p.js', url: undefined }).message

it('says of an import that leads nowhere that programs have none', () => {
  for (const text of [
    'Failed to resolve module specifier "lodash". Relative references must start with either "/", "./", or "../".',
    'Error resolving module specifier “./y.js”.',
    "Module name, './y.js' does not resolve to a valid URL.",
  ]) {
    expect(messageOf(new TypeError(text))).toBe(
      `TypeError: ${text} (a program is a single module: it cannot import others)`,
    )
  }
  expect(messageOf(new TypeError('x is not a function'))).toBe('TypeError: x is not a function')
})
