import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import * as leftOut from './left-out.ts'

const ours: Record<string, new () => object> = { ...leftOut }
const folderOf = (name: string) => dirname(createRequire(import.meta.url).resolve(name))

const exported = (name: string) => name.split(' as ')[0] as string

/** Who imports what from where, and under which property or name. */
const parts = [
  ['@libp2p/circuit-relay-v2', 'transport/index.js', 'RelayDiscovery', './discovery.js', 'discovery'],
  ['libp2p', 'connection-manager/index.js', 'ReconnectQueue', './reconnect-queue.js', 'reconnectQueue'],
  ['@libp2p/kad-dht', 'routing-table/index.js', 'ClosestPeers', './closest-peers.js', 'closestPeerTagger'],
  ['@libp2p/kad-dht', 'kad-dht.js', 'Reprovider', './reprovider.js', 'reprovider'],
  ['@libp2p/kad-dht', 'kad-dht.js', 'RoutingTableRefresh', './routing-table/refresh.js', 'routingTableRefresh'],
  [
    '@libp2p/kad-dht',
    'kad-dht.js',
    'ContentRouting as KADDHTContentRouting',
    './content-routing/index.js',
    'contentRouting',
  ],
  ['@libp2p/kad-dht', 'kad-dht.js', 'Providers', './providers.js', 'providers'],
  ['@libp2p/kad-dht', 'rpc/index.js', 'AddProviderHandler', './handlers/add-provider.js', 'handler'],
  ['@libp2p/kad-dht', 'rpc/index.js', 'GetProvidersHandler', './handlers/get-providers.js', 'handler'],
  ['libp2p', 'libp2p.js', 'ConnectionMonitor', './connection-monitor.js', 'connectionMonitor'],
  ['libp2p', 'libp2p.js', 'RandomWalk', './random-walk.js', 'randomWalk'],
  ['libp2p', 'address-manager/index.js', 'DNSMappings', './dns-mappings.js', 'dnsMappings'],
  ['libp2p', 'address-manager/index.js', 'IPMappings', './ip-mappings.js', 'ipMappings'],
] as const

describe('what is left out of libp2p', () => {
  it.each(parts)('of %s %s: %s, with all that the library calls of it', (library, file, name, from, property) => {
    const source = readFileSync(join(folderOf(library), file), 'utf8')
    expect(source).toContain(`import { ${name} } from "${from}"`)
    const called = [...source.matchAll(new RegExp(`(?<![\\w.])(?:this\\.)?${property}\\??\\.(\\w+)\\(`, 'g'))].map(
      ([, call]) => call,
    )
    const started = new RegExp(`await start\\([^)]*this\\.${property}\\b|configureComponent\\('${property}'`)
    const lifecycle = started.test(source) ? ['start', 'stop'] : []
    const part = new (ours[exported(name)] as new () => object)() as Record<string, unknown>
    expect([...called, ...lifecycle].length).toBeGreaterThan(0)
    for (const call of [...called, ...lifecycle])
      expect([call, typeof part[call as string]]).toEqual([call, 'function'])
  })

  it('is all that stands in for it', () => {
    expect(Object.keys(ours).sort()).toEqual(parts.map(([, , name]) => exported(name)).sort())
  })
})
