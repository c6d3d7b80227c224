import { expect, it } from 'vitest'
import { type Column, formatTable, printable } from './table.ts'

const columns: Column<[string, number, string]>[] = [
  { title: 'NODE', text: ([node]) => node },
  { title: 'RUNNING', right: true, text: ([, running]) => String(running) },
  { title: 'WHAT', text: ([, , what]) => what },
]
const rows: [string, number, string][] = [
  ['abcdefgh', 1, 'short'],
  ['b', 12, 'a text that is longer than what is left of the line'],
]

it('rows stand in columns, whatever their last cell needs', () => {
  const table = [
    'NODE      RUNNING  WHAT',
    'abcdefgh        1  short',
    'b              12  a text that is longer than what is left of the line',
    '',
  ].join('\n')
  expect(formatTable(rows, columns)).toBe(table)
  expect(formatTable(rows, columns, 35)).toBe(table)
  expect(formatTable([], columns, 5)).toBe('NODE  RUNNING  WHAT\n')
})

it('cells stand below each other where the columns have no room', () => {
  expect(formatTable(rows, columns, 34)).toBe(
    [
      'NODE     abcdefgh',
      'RUNNING  1',
      'WHAT     short',
      '',
      'NODE     b',
      'RUNNING  12',
      'WHAT     a text that is longer than what is left of the line',
      '',
    ].join('\n'),
  )
})

it('a name from anybody neither moves a terminal nor turns the direction of what follows', () => {
  expect(printable('a\x1b[2J\nb')).toBe('a?[2J?b')
  expect(printable('photo\u202egpj.exe\u2066')).toBe('photo?gpj.exe?')
  expect(printable('é ש \u200d')).toBe('é ש \u200d')
})
