import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as noDns from './no-dns.ts'

describe('the DNS client of libp2p', () => {
  it('is replaced by name, as the library imports it', () => {
    const folder = dirname(createRequire(import.meta.url).resolve('libp2p'))
    const source = readFileSync(join(folder, 'connection-manager/resolvers/dnsaddr.js'), 'utf8')
    const [, names = ''] = /import \{([^}]+)\} from '@multiformats\/dns'/.exec(source) ?? []
    expect(names.split(',').map((name) => name.trim())).toEqual(Object.keys(noDns).sort((a, b) => (a < b ? 1 : -1)))
  })

  it('asks nobody', async () => {
    await expect(noDns.dns().query()).rejects.toThrow('/dnsaddr')
  })
})
