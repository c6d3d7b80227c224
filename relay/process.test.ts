import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { limits } from './limits.ts'
import { lockDataFolder } from './lock.ts'
import { Cleanup, get, pageFixture, rendezvous, spawnRelay, startTab, until } from './testing.ts'

const cleanup = new Cleanup()
afterEach(() => cleanup.run())

const page = () => ({ BRITTLESTAR_DIST: pageFixture(cleanup) })
const started = /localhost:(\d+)/

async function running(flags: string[] = [], env: NodeJS.ProcessEnv = {}) {
  const data = cleanup.folder()
  const relay = spawnRelay(cleanup, ['--port', '0', '--data', data, ...flags], { ...page(), ...env })
  await until(() => started.test(relay.stdout()), 'the relay prints its URL')
  const port = Number(started.exec(relay.stdout())?.[1])
  const info = async () => JSON.parse((await get(`http://127.0.0.1:${port}/relay.json`)).body.toString())
  return { ...relay, port, data, info }
}

describe('a relay that cannot start prints one line and exits with 2', () => {
  test.each([
    [['--bad'], /unknown flag --bad/],
    [['--port', 'x'], /bad --port/],
    [['--host', '192.0.2.123'], /--host is no address of this computer/],
    [['--host', 'no.such.host.invalid'], /--host is no address of this computer/],
    [['--tls-cert', '/no/cert.pem', '--tls-key', '/no/key.pem'], /cannot read the TLS file \/no\/cert.pem/],
    [['--data', '/dev/null/x'], /cannot use the data folder \/dev\/null\/x: it is not a folder/],
    [['--data', '/dev/null'], /cannot use the data folder \/dev\/null: it is not a folder/],
    [['--data', '/proc/nope/x'], /cannot use the data folder \/proc\/nope\/x: no folder can be made in \/proc\n/],
  ])('%j', async (flags, message) => {
    const data = flags.includes('--data') ? [] : ['--data', cleanup.folder()]
    const relay = spawnRelay(
      cleanup,
      ['--port', '0', ...data, ...flags].slice(flags.includes('--port') ? 2 : 0),
      page(),
    )
    expect(await relay.exit).toBe(2)
    expect(relay.stderr()).toMatch(/^brittlestar relay: [^\n]+\n$/)
    expect(relay.stderr()).toMatch(message)
    expect(relay.stdout()).toBe('')
  })

  test('a port in use', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, () => resolve()))
    cleanup.add(() => other.close())
    const { port } = other.address() as { port: number }
    const relay = spawnRelay(cleanup, ['--log-level', 'error'], {
      ...page(),
      BRITTLESTAR_PORT: String(port),
      BRITTLESTAR_DATA: cleanup.folder(),
    })
    expect(await relay.exit).toBe(2)
    expect(relay.stderr()).toBe(`brittlestar relay: port ${port} is in use: choose another with --port\n`)
  })

  test('and keeps its identity for the next start', async () => {
    const data = cleanup.folder()
    const flags = ['--port', '0', '--data', data]
    for (const bad of [
      ['--host', '192.0.2.123'],
      ['--tls-cert', '/no/cert.pem', '--tls-key', '/no/key.pem'],
    ])
      expect(await spawnRelay(cleanup, [...flags, ...bad], page()).exit).toBe(2)
    const key = readFileSync(join(data, 'peer.key'))
    const relay = spawnRelay(cleanup, flags, page())
    await until(() => started.test(relay.stdout()), 'it starts')
    expect(relay.stderr()).not.toContain('new identity')
    expect(readFileSync(join(data, 'peer.key'))).toEqual(key)
  })

  test('a data folder with a damaged key', async () => {
    const data = cleanup.folder()
    writeFileSync(join(data, 'peer.key'), 'garbage')
    const relay = spawnRelay(cleanup, ['--port', '0', '--data', data, '--log-level', 'error'], page())
    expect(await relay.exit).toBe(2)
    expect(relay.stderr()).toBe(
      `brittlestar relay: cannot read the peer key ${join(data, 'peer.key')}: move it away to get a new identity\n`,
    )
  })

  test.each(['/no/such/page', '/dev/null'])('a missing page: %s', async (folder) => {
    const flags = ['--port', '0', '--data', cleanup.folder(), '--log-level', 'error']
    const relay = spawnRelay(cleanup, flags, { BRITTLESTAR_DIST: folder })
    expect(await relay.exit).toBe(2)
    expect(relay.stderr()).toMatch(/^brittlestar relay: cannot find the page in [^\n]+\n$/)
  })

  test('a folder without index.html', async () => {
    const flags = ['--port', '0', '--data', cleanup.folder(), '--log-level', 'error']
    const relay = spawnRelay(cleanup, flags, { BRITTLESTAR_DIST: cleanup.folder() })
    expect(await relay.exit).toBe(2)
    expect(relay.stderr()).toMatch(/has no index.html; "npm start" builds it\n$/)
  })
})

describe('two relays on one data folder', () => {
  test('the second refuses to start, also on another port, and the first goes on', async () => {
    const first = await running()
    const second = spawnRelay(cleanup, ['--port', '0', '--data', first.data], page())
    expect(await second.exit).toBe(2)
    const how = 'stop that one, or choose another with --data'
    const { pid } = first.child
    expect(second.stderr()).toBe(
      `brittlestar relay: the data folder ${first.data} is in use by another relay (process ${pid}): ${how}\n`,
    )
    expect((await first.info()).v).toBe(1)
  })

  test('the lock of one that was killed is taken over, and that of one that stopped is gone', async () => {
    const first = await running()
    first.child.kill('SIGKILL')
    await first.exit
    expect(existsSync(join(first.data, 'relay.lock'))).toBe(true)
    const second = spawnRelay(cleanup, ['--port', '0', '--data', first.data], page())
    await until(() => started.test(second.stdout()), 'it starts')
    second.child.kill('SIGTERM')
    expect(await second.exit).toBe(0)
    expect(existsSync(join(first.data, 'relay.lock'))).toBe(false)
  })

  test.each([
    ['garbage', 'garbage'],
    ['nothing', ''],
    ['the number of a process that began at another time', `${process.pid} 1\n`],
  ])('a lock with %s is taken over', (_what, text) => {
    const data = cleanup.folder()
    writeFileSync(join(data, 'relay.lock'), text)
    const unlock = lockDataFolder(data)
    expect(() => lockDataFolder(data)).toThrow(/in use/)
    unlock()
    unlock()
    lockDataFolder(data)()
  })
})

test('--help prints the flags and exits with 0', async () => {
  const relay = spawnRelay(cleanup, ['--help'])
  expect(await relay.exit).toBe(0)
  expect(relay.stdout()).toContain('--ice-server <url|json>')
  expect(relay.stderr()).toBe('')
})

test('flags are checked before the page is built, as they are at the start', () => {
  const check = (...flags: string[]) => {
    const argv = [join(import.meta.dirname, 'check-flags.ts'), ...flags]
    const { status, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' })
    return [status, stderr]
  }
  expect(check('--port', '5000')).toEqual([0, ''])
  expect(check('--port', 'abc')).toEqual([2, expect.stringMatching(/^brittlestar relay: bad --port: "abc" is not/)])
})

test.each([
  [['--version'], 0, /^\d+\.\d+\.\d+\n$/],
  [['--help'], 0, /^Usage: brittlestar relay/],
  [['relay', '--help'], 0, /--max-peers <number>/],
  [['relay', '--bad'], 2, /^brittlestar relay: unknown flag --bad\n$/],
  [['dance'], 2, /^brittlestar: unknown command "dance"/],
  [[], 2, /^Usage: brittlestar relay/],
])('brittlestar %j exits with %i', (argv, code, output) => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(import.meta.dirname, 'bin.mjs'), ...argv])
  expect([status, `${stdout}${stderr}`]).toEqual([code, expect.stringMatching(output)])
})

test('a running relay prints URLs for people on stdout and JSON on stderr', async () => {
  const relay = await running()
  expect(relay.stdout()).toContain(`This computer:  http://localhost:${relay.port}/`)
  expect(relay.stdout()).toMatch(/Other laptops: {2}https:|listens on this one only/)
  const lines = relay.stderr().trim().split('\n')
  expect(lines.map((line) => JSON.parse(line).msg)).toContain('relay started')
})

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  '%s drains and exits with 0, also with tabs connected',
  async (signal) => {
    const relay = await running()
    const { peerId } = await relay.info()
    const tab = await startTab(cleanup)
    const heard = await rendezvous(tab, { port: relay.port, peerId })
    await until(() => heard.events.length === 1, 'the tab has joined')
    relay.child.kill(signal)
    // The same request once more, as a terminal and npm both send it.
    relay.child.kill(signal)
    expect(await relay.exit).toBe(0)
    await until(() => heard.closed, 'the tab notices')
  },
)

test.each([
  [1, 0],
  [2, 1],
])('with a frozen tab, %i signals end it with exit code %i', async (signals, code) => {
  const relay = await running()
  const { peerId } = await relay.info()
  const tab = spawn(process.execPath, [join(import.meta.dirname, 'testing-tab.ts'), String(relay.port), peerId])
  cleanup.add(() => tab.kill('SIGKILL'))
  await new Promise((resolve) => tab.stdout.once('data', resolve))
  tab.kill('SIGSTOP')
  const began = performance.now()
  relay.child.kill('SIGTERM')
  if (signals === 2) {
    await until(() => performance.now() - began > limits.signalDebounceMs * 1.5, 'it is no longer the same request')
    relay.child.kill('SIGTERM')
  }
  expect(await relay.exit).toBe(code)
  if (signals === 1) expect(performance.now() - began).toBeGreaterThanOrEqual(limits.drainMs - 50)
})

test('peer id and certificate stay the same over restarts, and another data folder has others', async () => {
  const first = await running()
  const before = await first.info()
  const cert = await certificate(first.port)
  first.child.kill('SIGTERM')
  await first.exit
  const second = await running()
  const again = spawnRelay(cleanup, ['--port', '0', '--data', first.data], page())
  await until(() => started.test(again.stdout()), 'the relay is back')
  const port = Number(started.exec(again.stdout())?.[1])
  const after = JSON.parse((await get(`http://127.0.0.1:${port}/relay.json`)).body.toString())
  expect(after.peerId).toBe(before.peerId)
  expect(await certificate(port)).toBe(cert)
  expect((await second.info()).peerId).not.toBe(before.peerId)
  expect(await certificate(second.port)).not.toBe(cert)
})

/** The fingerprint of what a TLS client is shown. */
async function certificate(port: number): Promise<string> {
  const { connect } = await import('node:tls')
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256)
      socket.end()
    })
    socket.on('error', reject)
  })
}
