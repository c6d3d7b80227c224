// Those who mean harm: a peer that joins the cluster and sends garbage, programs that try to get out or to hang
// the tab. Nobody else may feel it.
import { randomBytes } from 'node:crypto'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import type { Connection, Stream } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { expect, test } from './fixtures.ts'

/** A peer of its own identity that joins through the relay as tabs do, and can be told what to say. */
async function hostilePeer(relayAddress: string) {
  return createLibp2p({
    addresses: { listen: [`${relayAddress}/p2p-circuit`, '/webrtc'] },
    transports: [webRTC({ rtcConfiguration: { iceServers: [] } }), webSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify() },
  })
}

const LANES = ['/brittlestar/control/1', '/brittlestar/bulk/1'] as const

const GARBAGE: Record<string, Buffer> = {
  noise: randomBytes(64 * 1024),
  'a frame of 4 GiB': Buffer.from([0xff, 0xff, 0xff, 0xff, 0]),
  'CBOR that ends too soon': Buffer.from([0, 0, 0, 1, 0x9f]),
  'a hello without a body': Buffer.from([0, 0, 0, 2, 0x81, 0x00]),
  'an endless flood of empty frames': Buffer.alloc(256 * 1024),
  silence: Buffer.alloc(0),
}

test('a peer that sends garbage is dropped and hurts nobody', async ({ cluster, relay }) => {
  test.setTimeout(240_000)
  const [a, b] = await cluster(2)
  if (!a || !b) throw new Error('two tabs')
  const { multiaddrs } = await (await fetch(`${relay.url}/relay.json`)).json()
  const drops = async () => {
    const log = await a.json<{ area: string; message: string }[]>('dmesg --json')
    return log.filter((line) => line.area === 'rpc' && line.message.includes('dropped')).length
  }
  for (const [name, payload] of Object.entries(GARBAGE)) {
    const hostile = await hostilePeer(multiaddrs[0])
    try {
      const before = await drops()
      let spoke = false
      const speak = (stream: Stream) => {
        spoke = true
        if (payload.byteLength > 0) stream.send(payload)
      }
      // Of two connected nodes the one with the smaller id opens the lanes: be ready for both.
      for (const protocol of LANES) await hostile.handle(protocol, speak)
      const address = multiaddr(`${multiaddrs[0]}/p2p-circuit/webrtc/p2p/${await a.id()}`)
      let connection: Connection | undefined
      // It may be dropped for what it said before it knows that it is connected: then its own dial never ends.
      let dialling = false
      const dial = async () => {
        dialling = true
        connection = await hostile.dial(address, { signal: AbortSignal.timeout(10_000) }).catch(() => undefined)
        dialling = false
      }
      // Until it is dropped for what it says; silence has only to be there. On a loaded machine a stream may fail to open,
      // and a connection may break before anything has come over it: then it comes again.
      const heard = async () => {
        if (payload.byteLength > 0 && (await drops()) > before) return true
        const broken = connection ? connection.status !== 'open' : !dialling
        if (broken) {
          connection = undefined
          spoke = false
        }
        if (spoke) return payload.byteLength === 0
        if (broken) void dial()
        await connection?.newStream(LANES[0]).then(speak, () => undefined)
        return false
      }
      await expect.poll(heard, { message: name, timeout: 90_000 }).toBe(true)
      expect(
        (await a.peers()).map((peer) => peer.id),
        name,
      ).toEqual([await b.id()])
    } finally {
      await hostile.stop()
    }
  }
  expect(await a.out('echo alive > /alive.txt && cat /alive.txt')).toBe('alive\n')
  expect(await b.out('cat /alive.txt')).toBe('alive\n')
  await a.untilPeers(1)
  await b.untilPeers(1)
})

test('a program cannot leave its sandbox', async ({ tab }) => {
  const a = await tab()
  const attempts: Record<string, string> = {
    fetch: `await fetch('/')`,
    xhr: `new XMLHttpRequest().open('GET', '/')`,
    websocket: `new WebSocket('ws://localhost')`,
    eventsource: `new EventSource('/')`,
    importscripts: `importScripts('/x.js')`,
    importHttp: `await import('http://localhost/x.js')`,
    importData: `await import('data:text/javascript,export default 1')`,
    indexeddb: `indexedDB.open('x')`,
    caches: `await caches.open('x')`,
    opfs: `await navigator.storage.getDirectory()`,
    locks: `await navigator.locks.request('x', () => 1)`,
    webtransport: `new WebTransport('https://localhost')`,
    rtc: `new RTCPeerConnection()`,
    broadcast: `new BroadcastChannel('x')`,
    worker: `new Worker('data:text/javascript,1')`,
    eval: `eval('1')`,
    function: `new Function('return 1')()`,
    post: `self.postMessage({ t: 'call', id: 1, call: 'run', args: {} }); throw new Error('posted')`,
  }
  for (const [name, code] of Object.entries(attempts)) {
    const source = `export async function start(event, os) {
      try { ${code} } catch (error) { return os.print('refused') }
      await os.print('ESCAPED')
    }`
    await a.page.evaluate(([path, text]) => globalThis.os.fs.writeFile(path, text), [`/${name}.js`, source] as const)
    expect((await a.sh(`run /${name}.js`)).stdout, name).toBe('refused\n')
  }
  const run = `export const start = (event, os) => os.fs.readFile('/proc').then(() => 1)`
  await a.page.evaluate((text) => globalThis.os.fs.writeFile('/proc.js', text), run)
  expect((await a.sh('run /proc.js')).code).not.toBe(0)
})

test('a program that loops for ever or floods is ended, with the reason, and the tab stays responsive', async ({
  tab,
}) => {
  const a = await tab()
  const write = (path: string, text: string) =>
    a.page.evaluate(([to, source]) => globalThis.os.fs.writeFile(to, source), [path, text] as const)
  await write('/loop.js', 'export const start = () => { for (;;) {} }')
  await write('/flood.js', `export const start = async (event, os) => { for (;;) os.fs.stat('/') }`)
  let looping = true
  const loop = a.sh('run --timeout 5 /loop.js').finally(() => {
    looping = false
  })
  expect((await a.sh('echo responsive')).stdout).toBe('responsive\n')
  expect(looping, 'an echo is answered beside an endless loop').toBe(true)
  expect((await loop).code).not.toBe(0)
  const flooded = await a.sh('run --timeout 3 /flood.js')
  expect(flooded.code).not.toBe(0)
  expect(flooded.stderr).not.toBe('')
  expect((await a.sh('echo still here')).stdout).toBe('still here\n')
})

test('an exception ends the process with its message and the line in the user’s own source', async ({ tab }) => {
  const a = await tab()
  const write = (path: string, text: string) =>
    a.page.evaluate(([to, source]) => globalThis.os.fs.writeFile(to, source), [path, text] as const)
  await write('/bad.js', 'export function start() {\n  const x = null\n  return x.y\n}\n')
  const thrown = await a.sh('run /bad.js')
  expect(thrown.code).toBe(1)
  expect(thrown.stderr).toContain('/bad.js:3')
  expect(thrown.stderr).toContain('TypeError')
  await write('/syntax.js', 'export function start() {\n  let = 5 +\n}\n')
  const syntax = await a.sh('run /syntax.js')
  expect(syntax.code).toBe(126)
  expect(syntax.stderr).toContain('/syntax.js:')
  expect((await a.sh('run /none.js')).stderr).toContain('No such file')
  await write('/text.js', 'hello world, this is prose')
  expect((await a.sh('run /text.js')).code).toBe(126)
})
