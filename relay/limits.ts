// Every bound of the relay, with its reason. docs/relay.md repeats the ones that an operator meets.
// The library's own defaults are for strangers on the internet; here a whole class sits behind one address.

const second = 1_000
const minute = 60 * second
const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  /** Tabs at once (--max-peers). Measured: 55 KiB of live heap each, 360 MiB resident just after 400 joined at once. */
  maxPeers: 2_000,
  /** What an operator may ask for: one process cannot hold more sockets on common systems. */
  maxPeersAllowed: 50_000,
  /** WebSockets from one address: a school behind one NAT fits, and one flood leaves half of the default free. */
  connectionsPerAddress: 1_000,
  /** WebSockets that one address may open in one go: a lecture hall that scans the code together. */
  connectBurstPerAddress: 600,
  /** …and per second after that: everybody redials within seconds of a restart, a loop without backoff does not pass. */
  connectPerSecondPerAddress: 100,
  /** Sockets beyond the tabs' own: pages loading, health checks, scrapes. */
  extraSockets: 1_024,
  /** From accepting a socket to a whole request on it, and between two: slow senders hold nothing for long. */
  requestMs: 15 * second,
  /** A download that makes no progress for this long is given up. */
  httpIdleMs: 60 * second,
  /** Sockets of machines that vanished without a word are found by TCP itself: a frozen tab's browser still answers. */
  tcpKeepAliveMs: 10 * second,
  /** Largest WebSocket message. Noise sends at most 64 KiB at a time; the library's default is 100 MiB. */
  webSocketMessageBytes: 1 * MiB,

  /** A tab on a busy laptop may take this long for its handshake (noise, yamux). */
  upgradeMs: 30 * second,
  /** Streams that one tab may have open here: rendezvous, identify, DHT queries and circuits to its peers. */
  streamsPerConnection: 512,
  /** What one stream may have waiting to be read or written: control traffic only passes here. */
  streamBufferBytes: 1 * MiB,

  /** Slots for being reachable through this relay. More than max-peers: a slot lives on after its tab until its TTL. */
  reservations: 5_000,
  /** The library's 2 h would keep the slots of closed tabs; a live tab renews well before this. */
  reservationTtlMs: 15 * minute,
  /** A circuit carries the signalling of one WebRTC connection; 5 min also covers a slow one with retries. */
  circuitMs: 5 * minute,
  /** Never unlimited: libp2p would then use circuits for everything instead of upgrading to WebRTC. */
  circuitBytes: 1n * BigInt(MiB),
  /** Circuits being set up at once per tab: a newcomer dials a full mesh of 32, several newcomers may meet. */
  hopStreams: 1_024,

  /** One directory record: larger things are blocks. */
  recordBytes: 16 * KiB,
  /** All directory records kept here; the oldest go first, tabs hold copies and publish again. */
  recordsTotalBytes: 64 * MiB,
  /** What libp2p remembers of peers (addresses, protocols); the oldest go first. */
  peersTotalBytes: 32 * MiB,

  /** A cluster's name, as in its invite link. */
  clusterNameChars: 64,
  /** One rendezvous frame, either way. */
  rendezvousFrameBytes: 64 * KiB,
  /** From opening a rendezvous stream to its first frame. */
  rendezvousHelloMs: 10 * second,
  /** Members named to a newcomer: enough to find a way in, and the others hear of the newcomer anyway. */
  rendezvousPeers: 64,
  /** What may wait for a member that does not read (about 3,000 joins and leaves) before it is dropped. */
  rendezvousBacklogBytes: 256 * KiB,
  /** Joins and leaves within this time travel together: a class that joins at once costs n sends a tick, not n². */
  rendezvousTickMs: 20,
  /** A page's goodbye may come this long after its tab's connection closed: both are sent while the tab is torn down. */
  rendezvousGoodbyeMs: 5 * second,

  /** One frame of the witness, either way: a journal's name and some numbers. */
  witnessFrameBytes: 4 * KiB,
  /** Journals that are witnessed, some 150 bytes each: what a school has open while each class is down to two tabs. */
  witnessedJournals: 100_000,

  /** After SIGTERM: live tabs take part in the closing at once, frozen ones never; then the sockets are cut. */
  drainMs: 1.5 * second,
  /** A terminal and npm both deliver one Ctrl-C: signals this close together are one request. */
  signalDebounceMs: 300,
  /** How often addresses and certificate files are looked at: a laptop that changes networks is served again. */
  tlsCheckMs: 30 * second,
  /** A certificate of our own: browsers accept at most 825 days anywhere, 398 on some. */
  certificateDays: 397,
  /** Renewed this long before its end, so that it never ends while a class works. */
  certificateRenewDays: 30,
  /** Names in one certificate: a laptop that has seen many networks keeps the latest. */
  certificateNames: 64,
} as const

export type Limits = { readonly [K in keyof typeof limits]: (typeof limits)[K] extends bigint ? bigint : number }
