// The simulated relay as a witness: carries frames between nodes and whoever plays it. Implements ports/witness.ts.
import type { NodeId } from '../../base/ids.ts'
import type { WitnessLink } from '../../ports/witness.ts'

/** Plays the witness: remembers, and answers. */
export interface WitnessHost {
  readonly id: NodeId
  /** @param alive whether the relay has a connection to that node. */
  receive(from: NodeId, frame: Uint8Array, alive: (id: NodeId) => boolean): { to: NodeId; frame: Uint8Array }[]
}

export class MemoryWitness implements WitnessLink {
  readonly #id: () => NodeId | undefined
  readonly #send: (frame: Uint8Array) => void
  #changed: () => void = () => undefined
  #take: (frame: Uint8Array) => void = () => undefined

  constructor(options: { id: () => NodeId | undefined; send: (frame: Uint8Array) => void }) {
    this.#id = options.id
    this.#send = options.send
  }

  get id(): NodeId | undefined {
    return this.#id()
  }

  onChange(listener: () => void): void {
    this.#changed = listener
  }

  onFrame(listener: (frame: Uint8Array) => void): void {
    this.#take = listener
  }

  send(frame: Uint8Array): void {
    if (this.id !== undefined) this.#send(frame)
  }

  /** For the network: the relay came or went. */
  changed(): void {
    this.#changed()
  }

  take(frame: Uint8Array): void {
    this.#take(frame)
  }
}
