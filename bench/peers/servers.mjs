// What the peers' pages need to find each other: a libp2p relay and a WebTorrent tracker on loopback. Prints their addresses
// as JSON and ends with its standard input. Started by bench/peers.ts.
import { circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import Server from 'bittorrent-tracker/server'
import { createLibp2p } from 'libp2p'

const relay = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0/ws'] },
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping(), relay: circuitRelayServer() },
})
const tracker = new Server({ http: false, udp: false, ws: true, stats: false })
tracker.on('warning', () => undefined)
await new Promise((resolve) => tracker.listen(0, '127.0.0.1', resolve))
const addresses = {
  relay: relay.getMultiaddrs()[0].toString(),
  tracker: `ws://127.0.0.1:${tracker.ws.address().port}`,
}
console.log(JSON.stringify(addresses))
process.stdin.resume().on('end', () => process.exit(0))
