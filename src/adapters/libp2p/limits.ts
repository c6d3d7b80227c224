// The numbers of this adapter, each with its reason.

const KIB = 1024
const MIB = 1024 * 1024

// --- finding the relay

/** A relay on the internet answers within one; the next attempt may be the one that succeeds. */
export const RELAY_DIAL_MS = 5_000
/** After an attempt without an answer the next one waits twice as long, up to this. */
export const RELAY_DIAL_MAX_MS = 10_000
/** First pause after a lost or unreachable relay; doubles up to the longest, each shortened by up to half at random. */
export const RELAY_RETRY_MIN_MS = 250
/** The relay must be found within 10 s of its return: this, Chrome's own delay of up to 5 s, and the dial. */
export const RELAY_RETRY_MAX_MS = 4_000
/**
 * A connection that died silently is found by this ping: browsers show no TCP keep-alive. One that has slept is asked as soon
 * as it wakes, and a relay that has restarted refuses what yamux sends every 30 s. Each ping is a stream of some 20 messages.
 */
export const RELAY_PING_EVERY_MS = 60_000
export const RELAY_PING_TIMEOUT_MS = 5_000
/** After waking, waiting costs the user's time: a healthy relay answers in one round trip. */
export const RELAY_WAKE_PING_MS = 2_000
/** Pause before a rendezvous stream that ended is opened again over a living connection. */
export const RENDEZVOUS_RETRY_MS = 1_000
/** Frame limit of the rendezvous protocol. */
export const RENDEZVOUS_FRAME_BYTES = 64 * KIB

/** Pauses before the network's code is asked for again, which the relay serves. */
export const ENGINE_RETRY_MIN_MS = 500
export const ENGINE_RETRY_MAX_MS = 8_000

// --- connecting to peers

/** Signalling costs the page thread of both sides; a newcomer among 32 dials them in a few rounds. */
export const MAX_DIALS = 6
/** Measured: 120–180 ms on an idle machine; two loaded cores with dozens of tabs need seconds. */
export const DIAL_MS = 15_000
/** One address of several; the library tries them one after the other. */
export const ADDRESS_DIAL_MS = 12_000
/** A peer that dials us at the same time has this long to finish before we dial it ourselves. */
export const INBOUND_WAIT_MS = 10_000
/** Our dial was refused because the peer dials us: its signalling must appear within this time. */
export const YIELD_WAIT_MS = 2_000
/** The side that was dialled keeps the relayed connection this long: the dialler may still be using it. */
export const LIMITED_LINGER_MS = 5_000
/** Two connections opened within this time come from two simultaneous dials; later ones replace a dead one. */
export const SIMULTANEOUS_MS = 10_000
/** Opening a stream takes 4 ms; a peer whose page is busy answers when its page thread is free again. */
export const OPEN_STREAM_MS = 10_000
/** Streams of one kind from one peer: the kernel keeps one, and opens another while the last ones close (10 s each). */
export const MAX_STREAMS_PER_KIND = 8
/** 32 direct peers, as many relayed connections while they are being upgraded, the relay, and room. */
export const MAX_CONNECTIONS = 150

// --- moving bytes

/** A peer that takes less in one message would make every send thousands of small ones. */
export const MIN_MESSAGE_BYTES = 16 * 1024
/** Largest message of a data channel that every browser takes (Chrome's own limit). */
export const MAX_MESSAGE_BYTES = 256 * KIB
/** Until the connection tells what was negotiated: the default of the standard. */
export const SAFE_MESSAGE_BYTES = 64 * KIB
/** A cold connection with more than this in its buffer loses some 400 packets and stalls for seconds (measured). */
export const COLD_BUFFER_BYTES = 64 * KIB
/** A connection is cold for its first bytes. */
export const COLD_BYTES = 8 * MIB
/**
 * Enough to keep a warm connection busy (a raw channel is as fast with 64 KiB as with 8 MiB). A connection whose limit
 * jumped to 1 MiB after its first 8 MiB lost packets just then, and 2 s with them, in half of the runs.
 */
export const WARM_BUFFER_BYTES = 256 * KIB
/** A libp2p stream hands this much to its data channel before it holds bytes back. */
export const STREAM_BUFFER_BYTES = 256 * KIB
/** An orderly close waits this long for its bytes to be taken and for the other side to agree. */
export const CLOSE_MS = 10_000

// --- the DHT

/** A request to a peer that is directly connected takes some 10 ms; a dead one must not cost a look-up 5 s. */
export const DHT_REQUEST_MIN_MS = 400
export const DHT_REQUEST_MAX_MS = 1_000
/** How often a peer that should be in the routing table, and has not answered a ping, is pinged, and the pause between. */
export const DHT_ENTER_ATTEMPTS = 6
export const DHT_ENTER_PAUSE_MS = 2_000
/** Records kept for others. At 1 KiB each this is a directory of 8,000 objects. */
export const DHT_RECORD_BYTES = 8 * MIB
/** What libp2p remembers of peers: addresses, protocols, tags. */
export const DHT_PEER_BYTES = 2 * MIB
/** What a record costs beside its bytes: the map's slot, the key object, the strings. */
export const DHT_ENTRY_OVERHEAD_BYTES = 200
/** A key is a namespace and a hash; the relay refuses longer ones. */
export const DHT_KEY_BYTES = 256
/** The relay refuses larger records; so do we. */
export const DHT_VALUE_BYTES = 16 * KIB
/** How soon a peer that the DHT mentioned may be mentioned to the kernel again. */
export const DHT_FOUND_AGAIN_MS = 10_000
/** Peers for which that is remembered. */
export const DHT_FOUND_PEERS = 1_024
