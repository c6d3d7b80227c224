// The witness: remembers how far journals go of which only two tabs are left to keep them, so that either may go on
// without the other, and never both. It learns names and numbers, no data. The rules are those of the tabs' own journals
// (src/kernel/journal/raft/witness.ts); this file keeps what the rules remember, and carries messages.
//
// Frames (src/base/frames.ts) both ways, over one stream of each tab: CBOR { group, message }, or { group, retired: true }
// when a journal has ended. What was remembered is on disk before it is acted upon.
import type { Connection, Stream } from '@libp2p/interface'
import { errorLine, OsError } from '../src/base/errors.ts'
import { FrameReader, framed } from '../src/base/frames.ts'
import type { NodeId } from '../src/base/ids.ts'
import {
  decodeWitnessFrame,
  encodeWitnessFrame,
  type RaftMessage,
  type WitnessFrame,
} from '../src/kernel/journal/raft/messages.ts'
import { NEW_WITNESS, Witness } from '../src/kernel/journal/raft/witness.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log.ts'
import type { Counter, Metrics } from './metrics.ts'
import type { WitnessStore } from './witness-store.ts'

export const witnessProtocol = '/brittlestar/witness/1.0.0'
/** Two streams of one peer meet while one replaces the other; a third is a mistake. */
export const witnessStreamsPerPeer = 3

export interface WitnessesOptions {
  store: WitnessStore
  /** Whether the tab is connected now. */
  alive(peer: string): boolean
  limits: Limits
  log: Log
  metrics: Metrics
}

export class Witnesses {
  readonly #options: WitnessesOptions
  readonly #machines = new Map<string, Witness>()
  /** The stream over which each tab is answered. */
  readonly #streams = new Map<string, Stream>()
  readonly #dropped: Counter

  constructor(options: WitnessesOptions) {
    this.#options = options
    const { metrics, store } = options
    metrics.gauge('brittlestar_witnessed_journals', 'Journals of which this relay is the third vote.', () => store.size)
    this.#dropped = metrics.counter('brittlestar_witness_dropped_total', 'Streams of tabs that broke the protocol.')
  }

  /** The protocol's handler: call synchronously with the stream. */
  accept(stream: Stream, connection: Connection): void {
    const peer = connection.remotePeer.toString()
    const before = this.#streams.get(peer)
    this.#streams.set(peer, stream)
    before?.abort(new OsError('ECONNRESET', 'another stream has taken its place'))
    const reader = new FrameReader(this.#options.limits.witnessFrameBytes)
    stream.addEventListener('message', ({ data }) => {
      try {
        for (const bytes of reader.push(data.subarray())) this.#received(peer, bytes)
      } catch (error) {
        this.#drop(peer, stream, errorLine(error))
      }
    })
    const gone = () => {
      if (this.#streams.get(peer) === stream) this.#streams.delete(peer)
    }
    stream.addEventListener('close', gone)
    stream.addEventListener('remoteCloseWrite', () => {
      gone()
      stream.abort(new OsError('ECONNRESET', 'the tab closed its side'))
    })
  }

  close(): void {
    for (const stream of this.#streams.values()) stream.abort(new OsError('ECONNRESET', 'the relay is shutting down'))
    this.#streams.clear()
  }

  /** @throws {OsError} EPROTO. */
  #received(peer: string, bytes: Uint8Array): void {
    const { store, log, limits } = this.#options
    const said = decoded(bytes)
    const name = said.group
    if ('retired' in said) {
      this.#machines.delete(name)
      return this.#logged(store.forget(name))
    }
    const known = store.get(name)
    // Whoever is refused has two tabs without a third vote, as without a relay.
    if (!known && store.size >= limits.witnessedJournals && !this.#makeRoom()) {
      return log.debug('too many journals to witness', { peer })
    }
    const machine = this.#machines.get(name) ?? new Witness(known ?? NEW_WITNESS, (id) => this.#options.alive(id))
    const before = machine.state
    const answers = machine.step(peer as NodeId, said.message, performance.now())
    const stored = machine.state === before ? store.settled() : store.put(name, machine.state)
    // Of names that cost nothing to invent, only those with something to remember are kept.
    if (store.get(name)) this.#machines.set(name, machine)
    stored.then(
      () => {
        for (const { to, message } of answers) this.#send(to, name, message)
      },
      (error: unknown) => {
        // What it remembers and what is on disk differ: it says nothing more until it has read the disk again.
        this.#machines.delete(name)
        log.error('the witness cannot write', { error: errorLine(error) })
      },
    )
  }

  /**
   * Journals that count on it no longer are remembered as long as there is room: a tab that comes back with members of
   * long ago must not be told that it may lead. @returns whether one was forgotten.
   */
  #makeRoom(): boolean {
    const { store } = this.#options
    const name = store.leastNeeded
    if (name === undefined) return false
    this.#machines.delete(name)
    this.#logged(store.forget(name))
    return true
  }

  #logged(done: Promise<void>): void {
    done.catch((error: unknown) => this.#options.log.error('the witness cannot write', { error: errorLine(error) }))
  }

  #send(peer: string, name: string, message: RaftMessage): void {
    const stream = this.#streams.get(peer)
    if (!stream) return
    try {
      stream.send(framed(encodeWitnessFrame({ group: name, message })))
      if (stream.writeBufferLength > this.#options.limits.rendezvousBacklogBytes) throw new OsError('EPIPE', 'slow')
    } catch (error) {
      this.#drop(peer, stream, errorLine(error))
    }
  }

  #drop(peer: string, stream: Stream, reason: string): void {
    this.#dropped.add({})
    this.#options.log.warn('dropped a witness stream', { peer, reason })
    if (this.#streams.get(peer) === stream) this.#streams.delete(peer)
    stream.abort(new OsError('EPROTO', reason))
  }
}

function decoded(bytes: Uint8Array): WitnessFrame {
  try {
    return decodeWitnessFrame(bytes)
  } catch (cause) {
    throw new OsError('EPROTO', `a malformed frame: ${errorLine(cause)}`, { cause })
  }
}
