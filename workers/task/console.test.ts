// What programs log, beside what node shows for the same values: the same words, whose lines may break elsewhere. Left out is what
// differs between versions of node.
import { Console } from 'node:console'
import { Writable } from 'node:stream'
import { expect, it } from 'vitest'
import { taskConsole } from './console.ts'

class Point {
  x = 1
  #hidden = 2
  get hidden() {
    return this.#hidden
  }
}
class List extends Array {}
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i * i)
const looped: Record<string, unknown> = { a: 1 }
looped['self'] = looped
looped['kids'] = [{ up: looped }]
// biome-ignore lint/suspicious/noSparseArray: programs may make some
const sparse = [1, , , 3]
const bare = Object.assign(Object.create(null), { a: 1 })

const VALUES: Record<string, unknown[]> = {
  nothing: [],
  texts: ['a', '', 'b'],
  'texts within': [["it's", 'say "x"', 'new\nline\ttab\\']],
  primitives: [1, -0, 10n, true, null, undefined, Symbol('s'), Number.NaN],
  maps: [new Map<unknown, unknown>([['a', 1], [{ k: 1 }, new Set([1])]]), new Map(), new WeakMap()], // biome-ignore format: one line
  sets: [new Set([1, 'x', { a: 1 }]), new Set(numbers(120))],
  cycles: [looped],
  'two cycles': [{ one: looped, two: [looped] }],
  classes: [new Point(), Point, class Deep extends Point {}, List.from([1, 2, 3])],
  functions: [() => 1, { f() {}, g: () => 1 }, async () => 1, function* gen() {}],
  arrays: [[], sparse, [undefined, null], [[[[1]]]], Object.assign([1, 2], { x: 3 })],
  'many numbers': [numbers(7), numbers(30), numbers(150)],
  'many texts': [Array.from({ length: 27 }, (_, i) => `word${i}`)],
  rows: [Array.from({ length: 10 }, (_, i) => ({ id: i, name: `n${i}` }))],
  bytes: [new Uint8Array(5), new Float64Array([1.5, -2])],
  'dates and patterns': [new Date(0), [new Date(0)], /x/g, new Date(Number.NaN)],
  depth: [{ a: { b: { c: { d: 1 } } } }, { a: [{ b: [{ c: [1] }] }] }],
  'long lines': [{ long: 'x'.repeat(100), b: 1 }, ['x'.repeat(50), 'y'.repeat(50)]],
  keys: [{ 'a-b': 1, 2: 3, ok_1: 2 }, bare],
  accessors: [{ get a() { return 1 }, get b() { return 1 }, set b(_) {}, set c(_: number) {} }], // biome-ignore format: one line
  boxes: [new Number(3), new String('x'), new Boolean(false)],
  'a format': ['%s is %d and %i, %f, %j %o %O %% %x', 'Bob', 42, 42.9, 1.5, { a: 1 }, 1, { b: 2 }, 'more'],
  'formats that lack values': ['%s %s', 'a'],
  'no format': ['100%', 5],
  'formats of the wrong kind': ['%d %i %f %s %s %j', '12x', 'abc', '1.5abc', { a: { b: 1 } }, null, looped],
}

/** What both consoles write for the same calls. */
function both(calls: (to: Console) => void) {
  let wanted = ''
  const stream = new Writable({
    write(chunk, _encoding, done) {
      wanted += chunk
      done()
    },
  })
  calls(new Console({ stdout: stream, stderr: stream }))
  let got = ''
  calls(taskConsole((line) => { got += `${line}\n` }) as never) // biome-ignore format: one line
  return { got, wanted }
}

it.each(Object.entries(VALUES))('shows %s as node does', (_what, values) => {
  const { got, wanted } = both((to) => to.log(...values))
  expect(words(got)).toBe(words(wanted))
})

const words = (text: string) => text.replace(/\s+/g, ' ')

it('puts on a line what fits, and of a list what fits on each', () => {
  const { got } = both((to) => {
    to.log({ a: { b: [1, 2] } })
    to.log([numbers(26)], { rows: [{ text: 'x'.repeat(60) }, { id: 2 }] })
  })
  expect(got.split('\n')).toEqual([
    '{ a: { b: [ 1, 2 ] } }',
    '[',
    '  [',
    '    0, 1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121, 144, 169, 196, 225, 256,',
    '    289, 324, 361, 400, 441, 484, 529, 576, 625',
    '  ]',
    '] {',
    '  rows: [',
    `    { text: '${'x'.repeat(60)}' },`,
    '    { id: 2 }',
    '  ]',
    '}',
    '',
  ])
})

it('groups, counts, frames tables and asserts as node does', () => {
  const { got, wanted } = both((to) => {
    to.group('a group')
    to.log('two\nlines')
    to.group()
    to.count()
    to.groupEnd()
    to.count()
    to.groupEnd()
    to.count('other')
    to.dir({ a: { b: { c: {} } } }, { depth: 0 })
    to.assert(false, 'no %s', 'way')
    to.assert(false)
    to.assert(true, 'not told')
    to.table([
      { a: 1, b: 'two' },
      { a: 3, c: { d: 1 } },
    ])
    to.table([1, 'x'])
    to.table('no table')
  })
  expect(got).toBe(wanted)
})

it('shows errors by their message, with what they carry', () => {
  const { got } = both((to) => to.log(new TypeError('wrong', { cause: new Error('why') }), { error: new Error('in') }))
  expect(got).toBe('TypeError: wrong { [cause]: Error: why } { error: Error: in }\n')
})

it('survives values that throw whatever is asked of them, and says no more than a line of others', () => {
  const lines: string[] = []
  const { log } = taskConsole((line) => lines.push(line))
  const traps = new Proxy({}, { getPrototypeOf: () => { throw new Error('no') }, ownKeys: () => { throw new Error('no') } }) // biome-ignore format: one line
  log?.('it is', traps)
  const wide = (depth: number): unknown => (depth === 0 ? 1 : Array.from({ length: 100 }, () => wide(depth - 1)))
  log?.(wide(3))
  expect(lines[0]).toBe('it is [object]')
  expect(lines[1]?.length).toBeLessThanOrEqual(64 * 1024)
})
