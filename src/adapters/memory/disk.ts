// What one simulated browser profile slot has stored, with the faults that disks have. Outlives the kernel that uses it.
// Above: stores.ts, which gives it meaning.
//
// Without a speed, a write is there at once. With one, writes take time and are made in the order in which they were
// asked for, those that wait together with one flush. A crash finds some of them not made yet: of those, only the first
// few are on the disk afterwards (a torn write). One write is never torn in itself, because the ports promise that.
import { OsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { SeededRandom } from './random.ts'

export type Bytes = Uint8Array<ArrayBuffer>

interface Log {
  snapshotIndex: number
  snapshot: Bytes | undefined
  entries: Bytes[]
}

/** How long flushes take. */
export interface DiskSpeed {
  clock: Clock
  random: SeededRandom
  flushMs: readonly [number, number]
}

interface Waiting {
  make: () => void
  answer: () => void
  writes: boolean
}

export class Disk {
  readonly blocks = new Map<string, Bytes>()
  readonly logs = new Map<string, Log>()
  readonly records = new Map<string, Bytes>()
  quotaBytes: number
  readonly #speed: DiskSpeed | undefined
  #waiting: Waiting[] = []
  #flushing = false
  /** Called instead of the next flush that has something to write. */
  #trap: (() => void) | undefined

  constructor(quotaBytes = Number.POSITIVE_INFINITY, speed?: DiskSpeed) {
    this.quotaBytes = quotaBytes
    this.#speed = speed
  }

  usedBytes(): number {
    let used = 0
    for (const bytes of this.blocks.values()) used += bytes.byteLength
    for (const { snapshot, entries } of this.logs.values()) {
      used += snapshot?.byteLength ?? 0
      for (const entry of entries) used += entry.byteLength
    }
    for (const record of this.records.values()) used += record.byteLength
    return used
  }

  /** @throws {OsError} ENOSPC when there is no room for so many bytes more. */
  demand(moreBytes: number): void {
    if (this.quotaBytes !== Number.POSITIVE_INFINITY && this.usedBytes() + moreBytes > this.quotaBytes) {
      throw new OsError('ENOSPC', 'the storage quota is used up: delete files, or let the browser keep more')
    }
  }

  /** @param pass how the answer reaches whoever asked. */
  async read<T>(what: () => T, pass: (action: () => void) => void): Promise<T> {
    return this.#waiting.length === 0 ? what() : this.#queue(what, pass, false)
  }

  async write(what: () => void, pass: (action: () => void) => void): Promise<void> {
    return this.#speed ? this.#queue(what, pass, true) : what()
  }

  /** The tab dies in the middle of its next write. @param die must call `crash`; undefined: not any more. */
  tearNextWrite(die: (() => void) | undefined): void {
    this.#trap = die
  }

  /** The tab is gone, and hears nothing more. @param keep share of the writes under way, the first ones, that are made. */
  crash(keep: number): void {
    this.#trap = undefined
    const under = this.#waiting.splice(0).filter(({ writes }) => writes)
    for (const { make } of under.slice(0, Math.round(keep * under.length))) make()
  }

  #queue<T>(what: () => T, pass: (action: () => void) => void, writes: boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      let answer = () => {}
      const make = () => {
        try {
          const value = what()
          answer = () => resolve(value)
        } catch (error) {
          answer = () => reject(error)
        }
      }
      this.#waiting.push({ make, answer: () => pass(() => answer()), writes })
      this.#flushLater()
    })
  }

  #flushLater(): void {
    if (this.#flushing || !this.#speed) return
    this.#flushing = true
    const { clock, random, flushMs } = this.#speed
    const [least, most] = flushMs
    clock.setTimer(() => this.#flush(), least + random.float() * (most - least), 'disk')
  }

  #flush(): void {
    this.#flushing = false
    const trap = this.#trap
    if (trap && this.#waiting.some(({ writes }) => writes)) return trap()
    for (const { make, answer } of this.#waiting.splice(0)) {
      make()
      answer()
    }
  }
}
