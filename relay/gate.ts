// Who may open another WebSocket: a cap in all, a cap per address, and a rate per address. Pure bookkeeping.
// It replaces libp2p's own limits, which refuse a class behind one NAT.
import type { Limits } from './limits.ts'

export type Refusal = 'total' | 'address' | 'rate'

export interface GateOptions {
  maxPeers: number
  limits: Pick<Limits, 'connectionsPerAddress' | 'connectBurstPerAddress' | 'connectPerSecondPerAddress'>
  now?: () => number
}

interface Address {
  open: number
  tokens: number
  refilledAt: number
}

export class Gate {
  readonly #options: GateOptions
  readonly #now: () => number
  readonly #addresses = new Map<string, Address>()
  #open = 0

  constructor(options: GateOptions) {
    this.#options = options
    // Not the wall clock: set back by an hour, as by the first NTP answer, it would refuse everybody for an hour.
    this.#now = options.now ?? (() => performance.now())
  }

  get open(): number {
    return this.#open
  }

  /** @returns why not, or a function that gives the place back (calling it twice is harmless). */
  enter(address: string): Refusal | (() => void) {
    const { maxPeers, limits } = this.#options
    if (this.#open >= maxPeers) return 'total'
    const entry = this.#refilled(address)
    if (entry.open >= limits.connectionsPerAddress) return 'address'
    if (entry.tokens < 1) return 'rate'
    entry.tokens--
    entry.open++
    this.#open++
    this.#addresses.set(address, entry)
    let inside = true
    return () => {
      if (!inside) return
      inside = false
      entry.open--
      this.#open--
    }
  }

  /** Forgets addresses without connections whose bucket is full again: the map stays as small as the traffic. */
  prune(): void {
    for (const [address, { open }] of this.#addresses) {
      if (open === 0 && this.#refilled(address).tokens >= this.#options.limits.connectBurstPerAddress) {
        this.#addresses.delete(address)
      }
    }
  }

  #refilled(address: string): Address {
    const { connectBurstPerAddress: burst, connectPerSecondPerAddress: perSecond } = this.#options.limits
    const now = this.#now()
    const entry = this.#addresses.get(address) ?? { open: 0, tokens: burst, refilledAt: now }
    entry.tokens = Math.min(burst, entry.tokens + ((now - entry.refilledAt) / 1000) * perSecond)
    entry.refilledAt = now
    return entry
  }
}
