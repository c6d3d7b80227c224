import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatHelp, parseOptions, UsageError } from './options.ts'

const table = {
  all: { short: 'a', help: 'all' },
  long: { short: 'l', help: 'long' },
  name: { short: 'n', value: 'NAME', help: 'name' },
  seconds: { value: 'SECONDS', number: true, help: 'time' },
  count: { value: 'N', number: 'whole', help: 'count' },
  size: { value: 'SIZE', number: 'size', help: 'size' },
} as const

describe('parseOptions', () => {
  it('takes long, short, joined and attached forms', () => {
    const parsed = parseOptions(table, ['-la', '--name=x', 'one', '-ny', '--seconds', '2.5', '-', 'two'])
    expect(parsed.options).toEqual({ all: true, long: true, name: 'y', seconds: 2.5 })
    expect(parsed.operands).toEqual(['one', '-', 'two'])
  })

  it('takes the other letter of an option, and keeps the order of all that are given', () => {
    const { options, given } = parseOptions({ deep: { short: 'r', also: 'R', help: 'deep' }, ...table }, [
      ...['-ny', '-Ra', '--name=x'],
    ])
    expect(options).toMatchObject({ deep: true, name: 'x' })
    expect(given).toEqual([
      ['name', 'y'],
      ['deep', true],
      ['all', true],
      ['name', 'x'],
    ])
    expect(
      formatHelp({ name: 'x', summary: 'X', usage: [] }, { deep: { short: 'r', also: 'R', help: 'deep' } }),
    ).toContain('-r, --deep  deep (also -R)')
  })

  it('takes sizes in bytes and in binary units', () => {
    const sizeOf = (text: string) => parseOptions(table, ['--size', text]).options.size
    expect(['1', '2K', '1.5M', '3G'].map(sizeOf)).toEqual([1, 2048, 1.5 * 2 ** 20, 3 * 2 ** 30])
  })

  it('ends options at -- and, where asked, at the first operand', () => {
    expect(parseOptions(table, ['-a', '--', '-l', '--help']).operands).toEqual(['-l', '--help'])
    const parsed = parseOptions(table, ['-a', 'prog', '-l', '--help'], { stopAtOperand: true })
    expect(parsed).toMatchObject({ operands: ['prog', '-l', '--help'], help: false, options: { long: false } })
  })

  it('says what is wrong', () => {
    const wrong: [string[], string][] = [
      [['--nope'], "unrecognized option '--nope'"],
      [['--constructor'], "unrecognized option '--constructor'"],
      [['-ax'], "invalid option -- 'x'"],
      [['--name'], "option '--name' requires an argument"],
      [['-n'], "option '-n' requires an argument"],
      [['--all=yes'], "option '--all' doesn't allow an argument"],
      [['--seconds=soon'], "option '--seconds' needs a number greater than 0, not 'soon'"],
      [['--count', '2.5'], "option '--count' needs a whole number greater than 0, not '2.5'"],
      [['--size', 'K'], "option '--size' needs a number of bytes greater than 0, such as 500K, 64M or 2G, not 'K'"],
      [['--size', '1T'], "option '--size' needs a number of bytes greater than 0, such as 500K, 64M or 2G, not '1T'"],
      [['--seconds', '-1'], "option '--seconds' needs a number greater than 0, not '-1'"],
    ]
    for (const [args, message] of wrong) expect(() => parseOptions(table, args)).toThrow(new UsageError(message))
  })

  it('gives every argument after -- back as an operand', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (args) => {
        expect(parseOptions(table, ['--', ...args]).operands).toEqual(args)
      }),
    )
  })

  it('either parses or throws a UsageError, whatever it is given', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), (args) => {
        try {
          parseOptions(table, args)
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError)
        }
      }),
    )
  })
})

describe('formatHelp', () => {
  it('comes from the same table', () => {
    const text = { name: 'x', summary: 'Do x', usage: ['[OPTION]... A', 'B'], examples: ['x 1'] }
    expect(formatHelp(text, table)).toBe(
      [
        'Usage: x [OPTION]... A',
        '   or: x B',
        'Do x.',
        '',
        '  -a, --all              all',
        '  -l, --long             long',
        '  -n, --name NAME        name',
        '      --seconds SECONDS  time',
        '      --count N          count',
        '      --size SIZE        size',
        '      --help             show this help and exit',
        '',
        'Examples:',
        '  x 1',
        '',
      ].join('\n'),
    )
  })
})
