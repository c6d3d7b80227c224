// In the page this takes the place of libp2p's search for relays (vite.config.ts), which asks for a place at whatever
// peer says that it relays: a tab has one relay, the one that its page came from (relay-link.ts).
export class RelayDiscovery {
  addEventListener(): void {}
  start(): void {}
  stop(): void {}
  startDiscovery(): void {}
  stopDiscovery(): void {}
}
