// Port: a party that is no node of the cluster and remembers how far journals go (the relay). It is the third vote where
// only two nodes keep a journal. Real: adapters/libp2p, relay/witness.ts; simulated: sim.
import type { NodeId } from '../base/ids.ts'

export interface WitnessLink {
  /** Its id, from which whoever lost its memory has another; undefined while it cannot be reached. */
  readonly id: NodeId | undefined
  /** Told when `id` has changed. */
  onChange(listener: () => void): void
  /** Sends a frame; it may be lost, and the answer too. */
  send(frame: Uint8Array): void
  /** Frames from the witness that `id` tells, of at most WITNESS_FRAME_BYTES. */
  onFrame(listener: (frame: Uint8Array) => void): void
}

/** A message about one journal: its name, two ids and some numbers. */
export const WITNESS_FRAME_BYTES = 4 * 1024
