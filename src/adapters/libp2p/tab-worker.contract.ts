// Test support: the worker of harness.contract.ts. It runs one node, echoes control streams, swallows bulk streams
// and answers commands.
import type { NodeId } from '../../base/ids.ts'
import { contractRules, type DhtTrio, dhtContract } from '../../ports/dht.contract.ts'
import { type NetworkPair, networkContract, type Scenario } from '../../ports/network.contract.ts'
import type { ByteStream, NetworkEvent } from '../../ports/network.ts'
import { FacadePeerConnection, installPeerConnection } from '../rtc/worker.ts'
import { Libp2pDht } from './dht.ts'
import { createIdentity, loadIdentity } from './identity.ts'
import { createLibp2pNode, type Libp2pNode, type RelayInfo } from './node.ts'

const random = {
  bytes: (length: number) => crypto.getRandomValues(new Uint8Array(length)),
  float: () => Math.random(),
}
const events: (NetworkEvent & { at: number })[] = []
const logs: string[] = []
const streams = new Map<string, ByteStream>()
let node: Libp2pNode
let privateKeyBytes: Uint8Array

const patience = (ms = 20_000): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(ms) })
const numberAt = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)

function accept(kind: string, stream: ByteStream): void {
  let received = 0
  // Bulk: the first 4 bytes say how many follow; when they are here, 4 bytes go back.
  let expected = -1
  stream.onData((chunk) => {
    if (kind === 'control') return stream.send(chunk)
    if (expected < 0) expected = numberAt(chunk) + 4
    received += chunk.byteLength
    if (received < expected) return
    received = 0
    expected = -1
    stream.send(new Uint8Array(4))
  })
  stream.onClose(() => undefined)
}

async function streamTo(peer: NodeId, kind: 'control' | 'bulk'): Promise<ByteStream> {
  const known = streams.get(peer + kind)
  if (known) return known
  const stream = await node.network.open(peer, kind, patience())
  streams.set(peer + kind, stream)
  stream.onClose(() => streams.delete(peer + kind))
  return stream
}

const listeners = new WeakMap<ByteStream, { next: (bytes: Uint8Array) => void }>()

function nextData(stream: ByteStream): Promise<Uint8Array> {
  return new Promise((resolve) => {
    const known = listeners.get(stream)
    if (known) {
      known.next = resolve
      return
    }
    const listener = { next: resolve }
    listeners.set(stream, listener)
    stream.onData((chunk) => listener.next(chunk))
  })
}

async function roundTrip(stream: ByteStream): Promise<number> {
  const began = performance.now()
  const answered = nextData(stream)
  stream.send(new Uint8Array([1, 2, 3, 4]))
  await answered
  return performance.now() - began
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`timed out: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

const quiet = { log: () => undefined }

async function extraNode(relay: RelayInfo | null): Promise<Libp2pNode> {
  return createLibp2pNode({ identity: await createIdentity(random), relay, log: quiet, random })
}

async function makePair(relay: RelayInfo): Promise<NetworkPair> {
  const [a, b] = await Promise.all([extraNode(relay), extraNode(relay)])
  const close = async () => void (await Promise.all([a.close(), b.close()]))
  return { a: a.network, b: b.network, until, close }
}

async function makeTrio(relay: RelayInfo): Promise<DhtTrio> {
  const [a, b, alone] = await Promise.all([extraNode(relay), extraNode(relay), extraNode(null)])
  for (const each of [a, b, alone]) each.dht.setRules(contractRules)
  let found = false
  a.network.on((event) => {
    if (event.type === 'found' && event.peer === b.network.self) found = true
  })
  await Promise.all([a, b, alone].map((each) => each.network.start()))
  await until(() => found, 'they find each other')
  await a.network.connect(b.network.self, patience())
  // The relay is one peer of the DHT; they enter each other's tables a little after they are connected.
  const peers = ({ dht }: Libp2pNode): number => (dht instanceof Libp2pDht ? dht.peers : 0)
  await until(() => peers(a) > 1 && peers(b) > 1, 'both know each other in the DHT')
  const close = async () => void (await Promise.all([a.close(), b.close(), alone.close()]))
  return { a: a.dht, b: b.dht, alone: alone.dht, until, close }
}

async function perform(scenarios: Scenario[], name: string): Promise<void> {
  const scenario = scenarios.find((each) => each.name === name)
  if (!scenario) throw new Error(`no such scenario: ${name}`)
  await scenario.run()
}

async function get(key: string): Promise<string | undefined> {
  for await (const value of node.dht.get(key, patience())) return new TextDecoder().decode(value)
  return undefined
}

const commands: Record<string, (...args: never[]) => unknown> = {
  async init(rtcPort: MessagePort, relay: RelayInfo, privateKey: number[] | undefined, plain: boolean) {
    installPeerConnection(rtcPort)
    // As the browser's own connections are: bulk streams go through libp2p then.
    if (plain) Reflect.deleteProperty(FacadePeerConnection.prototype, 'onsidechannel')
    const identity = privateKey ? await loadIdentity(new Uint8Array(privateKey)) : await createIdentity(random)
    privateKeyBytes = identity.privateKeyBytes
    const log = {
      log: (level: string, area: string, message: string, fields: object = {}) => {
        logs.push(`${(performance.now() / 1000).toFixed(3)} ${level} ${area} ${message} ${JSON.stringify(fields)}`)
      },
    }
    node = createLibp2pNode({ identity, relay, log, random })
    node.dht.setRules({ validate: async () => undefined, select: () => 0 })
    node.network.on((event) => events.push({ ...event, at: Date.now() }))
    node.network.onStream((_peer, kind, stream) => accept(kind, stream))
    await node.network.start()
    return identity.nodeId
  },
  networkContract: (relay: RelayInfo, name: string) =>
    perform(
      networkContract(() => makePair(relay)),
      name,
    ),
  dhtContract: (relay: RelayInfo, name: string) =>
    perform(
      dhtContract(() => makeTrio(relay)),
      name,
    ),
  events: () => events,
  logs: () => logs,
  privateKey: () => [...privateKeyBytes],
  connect: (peer: NodeId, ms?: number) => node.network.connect(peer, patience(ms)),
  disconnect: (peer: NodeId) => node.network.disconnect(peer),
  wake: () => node.network.wake(),
  setRelay: (relay: RelayInfo | null) => node.setRelay(relay),
  close: () => node.close(),
  put: (key: string, text: string) => node.dht.put(key, new TextEncoder().encode(text), patience()),
  get,
  dhtPeers: () => (node.dht instanceof Libp2pDht ? node.dht.peers : 0),
  async rtt(peer: NodeId, times: number, everyMs = 0) {
    const stream = await streamTo(peer, 'control')
    const took: number[] = []
    for (let i = 0; i < times; i++) {
      took.push(await roundTrip(stream))
      if (everyMs > 0) await new Promise((resolve) => setTimeout(resolve, everyMs))
    }
    return took
  },
  /** Milliseconds until the other side has all bytes, and the most that was ever buffered. */
  async bulk(peer: NodeId, bytes: number, chunkBytes: number) {
    const stream = await streamTo(peer, 'bulk')
    const done = nextData(stream)
    const began = performance.now()
    const header = new Uint8Array(4)
    new DataView(header.buffer).setUint32(0, bytes)
    stream.send(header)
    const chunk = new Uint8Array(chunkBytes)
    for (let sent = 0; sent < bytes; sent += chunkBytes) {
      stream.send(chunk)
      if (stream.bufferedBytes > 4 * 1024 * 1024) await stream.drained(2 * 1024 * 1024)
    }
    await done
    return performance.now() - began
  },
}

// Told to the page as an uncaught error: the tests count those.
addEventListener('unhandledrejection', ({ reason }) => {
  setTimeout(() => {
    throw reason
  })
})

addEventListener('message', ({ data: { call, command, args } }: MessageEvent) => {
  const run = async () => commands[command]?.(...(args as never[]))
  run().then(
    (value) => postMessage({ call, value }),
    (error: unknown) => postMessage({ call, error: String(error) }),
  )
})
