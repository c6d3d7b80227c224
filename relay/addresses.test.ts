import type { IncomingMessage } from 'node:http'
import { expect, test } from 'vitest'
import {
  clientAddress,
  lanAddresses,
  multiaddrOf,
  originOf,
  parseHostHeader,
  plainAddress,
  urlOf,
} from './addresses.ts'

test.each([
  ['localhost:4004', { host: 'localhost', port: 4004 }],
  ['192.168.1.5', { host: '192.168.1.5', port: undefined }],
  ['[FD00::2]:80', { host: 'fd00::2', port: 80 }],
  ['Relay.Example.ORG:443', { host: 'relay.example.org', port: 443 }],
])('the Host header %s is understood', (header, expected) => {
  expect(parseHostHeader(header)).toEqual(expected)
})

test.each([
  '',
  'a b',
  'a/b',
  'fd00::2',
  '[1.2.3.4]',
  '[::1',
  'x:99999',
  'x:0',
  'x:',
  '-x',
  'a/p2p/evil:1',
  'x'.repeat(300),
])('the Host header %j is not', (header) => {
  expect(parseHostHeader(header)).toBeUndefined()
})

const request = (remoteAddress: string, headers: Record<string, string>) =>
  ({
    headers,
    socket: { remoteAddress, localAddress: '::ffff:10.0.0.1', localPort: 4004 },
  }) as unknown as IncomingMessage

test('an origin is what the sender used, or the socket’s own address when that is unusable', () => {
  expect(originOf(request('10.0.0.9', { host: '10.0.0.1:4004' }), true)).toEqual({
    host: '10.0.0.1',
    port: 4004,
    secure: true,
  })
  expect(originOf(request('10.0.0.9', { host: 'x.org' }), false)).toEqual({ host: 'x.org', port: 80, secure: false })
  expect(originOf(request('10.0.0.9', { host: 'b/d' }), false)).toEqual({ host: '10.0.0.1', port: 4004, secure: false })
})

test('forwarded headers are believed from this machine only', () => {
  const headers = {
    host: '127.0.0.1:4004',
    'x-forwarded-host': 'stars.example.org',
    'x-forwarded-proto': 'https',
    'x-forwarded-for': 'spoofed, 203.0.113.7',
  }
  expect(originOf(request('::ffff:127.0.0.1', headers), false)).toEqual({
    host: 'stars.example.org',
    port: 443,
    secure: true,
  })
  expect(clientAddress(request('::1', headers))).toBe('203.0.113.7')
  expect(originOf(request('10.0.0.9', headers), false)).toEqual({ host: '127.0.0.1', port: 4004, secure: false })
  expect(clientAddress(request('::ffff:10.0.0.9', headers))).toBe('10.0.0.9')
})

test('multiaddrs and URLs keep the host exactly', () => {
  const secure = { host: 'fd00::2', port: 443, secure: true }
  expect([multiaddrOf(secure), urlOf(secure)]).toEqual(['/ip6/fd00::2/tcp/443/tls/ws', 'https://[fd00::2]/'])
  const plain = { host: 'relay.local', port: 4004, secure: false }
  expect([multiaddrOf(plain), urlOf(plain)]).toEqual(['/dns4/relay.local/tcp/4004/ws', 'http://relay.local:4004/'])
})

test('the likeliest address of the LAN comes first; loopback, link-local and virtual ones do not', () => {
  const entry = (address: string, family: 'IPv4' | 'IPv6', internal = false) =>
    ({ address, family, internal, netmask: '', mac: '', cidr: null, scopeid: 0 }) as never
  expect(
    lanAddresses({
      lo: [entry('127.0.0.1', 'IPv4', true)],
      docker0: [entry('172.17.0.1', 'IPv4')],
      eth0: [entry('10.1.2.3', 'IPv4'), entry('fe80::1', 'IPv6'), entry('fd00::2', 'IPv6')],
      wlan0: [entry('169.254.1.1', 'IPv4'), entry('192.168.1.5', 'IPv4')],
    }),
  ).toEqual(['192.168.1.5', '10.1.2.3', '172.17.0.1', 'fd00::2'])
})

test('addresses lose their IPv4 mapping and their zone', () => {
  expect([plainAddress('::ffff:10.0.0.1'), plainAddress('fe80::1%eth0')]).toEqual(['10.0.0.1', 'fe80::1'])
})
