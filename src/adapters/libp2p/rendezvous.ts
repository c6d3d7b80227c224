// The rendezvous protocol as a tab speaks it: frames of 4 bytes of length (big endian) and CBOR, over one stream to
// the relay. What the relay says is a hint. relay-link.ts opens the stream; relay/rendezvous.ts is the other side.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import type { Bytes } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { FrameReader, framed } from '../../base/frames.ts'
import type { NodeId } from '../../base/ids.ts'
import { isNodeId } from './identity.ts'
import { RENDEZVOUS_FRAME_BYTES } from './limits.ts'

export const RENDEZVOUS_PROTOCOL = '/brittlestar/rendezvous/1.0.0'

const peer = v.custom<NodeId>((value) => typeof value === 'string' && isNodeId(value), 'not a node id')
const event = v.variant('t', [
  v.object({ t: v.literal('peers'), peers: v.array(peer) }),
  v.object({ t: v.literal('joined'), peer }),
  v.object({ t: v.literal('left'), peer, said: v.optional(v.pipe(v.string(), v.maxLength(64))) }),
])

export type RendezvousEvent = v.InferOutput<typeof event>

/** The first and only frame that a tab sends. @param goodbye SHA-256 of what the page tells the relay when it is closed. */
export function encodeHello(cluster: string, goodbye?: string): Bytes {
  return framed(encode({ v: 1, cluster, ...(goodbye === undefined ? {} : { goodbye }) }))
}

/** Takes the stream's bytes in any pieces and yields events. */
export class RendezvousDecoder {
  readonly #reader = new FrameReader(RENDEZVOUS_FRAME_BYTES)

  /** @throws {OsError} EPROTO for an oversize or malformed frame; the stream is useless then. */
  push(bytes: Uint8Array): RendezvousEvent[] {
    return this.#reader.push(bytes).map(decodeEvent)
  }
}

function decodeEvent(frame: Uint8Array): RendezvousEvent {
  let content: unknown
  try {
    content = decode(frame, { strict: true })
  } catch (cause) {
    throw new OsError('EPROTO', 'a rendezvous frame is not CBOR', { cause })
  }
  const result = v.safeParse(event, content)
  if (!result.success) throw new OsError('EPROTO', `a rendezvous frame: ${result.issues[0].message}`)
  return result.output
}
