import { connect } from 'node:net'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { encode } from 'cborg'
import { createLibp2p } from 'libp2p'
import { afterEach, describe, expect, test } from 'vitest'
import { dhtProtocol, recordSelectors, recordValidators } from './records.ts'
import type { Server } from './serve.ts'
import { Cleanup, get, lanIPv4, metric, relayAddress, startRelay, startTab, until } from './testing.ts'

const cleanup = new Cleanup()
afterEach(() => cleanup.run())

// A machine without a network has loopback only: then it stands for the other address.
const lan = lanIPv4() ?? '127.0.0.1'

describe('libp2p behind the port', () => {
  test('is reached over ws and wss, on loopback and on the machine’s own address', async () => {
    const relay = await startRelay(cleanup)
    const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
    cleanup.add(() => {
      if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
      else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
    })
    for (const host of new Set(['127.0.0.1', lan])) {
      for (const secure of [false, true]) {
        const tab = await startTab(cleanup)
        const connection = await tab.dial(relayAddress(relay, host, secure))
        expect(connection.remotePeer.toString()).toBe(relay.peerId)
        await tab.stop()
      }
    }
    await until(async () => (await metric(relay.port, 'brittlestar_connections')) === 0, 'all are gone')
    expect(await metric(relay.port, 'brittlestar_bytes_total{use="websocket",direction="out"}')).toBeGreaterThan(500)
  })

  test('refuses more than --max-peers, and takes a newcomer when one has gone', async () => {
    const relay = await startRelay(cleanup, { flags: ['--max-peers', '2'] })
    const tabs = [await startTab(cleanup), await startTab(cleanup), await startTab(cleanup)] as const
    await tabs[0].dial(relayAddress(relay))
    await tabs[1].dial(relayAddress(relay))
    await expect(tabs[2].dial(relayAddress(relay))).rejects.toThrow()
    expect(await metric(relay.port, 'brittlestar_refused_total{reason="total"}')).toBe(1)
    expect((await get(`http://127.0.0.1:${relay.port}/`)).status).toBe(200)
    await tabs[0].stop()
    await until(async () => (await metric(relay.port, 'brittlestar_connections')) === 1, 'a place is free')
    await tabs[2].dial(relayAddress(relay))
  })

  test.each(['address', 'rate'] as const)('refuses too much from one address: %s', async (reason) => {
    const tight =
      reason === 'address' ? { connectionsPerAddress: 1 } : { connectBurstPerAddress: 1, connectPerSecondPerAddress: 0 }
    const relay = await startRelay(cleanup, { limits: tight })
    const [a, b, c] = [await startTab(cleanup), await startTab(cleanup), await startTab(cleanup)]
    await a.dial(relayAddress(relay))
    await expect(b.dial(relayAddress(relay))).rejects.toThrow()
    expect(await metric(relay.port, `brittlestar_refused_total{reason="${reason}"}`)).toBe(1)
    if (lan !== '127.0.0.1') await c.dial(relayAddress(relay, lan))
  })

  test('cannot be reached past the front', async () => {
    const relay = await startRelay(cleanup)
    const tab = await startTab(cleanup)
    // The library's own listener is on some loopback port of this process.
    const ports = listeningPorts().filter((port) => port !== relay.port)
    expect(ports.length).toBeGreaterThan(0)
    for (const port of ports) await expect(tab.dial(relayAddress({ ...relay, port }))).rejects.toThrow()
    expect(await metric(relay.port, 'brittlestar_peers')).toBe(0)
  })

  test('a WebSocket message beyond the bound ends the connection', async () => {
    const relay = await startRelay(cleanup, { limits: { webSocketMessageBytes: 1_000 } })
    const socket = new WebSocket(`ws://127.0.0.1:${relay.port}/`)
    const closed = new Promise<CloseEvent>((resolve) => socket.addEventListener('close', resolve))
    await new Promise((resolve) => socket.addEventListener('open', resolve))
    socket.send(new Uint8Array(2_000))
    await closed
    await until(async () => (await metric(relay.port, 'brittlestar_connections')) === 0, 'its place is free')
  })

  test('malformed WebSocket frames end their own connection only', async () => {
    const relay = await startRelay(cleanup)
    const frames = [
      [0xff, 0xff],
      [0x81, 0x05, 1, 2, 3, 4, 5],
      [0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
      [0x88, 0x81, 0, 0, 0, 0, 0],
    ]
    for (const bytes of frames) {
      const socket = connect(relay.port, '127.0.0.1', () => {
        socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n')
        socket.write('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n')
      })
      const ended = new Promise((resolve) => socket.on('error', () => {}).on('close', resolve))
      socket.once('data', () => {
        socket.write(Buffer.from(bytes))
        socket.resume()
      })
      await ended
    }
    await (await startTab(cleanup)).dial(relayAddress(relay))
  })

  test('is joined while hundreds of WebSockets say nothing', async () => {
    const relay = await startRelay(cleanup)
    const silent = Array.from({ length: 550 }, () => connect(relay.port, '127.0.0.1'))
    cleanup.add(() => silent.map((socket) => socket.destroy()))
    for (const socket of silent) {
      socket.on('error', () => {})
      socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n')
      socket.write('Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n')
    }
    await until(async () => (await metric(relay.port, 'brittlestar_connections')) === silent.length, 'they are open')
    await (await startTab(cleanup)).dial(relayAddress(relay))
  })

  test('gives reservations, and circuits between tabs that are counted and limited', async () => {
    const relay = await startRelay(cleanup)
    const listener = await tabWith(relay, [`${relayAddress(relay)}/p2p-circuit`])
    await until(() => listener.getMultiaddrs().length > 0, 'the reservation is there')
    expect(await metric(relay.port, 'brittlestar_reservations')).toBe(1)
    const caller = await startTab(cleanup)
    const connection = await caller.dial(multiaddr(`${relayAddress(relay)}/p2p-circuit/p2p/${listener.peerId}`))
    expect(connection.limits?.bytes).toBeGreaterThan(1_000_000n)
    expect(connection.limits?.bytes).toBeLessThanOrEqual(1_048_576n)
    expect(await metric(relay.port, 'brittlestar_circuits')).toBe(1)
    await caller.stop()
    await until(async () => (await metric(relay.port, 'brittlestar_circuits')) === 0, 'the circuit is gone')
  })

  test('keeps directory records for tabs, and refuses malformed ones', async () => {
    const relay = await startRelay(cleanup)
    const [a, b] = [await tabWith(relay), await tabWith(relay)]
    const key = Buffer.from('/bs-peer/someone')
    const put = async (value: Uint8Array) => {
      let stored = 0
      for await (const event of a.services.dht.put(key, value)) {
        if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') stored++
      }
      return stored
    }
    expect(await put(encode({ v: 1, seq: 1 }))).toBeGreaterThan(0)
    expect(await metric(relay.port, 'brittlestar_dht_records')).toBe(1)
    let found: Uint8Array | undefined
    for await (const event of b.services.dht.get(key)) if (event.name === 'VALUE') found = event.value
    expect(found).toEqual(encode({ v: 1, seq: 1 }))
    expect(await put(encode('no envelope')).catch(() => 0)).toBe(0)
  })
})

/** A tab with a seat in the DHT, connected to the relay. */
async function tabWith(relay: Server, listen: string[] = []) {
  const tab = await createLibp2p({
    addresses: { listen },
    transports: [webSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionMonitor: { enabled: false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: dhtProtocol,
        clientMode: true,
        peerInfoMapper: passthroughMapper,
        validators: { ...recordValidators, 'bs-peer': () => {} },
        selectors: recordSelectors,
      }),
    },
  })
  cleanup.add(() => tab.stop())
  await tab.dial(relayAddress(relay))
  return tab
}

/** The ports that this process listens on. */
function listeningPorts(): number[] {
  type Handle = { listening?: boolean; address?: () => { port?: number } | null }
  const { _getActiveHandles } = process as unknown as { _getActiveHandles(): Handle[] }
  const servers = _getActiveHandles().filter(({ listening }) => listening === true)
  return servers.map((server) => server.address?.()?.port ?? 0).filter((port) => port > 0)
}
