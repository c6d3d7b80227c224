// A page with Helia: keeps a file, or reads it from other such pages over bitswap. Plain JavaScript, because its packages
// (package.json beside it) are installed only when it is measured. The measurement is bench/measures/peers.ts.
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webRTC } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { IDBBlockstore } from 'blockstore-idb'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'

const WAIT_MS = 30_000
/** A message of blocks may take this long: the default of 10 s is too little for a large file on a slow machine. */
const SEND_MS = 120_000

let helia
let file
const providers = []

async function until(what, condition) {
  const untilMs = performance.now() + WAIT_MS
  for (;;) {
    const value = condition()
    if (value) return value
    if (performance.now() > untilMs) throw new Error(`not within ${WAIT_MS} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** @param store 'indexeddb' or 'memory', which is Helia's default. */
async function start({ relay, store }) {
  const blockstore = store === 'indexeddb' ? new IDBBlockstore('bench-helia') : undefined
  await blockstore?.open()
  const libp2p = {
    addresses: { listen: [`${relay}/p2p-circuit`, '/webrtc'] },
    transports: [circuitRelayTransport(), webRTC({ rtcConfiguration: { iceServers: [] } }), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping() },
  }
  const bitswap = {
    messageSendTimeout: SEND_MS,
    messageReceiveTimeout: SEND_MS,
    sendBlocksTimeout: SEND_MS,
  }
  helia = withBitswap(withLibp2pLight(createHeliaLight(blockstore ? { blockstore } : {}), libp2p), bitswap)
  await helia.start()
}

const direct = (connection) => connection.limits === undefined && connection.remoteAddr.toString().includes('/webrtc')

globalThis.benchPeer = {
  /** @returns where the file is. */
  async keep({ seed, mebibytes }, options) {
    await start(options)
    async function* content() {
      for (let i = 0; i < mebibytes; i++) yield globalThis.benchPiece(seed, i)
    }
    // Blocks of 1 MiB, as ours.
    const cid = await unixfs(helia).addByteStream(content(), { profile: 'unixfs-v1-2025' })
    const address = await until('an address for others', () =>
      helia.libp2p
        .getMultiaddrs()
        .map(String)
        .find((each) => each.includes('/webrtc')),
    )
    return { cid: cid.toString(), address }
  },

  /** Resolves when it is connected to all who keep the file, and to nobody else. */
  async connect(kept, options) {
    await start(options)
    for (const { address } of kept) {
      const connection = await helia.libp2p.dial(multiaddr(address))
      if (!direct(connection)) throw new Error(`not direct: ${connection.remoteAddr}`)
      providers.push(connection.remotePeer.toCID())
    }
    file = CID.parse(kept[0].cid)
    await until('bitswap on both sides', () =>
      helia.libp2p.getPeers().every((peer) => helia.libp2p.getConnections(peer).some(direct) || !isProvider(peer)),
    )
  },

  /** @returns seconds. */
  async read() {
    const began = performance.now()
    let size = 0
    for await (const piece of content()) size += piece.byteLength
    return { seconds: (performance.now() - began) / 1000, size }
  },

  /** What was received, from the store here. */
  async stored() {
    const pieces = []
    for await (const piece of unixfs(helia).cat(file, { offline: true })) pieces.push(piece)
    return new Blob(pieces).arrayBuffer()
  },
}

function isProvider(peer) {
  return providers.some((each) => each.equals(peer.toCID()))
}

function content() {
  return unixfs(helia).cat(file, { providers })
}
