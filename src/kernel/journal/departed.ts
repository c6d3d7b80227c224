// Journals that this node kept and was told to forget. What it promised for them is gone with them, so it must not vote for
// anybody who comes back with a copy of long ago: two such nodes could lead what goes on, or has ended, without them.
// Above: groups.ts. Below: the log store.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { errorLine } from '../../base/errors.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import { MAX_DEPARTED } from '../limits.ts'
import { groupName } from './raft/messages.ts'

const RECORD = 'journals-departed'
/** With the term of its election then, but in records from before that was noted. */
const term = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const stored = v.array(
  v.union([groupName, v.strictTuple([groupName, term]), v.strictTuple([groupName, term, v.literal('ended')])]),
)

export class Departed {
  readonly #store: LogStore
  readonly #log: LogSink
  /** Their terms by name, the latest last. */
  readonly #terms = new Map<string, number>()
  /** Of those, the ones that this node ended everywhere. */
  readonly #ended = new Set<string>()
  #writing: Promise<void> | undefined
  #dirty = false

  constructor(store: LogStore, log: LogSink) {
    this.#store = store
    this.#log = log
  }

  /** Reads what was remembered. One that cannot be read must not keep the tab from starting. */
  async load(): Promise<void> {
    try {
      const bytes = await this.#store.getRecord(RECORD)
      for (const each of bytes ? v.parse(stored, decode(bytes)) : []) {
        const [name, term, ended] = typeof each === 'string' ? [each, 0] : each
        this.#terms.set(name, term)
        if (ended) this.#ended.add(name)
      }
    } catch (error) {
      this.#log.log('error', 'journal', `journals of earlier cannot be read: ${errorLine(error)}`)
    }
  }

  has(name: string): boolean {
    return this.#terms.has(name)
  }

  ended(name: string): boolean {
    return this.#ended.has(name)
  }

  /** The highest term that was known of it: whoever leads in an older one has been deposed. 0 for one that was not kept here. */
  termOf(name: string): number {
    return this.#terms.get(name) ?? 0
  }

  /** Resolves when it is on the disk; a disk that fails is logged. */
  add(name: string, term: number, ended = false): Promise<void> {
    if (ended) this.#ended.add(name)
    const known = this.termOf(name)
    this.#terms.delete(name)
    this.#terms.set(name, Math.max(known, term))
    for (const oldest of this.#terms.keys()) if (this.#terms.size > MAX_DEPARTED) this.#forget(oldest)
    return this.#write()
  }

  /** It is kept here again. */
  delete(name: string): void {
    if (this.#forget(name)) void this.#write()
  }

  #forget(name: string): boolean {
    this.#ended.delete(name)
    return this.#terms.delete(name)
  }

  /** Many that come at once share a write. */
  #write(): Promise<void> {
    this.#dirty = true
    this.#writing ??= this.#writeAll().finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  async #writeAll(): Promise<void> {
    await Promise.resolve()
    while (this.#dirty) {
      this.#dirty = false
      try {
        await this.#store.putRecord(
          RECORD,
          encode([...this.#terms].map((each) => (this.#ended.has(each[0]) ? [...each, 'ended'] : each))),
        )
      } catch (error) {
        this.#log.log('warn', 'journal', `cannot record which journals are gone: ${errorLine(error)}`)
      }
    }
  }
}
