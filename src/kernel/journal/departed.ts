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
const stored = v.array(groupName)

export class Departed {
  readonly #store: LogStore
  readonly #log: LogSink
  /** The latest last. */
  readonly #names = new Set<string>()
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
      for (const name of bytes ? v.parse(stored, decode(bytes)) : []) this.#names.add(name)
    } catch (error) {
      this.#log.log('error', 'journal', `journals of earlier cannot be read: ${errorLine(error)}`)
    }
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** Resolves when it is on the disk; a disk that fails is logged. */
  add(name: string): Promise<void> {
    this.#names.delete(name)
    this.#names.add(name)
    for (const oldest of this.#names) if (this.#names.size > MAX_DEPARTED) this.#names.delete(oldest)
    return this.#write()
  }

  /** It is kept here again. */
  delete(name: string): void {
    if (this.#names.delete(name)) void this.#write()
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
        await this.#store.putRecord(RECORD, encode([...this.#names]))
      } catch (error) {
        this.#log.log('warn', 'journal', `cannot record which journals are gone: ${errorLine(error)}`)
      }
    }
  }
}
