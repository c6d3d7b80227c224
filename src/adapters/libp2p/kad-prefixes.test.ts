import { readFileSync } from 'node:fs'
import { sha256 } from '@noble/hashes/sha2.js'
import { describe, expect, it } from 'vitest'
import table, { keyOf, PREFIX_BITS } from './kad-prefixes.ts'

const FOLDER = new URL('../../../node_modules/@libp2p/kad-dht/dist/src/routing-table/', import.meta.url)

function prefixOf(n: number): number {
  const [high = 0, low = 0] = sha256(keyOf(n))
  return (high << 8) | low
}

describe('the computed prefix table', () => {
  it('gives keys of the wanted prefix, to its number of bits', () => {
    for (const prefix of [0, 1, 0x0fff, 0x8000, 0xabcd, 0xffff]) {
      expect(prefixOf(table[prefix] as number) >> (16 - PREFIX_BITS)).toBe(prefix >> (16 - PREFIX_BITS))
    }
  })

  // Its table for browsers goes to 14 bits, but is indexed by 16: most look-ups miss. Ours take all 16.
  it('means what the library’s own table means', () => {
    const source = readFileSync(new URL('generated-prefix-list-browser.js', FOLDER), 'utf8')
    const numbers = source.slice(source.indexOf('[') + 1).split(',')
    for (const prefix of [0, 5, 1000, 4000]) expect(prefixOf(Number(numbers[prefix])) >> 2).toBe(prefix)
  })

  it('stands in for a module that the library still has and uses in this way', () => {
    const source = readFileSync(new URL('refresh.js', FOLDER), 'utf8')
    expect(source).toContain("import GENERATED_PREFIXES from './generated-prefix-list.js'".replaceAll("'", '"'))
    expect(source).toContain('GENERATED_PREFIXES[targetPrefix]')
  })
})
