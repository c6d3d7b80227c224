import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { RelayDiscovery } from './no-discovery.ts'

it('takes the place of the search for relays, with all that the library calls of it', () => {
  const folder = dirname(createRequire(import.meta.url).resolve('@libp2p/circuit-relay-v2'))
  const source = readFileSync(join(folder, 'transport/index.js'), 'utf8')
  expect(source).toContain('import { RelayDiscovery } from "./discovery.js"')
  const called = [...source.matchAll(/this\.discovery\??\.(\w+)\(/g)].map(([, name]) => name as string)
  const lifecycle = ['start', 'stop'].filter((name) => source.includes(`${name}(this.discovery`))
  const ours = Object.getOwnPropertyNames(RelayDiscovery.prototype).filter((name) => name !== 'constructor')
  expect(ours.sort()).toEqual([...new Set([...called, ...lifecycle])].sort())
})
