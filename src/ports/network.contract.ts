// What every Network must do. The scenarios know no test runner, because the real adapter's run in a worker of a
// browser: `test.each(networkContract(make))('$name', ({ run }) => run())`.
import { assert } from '../base/assert.ts'
import { concat, equalBytes } from '../base/bytes.ts'
import { type ErrorCode, errorLine, isOsError } from '../base/errors.ts'
import type { NodeId } from '../base/ids.ts'
import type { ByteStream, Network, NetworkEvent, StreamKind } from './network.ts'

/** Two networks that were created and not started, and can find each other. */
export interface NetworkPair {
  readonly a: Network
  readonly b: Network
  /** Lets time pass until the condition holds. Rejects when it does not in reasonable time. */
  until(condition: () => boolean, what: string): Promise<void>
  /** Closes both. */
  close(): Promise<void>
}

export interface Scenario {
  readonly name: string
  run(): Promise<void>
}

/** A node that is nobody: a well-formed id whose key nobody has. */
const NOBODY = '12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf' as NodeId
const PATIENCE_MS = 30_000

class Received {
  readonly peer: NodeId
  readonly kind: StreamKind
  readonly stream: ByteStream
  readonly chunks: Uint8Array[] = []
  closes: (Error | undefined)[] = []

  constructor(peer: NodeId, kind: StreamKind, stream: ByteStream) {
    this.peer = peer
    this.kind = kind
    this.stream = stream
    stream.onData((chunk) => this.chunks.push(chunk.slice()))
    stream.onClose((error) => this.closes.push(error))
  }

  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
  }
}

/** A pair that has been started, with everything that it said. */
class Stage {
  readonly pair: NetworkPair
  readonly events: Record<'a' | 'b', NetworkEvent[]> = { a: [], b: [] }
  readonly incoming: Record<'a' | 'b', Received[]> = { a: [], b: [] }

  constructor(pair: NetworkPair) {
    this.pair = pair
    for (const side of ['a', 'b'] as const) {
      pair[side].on((event) => this.events[side].push(event))
      pair[side].onStream((peer, kind, stream) => this.incoming[side].push(new Received(peer, kind, stream)))
    }
  }

  async start(): Promise<void> {
    await this.settled(Promise.all([this.pair.a.start(), this.pair.b.start()]))
    const found = (side: 'a' | 'b', peer: NodeId) => this.count(side, 'found', peer) > 0
    await this.pair.until(() => found('a', this.pair.b.self) && found('b', this.pair.a.self), 'they find each other')
  }

  count(side: 'a' | 'b', type: NetworkEvent['type'], peer: NodeId): number {
    return this.events[side].filter((event) => event.type === type && 'peer' in event && event.peer === peer).length
  }

  /** Lets time pass until the promise has an outcome. */
  async settled<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const end = (): void => {
      over = true
    }
    promise.then(end, end)
    await this.pair.until(() => over, 'a promise settles')
    return promise
  }

  async rejects(promise: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
    const outcome = await this.settled(
      promise.then(
        () => 'it resolved',
        (error: unknown) => error,
      ),
    )
    assert(
      codes.some((code) => isOsError(outcome, code)),
      `expected ${codes.join(' or ')}: ${errorLine(outcome)}`,
    )
  }

  async connect(): Promise<void> {
    await this.settled(this.pair.a.connect(this.pair.b.self, patience()))
    await this.connected(1)
  }

  async connected(times: number): Promise<void> {
    const { a, b } = this.pair
    const both = () => this.count('a', 'connected', b.self) >= times && this.count('b', 'connected', a.self) >= times
    await this.pair.until(both, 'both hear that they are connected')
  }

  /** Opens a stream from a to b; the other end exists when its first bytes are here. */
  async open(kind: StreamKind, first: Uint8Array): Promise<{ near: Received; far: Received }> {
    const before = this.incoming.b.length
    const stream = await this.settled(this.pair.a.open(this.pair.b.self, kind, patience()))
    const near = new Received(this.pair.b.self, kind, stream)
    stream.send(first)
    await this.pair.until(() => (this.incoming.b[before]?.length ?? 0) >= first.byteLength, 'the stream arrives')
    const far = this.incoming.b[before]
    assert(far?.kind === kind && far.peer === this.pair.a.self, 'the stream arrives with its kind and its peer')
    return { near, far }
  }
}

const patience = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(PATIENCE_MS) })

/** Bytes that differ everywhere and on every call. */
function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) & 255)
}

type Act = (stage: Stage) => Promise<void>

const scenarios: Record<string, Act> = {
  async 'both hear that they are connected, and connecting again changes nothing'(stage) {
    const { a, b } = stage.pair
    await stage.connect()
    await stage.settled(a.connect(b.self, patience()))
    await stage.settled(b.connect(a.self, patience()))
    assert(stage.count('a', 'connected', b.self) === 1, 'one event at a')
    assert(stage.count('b', 'connected', a.self) === 1, 'one event at b')
  },

  async 'connecting from both sides at once gives one connection that both use'(stage) {
    const { a, b } = stage.pair
    await stage.settled(Promise.all([a.connect(b.self, patience()), b.connect(a.self, patience())]))
    await stage.connected(1)
    const { far } = await stage.open('control', pattern(10, 1))
    far.stream.send(pattern(10, 2))
    await stage.pair.until(() => far.length === 10, 'bytes arrive')
    assert(stage.count('a', 'connected', b.self) === 1 && stage.count('b', 'connected', a.self) === 1, 'one event each')
    assert(stage.count('a', 'disconnected', b.self) === 0, 'nothing was lost')
  },

  async 'a peer that is not there cannot be connected, and a cancelled attempt says so'(stage) {
    await stage.rejects(stage.pair.a.connect(NOBODY, { signal: AbortSignal.abort() }), 'ECANCELED')
    await stage.rejects(stage.pair.a.connect(NOBODY, patience()), 'EHOSTUNREACH', 'ETIMEDOUT')
  },

  async 'a stream needs a connection'(stage) {
    await stage.rejects(stage.pair.a.open(stage.pair.b.self, 'control', patience()), 'EHOSTUNREACH')
  },

  async 'counts what comes of the network stack of a peer that is connected'(stage) {
    const { a, b } = stage.pair
    const counted = () => stage.settled(a.heardPackets(b.self))
    assert((await counted()) === undefined, 'nothing before they are connected')
    await stage.connect()
    const before = (await counted()) ?? 0
    assert(before > 0, 'something has come')
    await stage.open('control', pattern(10, 1))
    // What was acknowledged shows a moment later.
    for (let after = before; after <= before; ) after = (await counted()) ?? 0
  },

  async 'after disconnecting, both hear of it, streams end with an error, and they can connect again'(stage) {
    const { a, b } = stage.pair
    await stage.connect()
    const { near, far } = await stage.open('control', pattern(10, 1))
    a.disconnect(b.self)
    a.disconnect(b.self)
    const heard = () => stage.count('a', 'disconnected', b.self) === 1 && stage.count('b', 'disconnected', a.self) === 1
    await stage.pair.until(heard, 'both hear of it')
    await stage.pair.until(() => near.closes.length === 1 && far.closes.length === 1, 'the stream ends on both sides')
    assert(near.closes[0] instanceof Error && far.closes[0] instanceof Error, 'with an error')
    await stage.settled(b.connect(a.self, patience()))
    await stage.connected(2)
  },
}

const ofStreams: Record<string, (stage: Stage, kind: StreamKind) => Promise<void>> = {
  async 'carries bytes of any size in order, both ways'(stage, kind) {
    const { near, far } = await stage.open(kind, pattern(1, 0))
    const sizes = [1, 2, 1000, 65_536, 300_000, 7, 1_000_000]
    const sent = sizes.map((size, i) => pattern(size, i))
    for (const bytes of sent) near.stream.send(bytes.slice())
    for (const bytes of sent) far.stream.send(bytes.slice())
    const whole = concat(sent)
    await stage.pair.until(() => far.length >= whole.byteLength + 1 && near.length >= whole.byteLength, 'bytes arrive')
    assert(equalBytes(concat(far.chunks).subarray(1), whole), 'what a sent arrives at b')
    assert(equalBytes(concat(near.chunks), whole), 'what b sent arrives at a')
  },

  async 'tells what is buffered and when it has drained'(stage, kind) {
    const { near, far } = await stage.open(kind, pattern(1, 0))
    await stage.settled(near.stream.drained(0))
    assert(near.stream.bufferedBytes === 0, 'nothing is buffered')
    const size = 3_000_000
    near.stream.send(pattern(size, 1))
    await stage.settled(near.stream.drained(size / 2))
    assert(near.stream.bufferedBytes <= size / 2, 'half is buffered at most')
    await stage.settled(near.stream.drained(0))
    await stage.pair.until(() => far.length === size + 1, 'all arrives')
  },

  async 'flushes when closed, and both sides hear of an orderly close once'(stage, kind) {
    const { near, far } = await stage.open(kind, pattern(1, 0))
    const bytes = pattern(700_000, 3)
    near.stream.send(bytes.slice())
    near.stream.close()
    near.stream.close()
    let code: unknown
    try {
      near.stream.send(pattern(1, 1))
    } catch (error) {
      code = isOsError(error) ? error.code : error
    }
    assert(code === 'EPIPE', `sending after close is EPIPE: ${String(code)}`)
    await stage.pair.until(() => far.closes.length === 1 && near.closes.length === 1, 'both sides hear of it')
    assert(equalBytes(concat(far.chunks).subarray(1), bytes), 'everything arrived before')
    assert(far.closes[0] === undefined && near.closes[0] === undefined, 'without an error')
    far.stream.close()
  },

  async 'ends with an error on the other side when aborted'(stage, kind) {
    const { near, far } = await stage.open(kind, pattern(1, 0))
    near.stream.abort('the test says so')
    near.stream.abort('again')
    await stage.pair.until(() => far.closes.length === 1, 'the other side hears of it')
    assert(far.closes[0] instanceof Error, 'with an error')
    await stage.settled(near.stream.drained(0))
  },
}

export function networkContract(make: () => Promise<NetworkPair>): Scenario[] {
  const perform = (act: Act) => async (): Promise<void> => {
    const stage = new Stage(await make())
    try {
      await stage.start()
      await act(stage)
    } finally {
      await stage.pair.close()
    }
  }
  const streams = (['control', 'bulk'] as const).flatMap((kind) =>
    Object.entries(ofStreams).map(([name, act]) => ({
      name: `a ${kind} stream ${name}`,
      run: perform(async (stage) => {
        await stage.connect()
        await act(stage, kind)
      }),
    })),
  )
  return [...Object.entries(scenarios).map(([name, act]) => ({ name, run: perform(act) })), ...streams]
}
