import { afterEach, describe, expect, it, vi } from 'vitest'
// @ts-expect-error plain JavaScript: it runs before anything is installed
import { flags } from './flags.mjs'

const about = { usage: 'npm run some', options: { seed: { type: 'string', default: '7' } } }

afterEach(() => {
  vi.restoreAllMocks()
})

describe('flags of a command', () => {
  it('are given with their defaults', () => {
    expect(flags(['--seed=3'], about)).toMatchObject({ seed: '3' })
    expect(flags([], about)).toMatchObject({ seed: '7' })
  })

  it('that do not exist are one line that names them and the help', () => {
    expect(() => flags(['--sed=3'], about)).toThrow(/^Unknown option '--sed'; --help tells what there is$/)
    expect(() => flags(['surplus'], about)).toThrow(/'surplus'/)
  })

  it('without their value are refused', () => {
    expect(() => flags(['--seed'], about)).toThrow(/--seed <value>' argument missing/)
  })

  it('are told on --help', () => {
    const log = vi.spyOn(console, 'log').mockImplementation(() => undefined)
    expect(flags(['--help'], about)).toBeUndefined()
    expect(log).toHaveBeenCalledWith('npm run some')
  })
})
