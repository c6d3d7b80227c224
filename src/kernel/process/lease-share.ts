// Which ready events are leased together: a lease costs messages and entries of the journal, which short events share.
// Pure. Above: home.ts.
import { INLINE_INPUT_BYTES, LEASED_TOGETHER_MS, MAX_LEASED_TOGETHER } from '../limits.ts'
import type { EventState } from './events.ts'

export class LeaseShare {
  readonly #most: number
  readonly #runsMs: (task: string) => number | undefined
  #count = 0
  #ms = 0
  #bytes = 0
  #alone = false

  /**
   * @param most of the ready events, this many: others are for other nodes.
   * @param runsMs how long events of that task run, mostly; undefined: nobody can tell.
   */
  constructor(most: number, runsMs: (task: string) => number | undefined) {
    this.#most = Math.min(most, MAX_LEASED_TOGETHER)
    this.#runsMs = runsMs
  }

  /** Whether that event may come with those that were taken before; the first may always. */
  take({ task, token }: Pick<EventState, 'task' | 'token'>, inputBytes: number): boolean {
    const ms = this.#runsMs(task)
    // One that was lost before runs alone: it is to be seen what it does to its node.
    const alone = ms === undefined || token > 0
    this.#ms += ms ?? 0
    this.#bytes += inputBytes
    if (this.#count > 0) {
      if (alone || this.#alone || this.#count >= this.#most) return false
      if (this.#ms > LEASED_TOGETHER_MS || this.#bytes > INLINE_INPUT_BYTES) return false
    }
    this.#alone = alone
    this.#count++
    return true
  }
}
