import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Netmask } from './ip-range.ts'

describe('ranges of IPv4 addresses', () => {
  it('are asked as the library asks', () => {
    const folder = dirname(createRequire(import.meta.url).resolve('@libp2p/utils'))
    const source = readFileSync(join(folder, 'private-ip.js'), 'utf8')
    expect(source).toContain("import { Netmask } from 'netmask'")
    const uses = source.match(/Netmask\([^)]*\)|\br\.\w+\([^)]*\)/g)
    expect(uses).toEqual(['Netmask(ipRange)', 'r.contains(ipAddr)'])
    for (const [, range = ''] of source.matchAll(/'(\d[\d.]+\/\d+)'/g)) {
      const first = range.split('/')[0] as string
      expect(new Netmask(range).contains(first)).toBe(true)
      expect(new Netmask(range).contains('8.8.8.8')).toBe(false)
    }
  })

  it('end where they end', () => {
    const cases: [string, string, boolean][] = [
      ['10.0.0.0/8', '10.255.255.255', true],
      ['10.0.0.0/8', '11.0.0.0', false],
      ['172.16.0.0/12', '172.31.255.255', true],
      ['172.16.0.0/12', '172.32.0.0', false],
      ['240.0.0.0/4', '255.255.255.255', true],
      ['192.0.0.8/32', '192.0.0.9', false],
      ['10.0.0.0/8', '10.0.0', false],
      ['10.0.0.0/8', '10.0.0.999', false],
      ['0.0.0.0/8', 'localhost', false],
    ]
    for (const [range, address, expected] of cases) expect(new Netmask(range).contains(address)).toBe(expected)
  })
})
