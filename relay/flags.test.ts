import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { flags, flagsTable, helpText, parseFlags, type RelayOptions } from './flags.ts'
import { limits } from './limits.ts'

const parse = (argv: string[], env: NodeJS.ProcessEnv = {}) => parseFlags(argv, env) as RelayOptions
const guide = readFileSync(join(import.meta.dirname, '../docs/relay.md'), 'utf8')

test('without flags the defaults hold', () => {
  const { data, ...rest } = parse([])
  expect(data).toMatch(/brittlestar$/)
  expect(rest).toEqual({
    port: 4004,
    host: '::',
    announce: [],
    iceServers: [],
    maxPeers: limits.maxPeers,
    cluster: 'brittlestar',
    tlsCert: undefined,
    tlsKey: undefined,
    logLevel: 'info',
  })
})

test('a flag wins over its environment variable, which wins over the default', () => {
  const env = { BRITTLESTAR_PORT: '5000', BRITTLESTAR_CLUSTER: 'class', BRITTLESTAR_ICE_SERVER: 'stun:a stun:b' }
  expect(parse([], env)).toMatchObject({
    port: 5000,
    cluster: 'class',
    iceServers: [{ urls: 'stun:a' }, { urls: 'stun:b' }],
  })
  expect(parse(['--port', '6000', '--ice-server=stun:c'], env)).toMatchObject({
    port: 6000,
    iceServers: [{ urls: 'stun:c' }],
  })
  expect(parse([], { BRITTLESTAR_PORT: '' }).port).toBe(4004)
})

test('every flag but --help has an environment variable of its name', () => {
  for (const { name, env } of flags) {
    expect(env).toBe(name === '--help' ? '' : `BRITTLESTAR_${name.slice(2).toUpperCase().replaceAll('-', '_')}`)
  }
})

test('--ice-server takes URLs and JSON, repeated', () => {
  const turn = { urls: ['turn:t.example.org:3478', 'turns:t.example.org'], username: 'u', credential: 'c' }
  expect(parse(['--ice-server', 'stun:s.example.org', '--ice-server', JSON.stringify(turn)]).iceServers).toEqual([
    { urls: 'stun:s.example.org' },
    turn,
  ])
  expect(
    parse([], { BRITTLESTAR_ICE_SERVER: JSON.stringify([turn, { urls: 'stun:x y'.slice(0, 6) }]) }).iceServers,
  ).toHaveLength(2)
})

test('--announce takes multiaddrs and URLs', () => {
  const argv = [
    '--announce',
    '/dns4/a.example.org/tcp/443/tls/ws',
    '--announce',
    'https://b.example.org',
    '--announce',
    'ws://10.0.0.1:80',
  ]
  expect(parse(argv).announce).toEqual([
    '/dns4/a.example.org/tcp/443/tls/ws',
    '/dns4/b.example.org/tcp/443/tls/ws',
    '/ip4/10.0.0.1/tcp/80/ws',
  ])
})

const mistakes: [string[], NodeJS.ProcessEnv, RegExp][] = [
  [['--prot', '1'], {}, /^unknown flag --prot$/],
  [['relay'], {}, /^unexpected argument "relay"$/],
  [['-p', '1'], {}, /^unexpected argument "-p"$/],
  [['--port'], {}, /^--port needs a value/],
  [['--port', '--host', 'x'], {}, /^--port needs a value/],
  [['--port='], {}, /^--port needs a value/],
  [['--help=yes'], {}, /^--help takes no value$/],
  [['--port', '1', '--port', '2'], {}, /^--port was given twice$/],
  [['--port', '70000'], {}, /^bad --port: "70000" is not a whole number from 0 to 65535$/],
  [['--port', '4e3'], {}, /^bad --port/],
  [[], { BRITTLESTAR_PORT: 'x' }, /^bad BRITTLESTAR_PORT: "x"/],
  [['--max-peers', '0'], {}, /^bad --max-peers/],
  [['--log-level', 'loud'], {}, /^bad --log-level: "loud" is none of error, warn, info, debug$/],
  [['--cluster', 'x'.repeat(65)], {}, /^bad --cluster/],
  [['--cluster', 'a b'], {}, /^bad --cluster/],
  [['--announce', '/ip4/1.2.3.4/tcp/1'], {}, /^bad --announce: .* is not a WebSocket multiaddr/],
  [['--announce', '/ip4/1.2.3/tcp/1/ws'], {}, /^bad --announce: .* is not a multiaddr$/],
  [['--announce', 'example.org'], {}, /^bad --announce/],
  [['--announce', 'ftp://example.org'], {}, /^bad --announce/],
  [['--announce', 'https://example.org/stars'], {}, /^bad --announce: .* a relay has no path$/],
  [['--announce', 'https://example.org/?stars'], {}, /^bad --announce: .* a relay has no path$/],
  [['--ice-server', 'example.org'], {}, /^bad --ice-server/],
  [['--ice-server', '{"urls":'], {}, /^bad --ice-server: .* is not JSON$/],
  [['--ice-server', '{"urls":"stun:a","username":1}'], {}, /^bad --ice-server: credentials must be strings$/],
  [['--tls-cert', 'a.pem'], {}, /go together/],
]

test.each(mistakes)('%j %j is refused with one sentence', (argv, env, message) => {
  expect(() => parse(argv, env)).toThrow(
    expect.objectContaining({ code: 'EINVAL', message: expect.stringMatching(message) }),
  )
})

test('--help wins over everything else that is well-formed', () => {
  expect(parseFlags(['--port', '1', '--help'], {})).toBe('help')
})

test('the help and the guide’s table name the same flags, variables, defaults and meanings', () => {
  const help = helpText('0')
  for (const { name, value, env, default: byDefault, help: meaning } of flags) {
    expect(help).toContain(value === '' ? name : `${name} <${value}>`)
    for (const part of [env, byDefault, meaning]) expect(help).toContain(part)
  }
  expect(guide).toContain(flagsTable())
})

test('the guide states the limits as they are', () => {
  const stated: [string, number | bigint][] = [
    ['tabs at once', limits.maxPeers],
    ['connections per address', limits.connectionsPerAddress],
    ['connections at one go per address', limits.connectBurstPerAddress],
    ['connections per second per address', limits.connectPerSecondPerAddress],
    ['relay slots', limits.reservations],
    ['minutes that a slot lasts', limits.reservationTtlMs / 60_000],
    ['minutes per circuit', limits.circuitMs / 60_000],
    ['MiB per circuit', limits.circuitBytes / 1024n ** 2n],
    ['KiB per directory record', limits.recordBytes / 1024],
    ['MiB of directory records', limits.recordsTotalBytes / 1024 ** 2],
    ['members named to a newcomer', limits.rendezvousPeers],
    ['KiB waiting for a slow reader', limits.rendezvousBacklogBytes / 1024],
    ['seconds for a request to arrive', limits.requestMs / 1000],
  ]
  for (const [name, value] of stated) expect(guide).toContain(`| ${name} | ${value.toLocaleString('en')} |`)
})
