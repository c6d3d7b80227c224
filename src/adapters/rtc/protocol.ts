// Messages between the page that owns RTCPeerConnections (page.ts) and the worker that uses them (worker.ts).
// Channels that the worker creates have positive numbers, those that a remote peer creates negative ones.
import * as v from 'valibot'
import { MAX_SDP_LENGTH } from './limits.ts'

const connection = v.pipe(v.number(), v.integer(), v.minValue(1))
const channel = v.pipe(v.number(), v.integer())
const text = v.pipe(v.string(), v.maxLength(MAX_SDP_LENGTH))
const data = v.union([v.string(), v.instance(ArrayBuffer)])
const count = v.pipe(v.number(), v.minValue(0))

const description = v.object({ type: v.picklist(['offer', 'answer', 'pranswer', 'rollback']), sdp: text })
const candidate = v.object({
  candidate: text,
  sdpMid: v.optional(v.nullable(text)),
  sdpMLineIndex: v.optional(v.nullable(v.number())),
  usernameFragment: v.optional(v.nullable(text)),
})
const iceServer = v.object({
  urls: v.union([v.string(), v.array(v.string())]),
  username: v.optional(v.string()),
  credential: v.optional(v.string()),
})

const hostRequest = v.variant('t', [
  v.object({ t: v.literal('create'), pc: connection, iceServers: v.array(iceServer) }),
  v.object({ t: v.literal('offer'), pc: connection, call: count }),
  v.object({ t: v.literal('answer'), pc: connection, call: count }),
  v.object({ t: v.literal('heard'), pc: connection, call: count }),
  v.object({ t: v.literal('local'), pc: connection, call: count, description: v.optional(description) }),
  v.object({ t: v.literal('remote'), pc: connection, call: count, description }),
  v.object({ t: v.literal('candidate'), pc: connection, call: count, candidate: v.nullable(candidate) }),
  v.object({
    t: v.literal('channel'),
    pc: connection,
    channel,
    label: text,
    protocol: v.string(),
    ordered: v.boolean(),
  }),
  v.object({ t: v.literal('send'), channel, data }),
  v.object({ t: v.literal('threshold'), channel, bytes: count }),
  v.object({ t: v.literal('close-channel'), channel }),
  v.object({ t: v.literal('close'), pc: connection }),
])

const hostEvent = v.variant('t', [
  v.object({ t: v.literal('done'), call: count, description: v.optional(description), packets: v.optional(count) }),
  v.object({ t: v.literal('failed'), call: count, name: v.string(), message: v.string() }),
  v.object({
    t: v.literal('state'),
    pc: connection,
    connectionState: v.picklist(['new', 'connecting', 'connected', 'disconnected', 'failed', 'closed']),
    iceConnectionState: v.picklist(['new', 'checking', 'connected', 'completed', 'disconnected', 'failed', 'closed']),
    iceGatheringState: v.picklist(['new', 'gathering', 'complete']),
    signalingState: v.picklist([
      'stable',
      'have-local-offer',
      'have-remote-offer',
      'have-local-pranswer',
      'have-remote-pranswer',
      'closed',
    ]),
    maxMessageSize: v.nullable(count),
  }),
  v.object({ t: v.literal('ice-candidate'), pc: connection, candidate: v.nullable(candidate) }),
  /** A channel of this side now exists; `rtc` is the real one where it could be transferred. */
  v.object({ t: v.literal('channel'), channel, rtc: v.optional(v.unknown()) }),
  /** A remote peer opened a channel. */
  v.object({
    t: v.literal('incoming'),
    pc: connection,
    channel,
    label: v.string(),
    protocol: v.string(),
    ordered: v.boolean(),
    rtc: v.optional(v.unknown()),
  }),
  v.object({ t: v.literal('open'), channel }),
  v.object({ t: v.literal('message'), channel, data }),
  v.object({ t: v.literal('closed'), channel, error: v.optional(v.string()) }),
  /** `taken`: bytes that the page has handed to the real channel so far; `buffered`: its bufferedAmount. */
  v.object({ t: v.literal('buffered'), channel, taken: count, buffered: count }),
  /** The other side closed the connection, or it could not be created. */
  v.object({ t: v.literal('gone'), pc: connection, reason: v.string() }),
])

export type HostRequest = v.InferOutput<typeof hostRequest>
export type HostEvent = v.InferOutput<typeof hostEvent>
export type Description = v.InferOutput<typeof description>
export type Candidate = v.InferOutput<typeof candidate>

/** @returns undefined for anything that is not a request. */
export function parseRequest(message: unknown): HostRequest | undefined {
  const result = v.safeParse(hostRequest, message)
  return result.success ? result.output : undefined
}

/** @returns undefined for anything that is not an event. */
export function parseEvent(message: unknown): HostEvent | undefined {
  const result = v.safeParse(hostEvent, message)
  return result.success ? result.output : undefined
}
