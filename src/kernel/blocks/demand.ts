// Which large blocks of files are worth a copy where they are read: those that are read again, by the same node or by others.
import { Latest } from '../../base/latest.ts'
import * as limits from '../limits.ts'
import type { CidText } from './cid.ts'

/** Whether one reading is not enough to keep it. */
export function isLarge(block: Uint8Array): boolean {
  return block.byteLength >= limits.READ_KEPT_BYTES
}

export class Demand {
  /** Those that this node has read, or sent to a reader, lately. */
  readonly #read = new Latest<true>(limits.MAX_READ_BLOCKS)

  /** Somebody reads it. @returns whether anybody has before, lately. */
  read(cid: CidText): boolean {
    const before = this.#read.has(cid)
    this.#read.set(cid, true)
    return before
  }
}
