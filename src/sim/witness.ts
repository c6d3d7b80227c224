// The relay's witness in simulations: the same rules as relay/witness.ts, with a memory that survives the relay.
import type { WitnessHost } from '../adapters/memory/witness.ts'
import type { NodeId } from '../base/ids.ts'
import { decodeWitnessFrame, encodeWitnessFrame } from '../kernel/journal/raft/messages.ts'
import { NEW_WITNESS, Witness, type WitnessState } from '../kernel/journal/raft/witness.ts'
import type { Clock } from '../ports/clock.ts'

export class SimWitness implements WitnessHost {
  readonly id = '12D3KooWre1ayre1ayre1ay' as NodeId
  readonly #clock: Clock
  readonly #states = new Map<string, WitnessState>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Journals that it remembers. */
  get size(): number {
    return this.#states.size
  }

  receive(from: NodeId, frame: Uint8Array, alive: (id: NodeId) => boolean) {
    const said = decodeWitnessFrame(frame)
    const { group } = said
    if ('retired' in said) {
      this.#states.delete(group)
      return []
    }
    // A machine for each frame: it forgets who leads, as after a restart, and keeps what it has promised.
    const machine = new Witness(this.#states.get(group) ?? NEW_WITNESS, alive)
    const answers = machine.step(from, said.message, this.#clock.nowMs())
    this.#states.set(group, machine.state)
    return answers.map((answer) => ({ to: answer.to, frame: encodeWitnessFrame({ group, message: answer.message }) }))
  }
}
