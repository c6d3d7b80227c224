import { X509Certificate } from 'node:crypto'
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { createLog } from './log.ts'
import { Cleanup } from './testing.ts'
import { namesIn, publicName, selfSignedTls, tlsFromFiles } from './tls.ts'

const cleanup = new Cleanup()
afterEach(() => cleanup.run())
const log = createLog('error', () => {})
const DAY_MS = 86_400_000

test('a certificate is kept, and is for this machine’s names and addresses', async () => {
  const folder = cleanup.folder()
  const names = () => ['localhost', 'laptop', '127.0.0.1', '::1', '192.168.1.5', 'fd00::2']
  const made = await selfSignedTls({ folder, log, names })
  expect(namesIn(made.current.cert)).toEqual(names())
  expect(statSync(join(folder, 'tls.pem')).mode & 0o077).toBe(0)
  const certificate = new X509Certificate(made.current.cert)
  expect(certificate.verify(certificate.publicKey)).toBe(true)
  expect((await selfSignedTls({ folder, log, names })).current.cert).toBe(made.current.cert)
  expect(await made.refresh()).toBeUndefined()
})

test('a new address renews it and the old ones stay in; an address that goes away does not', async () => {
  let here = ['localhost', '192.168.1.5']
  const source = await selfSignedTls({ folder: cleanup.folder(), log, names: () => here })
  here = ['localhost', '10.0.0.7']
  expect(namesIn((await source.refresh())?.cert ?? '')).toEqual(['localhost', '10.0.0.7', '192.168.1.5'])
  here = ['localhost', '192.168.1.5']
  expect(await source.refresh()).toBeUndefined()
})

test('it is renewed before it ends, at a start and while running', async () => {
  const folder = cleanup.folder()
  let now = Date.now()
  const options = { folder, log, names: () => ['localhost'], now: () => now }
  const source = await selfSignedTls(options)
  const first = source.current.cert
  now += 360 * DAY_MS
  expect(await source.refresh()).toBeUndefined()
  now += 10 * DAY_MS
  expect((await selfSignedTls(options)).current.cert).not.toBe(first)
  expect((await source.refresh())?.cert).not.toBe(first)
})

test('a damaged certificate file is replaced, and the log says what was wrong', async () => {
  const folder = cleanup.folder()
  const pem = (label: string) => `-----BEGIN ${label}-----\nAAAA\n-----END ${label}-----\n`
  for (const [content, problem] of [
    ['garbage', 'the old one was not a key and a certificate in PEM'],
    [pem('PRIVATE KEY') + pem('CERTIFICATE'), 'the old one was damaged: '],
  ] as const) {
    writeFileSync(join(folder, 'tls.pem'), content)
    let told = ''
    const listening = createLog('info', (line) => {
      told += line
    })
    const { current } = await selfSignedTls({ folder, log: listening, names: () => ['localhost'] })
    expect(namesIn(current.cert)).toEqual(['localhost'])
    expect(told).toContain(`"why":"${problem}`)
    expect(told).toContain('"level":"warn"')
  }
})

async function files(names = ['stars.example.org']) {
  const folder = cleanup.folder()
  const { cert, key } = (await selfSignedTls({ folder, log, names: () => names })).current
  const paths = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  writeFileSync(paths.cert, cert)
  writeFileSync(paths.key, key)
  return { ...paths, text: { cert, key } }
}

test('the operator’s files are used, and used again when they change', async () => {
  const [first, second] = [await files(['*.example.org', 'stars.example.org']), await files()]
  const source = tlsFromFiles(first.cert, first.key, log)
  expect(publicName(source.current.cert)).toBe('stars.example.org')
  expect(await source.refresh()).toBeUndefined()
  writeFileSync(first.cert, 'half written')
  expect(await source.refresh()).toBeUndefined()
  expect(source.current.cert).toBe(first.text.cert)
  writeFileSync(first.key, second.text.key)
  writeFileSync(first.cert, second.text.cert)
  expect((await source.refresh())?.cert).toBe(second.text.cert)
})

test('files that are missing, malformed or do not belong together are refused by name', async () => {
  const [first, second] = [await files(), await files()]
  expect(() => tlsFromFiles('/nowhere.pem', first.key, log)).toThrow(
    'cannot read the TLS file /nowhere.pem: it does not exist',
  )
  expect(() => tlsFromFiles(first.key, first.key, log)).toThrow(/not a valid PEM certificate/)
  expect(() => tlsFromFiles(first.cert, first.cert, log)).toThrow(/not a valid PEM key/)
  expect(() => tlsFromFiles(first.cert, second.key, log)).toThrow(/does not belong to the certificate/)
})
