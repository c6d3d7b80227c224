// Port: links to other nodes. Real: adapters/libp2p over adapters/rtc; simulated: adapters/memory.
// It finds candidates, connects and carries bytes. It does not know who belongs to the cluster, who is alive
// or what the bytes mean: kernel/membership and kernel/rpc do.
import type { NodeId } from '../base/ids.ts'
import type { WitnessLink } from './witness.ts'

/** The two long-lived streams that each pair of nodes keeps: small calls, and bulk data beside them. */
export type StreamKind = 'control' | 'bulk'

export type RelayState = 'offline' | 'connecting' | 'connected'

export type NetworkEvent =
  /** Somebody (relay or DHT) says that this peer exists. A hint: may be stale or a lie. */
  | { type: 'found'; peer: NodeId; via: 'relay' | 'dht' }
  /** The relay has said which others are here. Comes once after each connection to it. */
  | { type: 'listed'; peers: readonly NodeId[] }
  /** The relay says that this peer's connection to it closed, a hint; or what its page has said, which can be proved. */
  | { type: 'hint-gone'; peer: NodeId; said?: string | undefined }
  | { type: 'connected'; peer: NodeId; direct: boolean }
  | { type: 'disconnected'; peer: NodeId; reason: string }
  /** The transport stopped (false) or resumed (true) hearing from the peer's network stack (ICE consent). */
  | { type: 'reachable'; peer: NodeId; reachable: boolean }
  | { type: 'relay'; state: RelayState; detail: string }

/**
 * A reliable, ordered byte stream. Chunks may arrive split or joined in any way.
 * `onData`, `onClose` are set once by whoever receives the stream, synchronously; nothing is lost before that.
 */
export interface ByteStream {
  /**
   * Queues bytes, which travel together where the network can carry so many at once. The caller keeps no right to change
   * them. @throws {OsError} EPIPE after close.
   */
  send(...parts: readonly Uint8Array[]): void
  /** Bytes queued here and not yet handed to the network. */
  readonly bufferedBytes: number
  /** Resolves when `bufferedBytes` has fallen to `belowBytes` or the stream has closed. */
  drained(belowBytes: number): Promise<void>
  onData(listener: (chunk: Uint8Array) => void): void
  /** Called once, with the cause when it was not an orderly close. */
  onClose(listener: (error: Error | undefined) => void): void
  /** Flushes, then closes. Idempotent. */
  close(): void
  /** Closes now; queued bytes are lost. Idempotent. */
  abort(reason: string): void
}

export interface Network {
  readonly self: NodeId
  /** The relay as a witness of journals. */
  readonly witness: WitnessLink
  on(listener: (event: NetworkEvent) => void): () => void
  /** Who takes streams that peers open. Set before `start`. */
  onStream(listener: (peer: NodeId, kind: StreamKind, stream: ByteStream) => void): void
  /** Begins to listen and to reach for the relay; resolves when it can dial, whether or not a relay answers. */
  start(): Promise<void>
  /**
   * Makes sure that there is a direct connection. Resolves at once if there is one.
   * @throws {OsError} EHOSTUNREACH when it cannot be had; ETIMEDOUT; ECANCELED.
   */
  connect(peer: NodeId, options: { signal: AbortSignal }): Promise<void>
  /**
   * How many packets have come from the peer's network stack, which sends some also where its tab is busy: it answers whatever
   * is sent to it. Undefined where nobody can tell: no direct connection, or a transport that does not count. Takes as long as
   * a page needs that may be busy. Never rejects.
   */
  heardPackets(peer: NodeId): Promise<number | undefined>
  /** Closes all connections to the peer. Idempotent. */
  disconnect(peer: NodeId): void
  open(peer: NodeId, kind: StreamKind, options: { signal: AbortSignal }): Promise<ByteStream>
  /** The page woke, or the machine came online: check the relay and redial now rather than at the next timer. */
  wake(): void
  close(): Promise<void>
}
