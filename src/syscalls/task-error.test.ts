import { expect, it } from 'vitest'
import { describeFailure } from './task-error.ts'

const messageOf = (error: unknown) => describeFailure(error, { name: 'p.js', url: undefined }).message

it('says of an import that leads nowhere that programs have none', () => {
  for (const text of [
    'Failed to resolve module specifier "lodash". Relative references must start with either "/", "./", or "../".',
    'Error resolving module specifier “./y.js”.',
    "Module name, './y.js' does not resolve to a valid URL.",
    'Failed to fetch dynamically imported module: node:fs',
    'error loading dynamically imported module: https://example.org/x.js',
    'Importing a module script failed.',
  ]) {
    expect(messageOf(new TypeError(text))).toBe(
      `TypeError: ${text} (a program is a single module: it cannot import others)`,
    )
  }
  expect(messageOf(new TypeError('x is not a function'))).toBe('TypeError: x is not a function')
})

it('names the program where a browser names the address that it was fetched by', () => {
  const url = 'blob:null/d5fa7352-f6d9-4ba9-9492-3df9a0cf31ad'
  expect(messageOf(new TypeError(`Failed to fetch dynamically imported module: ${url}`))).toBe(
    'TypeError: Failed to fetch dynamically imported module: p.js (a program is a single module: it cannot import others)',
  )
  expect(messageOf(new Error('blob: and nothing else'))).toBe('Error: blob: and nothing else')
})

it('says of a script for node how programs export, and of TypeScript that it is none', () => {
  for (const text of ['module is not defined', 'exports is not defined', "Can't find variable: require"]) {
    expect(messageOf(new ReferenceError(text))).toBe(
      `ReferenceError: ${text} (a program is an ES module: it exports its tasks, as export function start(event, os) {})`,
    )
  }
  expect(messageOf(new ReferenceError('modules is not defined'))).toBe('ReferenceError: modules is not defined')
  const parse = (name: string) => describeFailure(new SyntaxError('x'), { name, url: undefined }).message
  expect(parse('/p.ts')).toContain('plain JavaScript')
  expect(parse('/p.js')).toBe('SyntaxError: x')
})

it('tells what an error was made of', () => {
  expect(messageOf(new Error('outer', { cause: new TypeError('inner') }))).toBe(
    'Error: outer (because of TypeError: inner)',
  )
  expect(messageOf(new AggregateError([new Error('a'), 5, new Error('b')], 'all'))).toBe(
    'AggregateError: all (Error: a; Error: b)',
  )
})
