// The numbers of this adapter, each with its reason.

/** Chrome refuses new RTCPeerConnections at about 500 alive per tab; a mesh keeps 32. Beyond this something leaks. */
export const MAX_PEER_CONNECTIONS = 200

/**
 * That limit also counts closed connections until they are collected, and they are too small to cause a collection
 * (measured: the 501st of a loop that closes each fails). Dropping an untouched buffer of this size causes one;
 * creating is tried again after a pause. 3,000 in a row were possible like this.
 */
export const COLLECT_AFTER_CLOSED = 50
export const COLLECT_BYTES = 64 * 1024 * 1024
export const CREATE_RETRY_MS = 50
export const CREATE_RETRIES = 20

/** Messages held for a data channel that nobody listens to yet; a peer must not fill memory through it. */
export const MAX_HELD_BYTES = 4 * 1024 * 1024

/** Side channels of one connection that wait for somebody to take them. */
export const MAX_HELD_CHANNELS = 16

/**
 * SCTP stream of the channel that stays on the page: Chrome does not freeze hidden pages with an open data channel,
 * and its closing tells at once that the other side closed the whole connection. Libraries number theirs from 0.
 */
export const KEEPALIVE_CHANNEL_ID = 1000
export const KEEPALIVE_CHANNEL_LABEL = 'brittlestar/keepalive'

/** Incoming channels with this prefix are not shown to libp2p's muxer: see FacadePeerConnection.onsidechannel. */
export const SIDE_CHANNEL_PREFIX = '/brittlestar/'

/**
 * @libp2p/webrtc 6.0.33 opens a channel of this label to have something to negotiate. Its muxer closes it at the side
 * that was called; where that is faster than the caller's own code, the caller waits in vain for it to open, until
 * its dial times out (1 of 23 dials). The caller closes it anyhow, so the called side does not get to see it.
 */
export const NEGOTIATION_CHANNEL_LABEL = 'init'

/** Text of a session description or candidate: real ones have a few KiB. */
export const MAX_SDP_LENGTH = 256 * 1024
