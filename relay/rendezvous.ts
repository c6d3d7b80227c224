// Rendezvous: tabs of one cluster keep a stream open here and hear who else does. The relay vouches for nobody:
// what it says is a hint, and membership in the cluster is proved between the tabs.
//
// Frames: 4 bytes of length (big endian), then CBOR. The tab says once { v: 1, cluster, goodbye? }; the relay answers
// { t: 'peers', peers } and then { t: 'joined', peer } and { t: 'left', peer } as they happen. `goodbye` is the SHA-256 of a
// secret of the tab: whoever brings that to the relay (http.ts) is the tab's page, which tells so that it is being closed;
// the others hear { t: 'left', peer, said: SECRET }, and know its hash from the tab itself.
// A member's states: greeting (its first frame is awaited) → member → gone. Only this file moves them.
import { createHash } from 'node:crypto'
import type { Connection, Stream } from '@libp2p/interface'
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { concat } from '../src/base/bytes.ts'
import { errorLine, OsError } from '../src/base/errors.ts'
import { FrameReader, framed } from '../src/base/frames.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log.ts'
import type { Counter, Metrics } from './metrics.ts'

export const rendezvousProtocol = '/brittlestar/rendezvous/1.0.0'
/** Pages take UUIDs. */
const MAX_SECRET_LENGTH = 64
/** Two streams of one peer meet while one replaces the other; a third is a mistake. */
export const rendezvousStreamsPerPeer = 3

export type RendezvousEvent =
  | { t: 'peers'; peers: string[] }
  | { t: 'joined'; peer: string }
  | { t: 'left'; peer: string; said?: string }

export interface RendezvousOptions {
  cluster: string
  limits: Limits
  log: Log
  metrics: Metrics
}

interface Member {
  readonly peer: string
  readonly stream: Stream
  readonly goodbye: string | undefined
  /** How many of the waiting events it already knows, because it joined after them. */
  knows: number
}

export class Rendezvous {
  readonly #options: RendezvousOptions
  readonly #hello
  readonly #members = new Map<string, Member>()
  /** Whose goodbye each hash is of; kept for a moment after the connection, which may close first. */
  readonly #goodbyes = new Map<string, string>()
  /** The latest hash of each peer: an earlier one is of a page that has been reloaded. */
  readonly #latest = new Map<string, string>()
  /** Streams whose first frame has not come yet. */
  readonly #greeting = new Set<Stream>()
  /** Joins and leaves that the next tick sends to everybody. */
  readonly #waiting: Uint8Array[] = []
  readonly #events: Counter
  readonly #dropped: Counter
  #tick: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: RendezvousOptions) {
    const { cluster, metrics } = options
    this.#options = options
    this.#hello = v.object({
      v: v.literal(1, 'it speaks another version'),
      cluster: v.literal(cluster, 'it belongs to another cluster'),
      goodbye: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/))),
    })
    metrics.gauge('brittlestar_rendezvous_members', 'Tabs in the rendezvous now.', () => this.#members.size)
    this.#events = metrics.counter('brittlestar_rendezvous_events_total', 'Joins and leaves, by kind.', [
      { event: 'joined' },
      { event: 'left' },
      { event: 'goodbye' },
    ])
    this.#dropped = metrics.counter('brittlestar_rendezvous_dropped_total', 'Streams ended by the relay, by reason.')
  }

  get size(): number {
    return this.#members.size
  }

  /** The protocol's handler: call synchronously with the stream. */
  accept(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    if (this.#closed) {
      stream.abort(new OsError('ECONNRESET', 'the relay is shutting down'))
      return
    }
    const { limits } = this.#options
    this.#greeting.add(stream)
    const late = setTimeout(
      () => this.#drop(stream, peer, 'silent', 'its first frame did not come'),
      limits.rendezvousHelloMs,
    )
    const reader = new FrameReader(limits.rendezvousFrameBytes)
    stream.addEventListener('message', ({ data }) => {
      if (!this.#greeting.has(stream)) {
        this.#drop(stream, peer, 'talkative', 'it sent more than one frame')
        return
      }
      try {
        const [first, ...more] = reader.push(data.subarray())
        if (!first) return
        if (more.length > 0 || reader.pendingBytes > 0) throw new OsError('EPROTO', 'more than one frame')
        this.#greet(stream, peer, first)
        clearTimeout(late)
      } catch (error) {
        this.#drop(stream, peer, 'bad-hello', errorLine(error))
      }
    })
    const gone = () => {
      clearTimeout(late)
      this.#greeting.delete(stream)
      this.#leave(stream, peer)
    }
    stream.addEventListener('close', gone)
    // A tab that closes its side leaves; the stream ends when this side is closed too.
    stream.addEventListener('remoteCloseWrite', () => {
      gone()
      this.#endStream(stream)
    })
  }

  /** A page that is being closed says so. @returns whether the secret is a member's, or was until a moment ago. */
  goodbye(secret: string): boolean {
    if (secret.length > MAX_SECRET_LENGTH) return false
    const hash = createHash('sha256').update(secret).digest('hex')
    const peer = this.#goodbyes.get(hash)
    if (peer === undefined) return false
    this.#goodbyes.delete(hash)
    this.#announce({ t: 'left', peer, said: secret })
    return true
  }

  /** Ends all streams. Idempotent. */
  close(): void {
    this.#closed = true
    this.#goodbyes.clear()
    this.#latest.clear()
    clearTimeout(this.#tick)
    const streams = [...this.#greeting, ...[...this.#members.values()].map(({ stream }) => stream)]
    this.#greeting.clear()
    this.#members.clear()
    for (const stream of streams) this.#endStream(stream)
  }

  /** @throws {OsError} EPROTO when it is not a good first frame. */
  #greet(stream: Stream, peer: string, frame: Uint8Array): void {
    const hello = v.safeParse(this.#hello, decodeFrame(frame))
    if (!hello.success) throw new OsError('EPROTO', hello.issues[0].message)
    this.#greeting.delete(stream)
    this.#join(stream, peer, hello.output.goodbye)
  }

  #join(stream: Stream, peer: string, goodbye: string | undefined): void {
    const before = this.#members.get(peer)
    const others = [...this.#members.keys()].filter((name) => name !== peer)
    if (!before || before.goodbye !== goodbye) this.#announce({ t: 'joined', peer })
    this.#members.set(peer, { peer, stream, goodbye, knows: this.#waiting.length })
    this.#remember(peer, goodbye)
    this.#options.log.debug('joined the rendezvous', { peer, members: this.#members.size, again: before !== undefined })
    this.#send(stream, peer, encodeFrame({ t: 'peers', peers: sample(others, this.#options.limits.rendezvousPeers) }))
    if (before) this.#endStream(before.stream)
  }

  #leave(stream: Stream, peer: string): void {
    const { limits } = this.#options
    // A stream that was replaced closes too: its peer is still here.
    const member = this.#members.get(peer)
    if (member?.stream !== stream) return
    this.#members.delete(peer)
    const { goodbye } = member
    if (goodbye !== undefined) setTimeout(() => this.#forget(peer, goodbye), limits.rendezvousGoodbyeMs).unref()
    this.#options.log.debug('left the rendezvous', { peer, members: this.#members.size })
    this.#announce({ t: 'left', peer })
  }

  /** A hash that another peer uses is nobody else's. */
  #remember(peer: string, goodbye: string | undefined): void {
    const before = this.#latest.get(peer)
    if (before !== undefined && before !== goodbye) this.#goodbyes.delete(before)
    this.#latest.delete(peer)
    if (goodbye === undefined || (this.#goodbyes.get(goodbye) ?? peer) !== peer) return
    this.#goodbyes.set(goodbye, peer)
    this.#latest.set(peer, goodbye)
  }

  /** Unless that page is here again. */
  #forget(peer: string, goodbye: string): void {
    if (this.#members.get(peer)?.goodbye === goodbye || this.#latest.get(peer) !== goodbye) return
    this.#latest.delete(peer)
    this.#goodbyes.delete(goodbye)
  }

  #announce(event: Exclude<RendezvousEvent, { t: 'peers' }>): void {
    this.#events.add({ event: 'said' in event ? 'goodbye' : event.t })
    this.#waiting.push(encodeFrame(event))
    this.#tick ??= setTimeout(() => this.#flush(), this.#options.limits.rendezvousTickMs)
  }

  #flush(): void {
    this.#tick = undefined
    const frames = this.#waiting.splice(0)
    const whole = concat(frames)
    // A copy: sending to a broken stream removes its member.
    for (const member of [...this.#members.values()]) {
      const news = member.knows === 0 ? whole : concat(frames.slice(member.knows))
      member.knows = 0
      if (news.byteLength > 0) this.#send(member.stream, member.peer, news)
    }
  }

  #send(stream: Stream, peer: string, bytes: Uint8Array): void {
    try {
      stream.send(bytes)
    } catch (error) {
      this.#drop(stream, peer, 'broken', errorLine(error))
      return
    }
    if (stream.writeBufferLength > this.#options.limits.rendezvousBacklogBytes) {
      this.#drop(stream, peer, 'slow', 'it does not read what it is told')
    }
  }

  /** Ends a stream that misbehaves; its 'close' event does the rest. */
  #drop(stream: Stream, peer: string, reason: string, detail: string): void {
    this.#dropped.add({ reason })
    this.#options.log.warn('dropped a rendezvous stream', { peer, reason, detail })
    this.#greeting.delete(stream)
    stream.abort(new OsError('EPROTO', detail))
    this.#leave(stream, peer)
  }

  #endStream(stream: Stream): void {
    stream.close({ signal: AbortSignal.timeout(this.#options.limits.drainMs) }).catch((error) => stream.abort(error))
  }
}

function encodeFrame(event: RendezvousEvent): Uint8Array {
  return framed(encode(event))
}

function decodeFrame(frame: Uint8Array): unknown {
  try {
    return decode(frame, { strict: true })
  } catch (cause) {
    throw new OsError('EPROTO', 'its first frame is not CBOR', { cause })
  }
}

/** Up to `count` of the names, each equally likely. */
function sample(names: string[], count: number): string[] {
  for (let i = 0; i < Math.min(count, names.length - 1); i++) {
    const j = i + Math.floor(Math.random() * (names.length - i))
    const picked = names[j] ?? ''
    names[j] = names[i] ?? ''
    names[i] = picked
  }
  return names.slice(0, count)
}
