// In the page these take the place of parts of libp2p that a tab has no use for (vite.config.ts), under their names.

class Idle {
  start(): void {}
  stop(): void {}
}

/** Asks for a place at whatever peer says that it relays: a tab has one relay, that of its page (relay-link.ts). */
export class RelayDiscovery extends Idle {
  addEventListener(): void {}
  startDiscovery(): void {}
  stopDiscovery(): void {}
}

/** Dials peers again that are tagged as to be kept: whom to link is for the kernel to say. */
export class ReconnectQueue extends Idle {}

/** Provides again what was provided through the DHT: the kernel's directory publishes its own records again. */
export class Reprovider extends Idle {}

/** Looks up random keys now and then, to meet strangers: only linked peers enter the table, and the kernel links them. */
export class RoutingTableRefresh extends Idle {
  refreshTable(): void {}
}

/** Tags the peers closest to us every 5 s, so that they are kept: how many are linked, and which, is for the kernel to say. */
export class ClosestPeers extends Idle {}

/** Providers in the DHT's own way: who holds what is in signed records of the directory, which are values. */
export class ContentRouting {
  provide(): never {
    throw new Error('tabs provide through the directory')
  }
  findProviders(): never {
    throw new Error('tabs provide through the directory')
  }
}

/** What others would have kept of those: nobody here asks for it, so a peer that does is told no, and can fill nothing. */
export class Providers extends Idle {
  removeProvider(): void {}
}

class NoProviders {
  async handle(): Promise<never> {
    throw new Error('tabs provide through the directory')
  }
}

export { NoProviders as AddProviderHandler, NoProviders as GetProvidersHandler }

/** Opens a stream to everybody every 10 s: turned off in engine.ts, because the kernel judges who is alive. */
export class ConnectionMonitor extends Idle {}

/** Looks for strangers, for those who search for relays. */
export class RandomWalk extends Idle {}

/** Addresses that a router or a name server gives a node: a tab listens on none. */
class Mappings {
  has(): boolean {
    return false
  }
  add(): void {}
  remove(): boolean {
    return false
  }
  getAll(): [] {
    return []
  }
  confirm(): boolean {
    return false
  }
  unconfirm(): boolean {
    return false
  }
}

export { Mappings as DNSMappings, Mappings as IPMappings }
