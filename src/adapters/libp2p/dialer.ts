// Dials peers: at most one attempt per peer, a bounded number at once, and never two connections from two tabs that
// dial each other at the same moment. When to try again is the kernel's business (membership).
//
// Simultaneous dials are settled while they signal: the smaller peer id is the dialler. It refuses the signalling of
// the other side while it dials itself; the larger one gives its own dial up when it is dialled.
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { orAborted } from '../../base/abort.ts'
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import * as limits from './limits.ts'

export interface DialerOptions {
  self: NodeId
  node: Pick<Libp2p, 'dial'>
  isDirect(peer: NodeId): boolean
  /** Addresses to dial, the likeliest first; empty when there is no way. */
  addresses(peer: NodeId): Promise<Multiaddr[]>
}

interface Attempt {
  readonly done: Promise<void>
  readonly give: AbortController
  waiters: number
  dialling: boolean
  /** Aborts the dial alone: the peer dials us. */
  yield: (() => void) | undefined
}

export class Dialer {
  readonly #options: DialerOptions
  readonly #attempts = new Map<NodeId, Attempt>()
  /** Peers whose signalling we are answering, and the timer that forgets them. */
  readonly #inbound = new Map<NodeId, ReturnType<typeof setTimeout>>()
  /** Who wants to know that something about a peer has changed. */
  readonly #watchers = new Map<NodeId, Set<() => void>>()
  readonly #slots: (() => void)[] = []
  #running = 0

  constructor(options: DialerOptions) {
    this.#options = options
  }

  /** For the connection gater: everything that is not dialled here is refused. */
  isDialling(peer: string): boolean {
    return this.#attempts.get(peer as NodeId)?.dialling === true
  }

  async connect(peer: NodeId, { signal }: { signal: AbortSignal }): Promise<void> {
    if (signal.aborted) throw canceled(peer)
    if (this.#options.isDirect(peer)) return
    const attempt = this.#attempts.get(peer) ?? this.#begin(peer)
    attempt.waiters++
    try {
      await orAborted(attempt.done, signal, () => canceled(peer))
    } finally {
      if (--attempt.waiters === 0) attempt.give.abort()
    }
  }

  /** A direct connection to the peer has opened. */
  connected(peer: NodeId): void {
    this.#forgetInbound(peer)
    this.#changed(peer)
  }

  cancel(peer: NodeId): void {
    this.#attempts.get(peer)?.give.abort()
  }

  close(): void {
    for (const attempt of this.#attempts.values()) attempt.give.abort()
    for (const peer of [...this.#inbound.keys()]) this.#forgetInbound(peer)
  }

  /** A peer wants to connect to us. @returns whether it may. */
  signalled(connection: Connection, stream: Stream): boolean {
    const peer = connection.remotePeer.toString() as NodeId
    const attempt = this.#attempts.get(peer)
    if (attempt?.dialling && this.#options.self < peer) return false
    this.#forgetInbound(peer)
    this.#inbound.set(
      peer,
      setTimeout(() => this.#forgetInbound(peer), limits.INBOUND_WAIT_MS),
    )
    stream.addEventListener('close', ({ error }) => error && this.#forgetInbound(peer))
    attempt?.yield?.()
    this.#changed(peer)
    return true
  }

  #begin(peer: NodeId): Attempt {
    const give = new AbortController()
    const done = Promise.resolve().then(() => this.#attempt(peer, attempt, give.signal))
    const attempt: Attempt = { done, give, waiters: 0, dialling: false, yield: undefined }
    this.#attempts.set(peer, attempt)
    const forget = (): void => {
      if (this.#attempts.get(peer) === attempt) this.#attempts.delete(peer)
    }
    done.then(forget, forget)
    return attempt
  }

  async #attempt(peer: NodeId, attempt: Attempt, signal: AbortSignal): Promise<void> {
    await this.#slot(peer, signal)
    try {
      await this.#untilSettled(peer, limits.INBOUND_WAIT_MS, signal)
      if (this.#options.isDirect(peer)) return
      try {
        await this.#dial(peer, attempt, signal)
      } catch (error) {
        if (signal.aborted) throw canceled(peer)
        // Perhaps it failed because the peer dials us, or we yielded to it.
        if (!this.#options.isDirect(peer) && !this.#inbound.has(peer))
          await this.#untilChanged(peer, this.#yieldMs(peer, error), signal)
        await this.#untilSettled(peer, limits.INBOUND_WAIT_MS, signal)
        if (!this.#options.isDirect(peer)) throw error
      }
    } finally {
      this.#running--
      this.#slots.shift()?.()
    }
  }

  async #dial(peer: NodeId, attempt: Attempt, signal: AbortSignal): Promise<void> {
    const addresses = await this.#options.addresses(peer)
    if (addresses.length === 0) throw new OsError('EHOSTUNREACH', `Cannot connect to ${peer}: no relay connects us`)
    const own = new AbortController()
    const timeout = AbortSignal.timeout(limits.DIAL_MS)
    attempt.dialling = true
    attempt.yield = () => own.abort()
    try {
      await this.#options.node.dial(addresses, { signal: AbortSignal.any([signal, own.signal, timeout]) })
    } catch (cause) {
      const code = timeout.aborted ? 'ETIMEDOUT' : 'EHOSTUNREACH'
      throw new OsError(code, `Cannot connect to ${peer}: ${errorLine(cause)}`, { cause })
    } finally {
      attempt.dialling = false
      attempt.yield = undefined
    }
    if (!this.#options.isDirect(peer)) {
      throw new OsError('EHOSTUNREACH', `Cannot connect to ${peer}: only a relayed connection could be had`)
    }
  }

  /** How long the peer's signalling may still be on its way to us after our own dial failed. */
  #yieldMs(peer: NodeId, error: unknown): number {
    return this.#options.self > peer && !isOsError(error, 'ETIMEDOUT') ? limits.YIELD_WAIT_MS : 0
  }

  /** Resolves when the peer is connected, or no longer dials us. */
  async #untilSettled(peer: NodeId, timeoutMs: number, signal: AbortSignal): Promise<void> {
    while (this.#inbound.has(peer) && !this.#options.isDirect(peer)) await this.#untilChanged(peer, timeoutMs, signal)
  }

  #untilChanged(peer: NodeId, timeoutMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const watchers = this.#watchers.get(peer) ?? new Set()
    watchers.add(resolve)
    this.#watchers.set(peer, watchers)
    const timer = setTimeout(resolve, timeoutMs)
    return orAborted(promise, signal, () => canceled(peer)).finally(() => {
      clearTimeout(timer)
      watchers.delete(resolve)
      if (watchers.size === 0) this.#watchers.delete(peer)
    })
  }

  #changed(peer: NodeId): void {
    for (const watcher of [...(this.#watchers.get(peer) ?? [])]) watcher()
  }

  #forgetInbound(peer: NodeId): void {
    clearTimeout(this.#inbound.get(peer))
    if (this.#inbound.delete(peer)) this.#changed(peer)
  }

  async #slot(peer: NodeId, signal: AbortSignal): Promise<void> {
    if (this.#running < limits.MAX_DIALS) {
      this.#running++
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    const take = (): void => {
      this.#running++
      resolve()
    }
    this.#slots.push(take)
    try {
      await orAborted(promise, signal, () => canceled(peer))
    } catch (error) {
      const index = this.#slots.indexOf(take)
      if (index >= 0) this.#slots.splice(index, 1)
      else {
        this.#running--
        this.#slots.shift()?.()
      }
      throw error
    }
  }
}

function canceled(peer: NodeId): OsError {
  return new OsError('ECANCELED', `Connecting to ${peer} was cancelled`)
}
