// The journal of one member in memory: a snapshot and the entries after it, which of them are stored, and the
// configurations among them. It enforces that what is committed is never replaced.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { assert } from '../../../base/assert.ts'
import { MAX_APPEND_BYTES, MAX_APPEND_ENTRIES } from '../../limits.ts'
import { type GroupConfig, groupConfig } from './config.ts'
import type { Entry, Snapshot } from './messages.ts'

export function configEntry(term: number, config: GroupConfig): Entry {
  return { term, kind: 'config', bytes: encode(config) }
}

export class RaftLog {
  #snapshot: Snapshot
  #entries: Entry[]
  #bytes: number
  /** Configurations of the entries, oldest first. */
  #configs: { index: number; config: GroupConfig }[] = []
  /** All up to here are on stable storage. */
  #stable: number
  /** All up to here have been handed over to be stored. */
  #handed: number

  constructor(snapshot: Snapshot, entries: readonly Entry[]) {
    this.#snapshot = snapshot
    this.#entries = [...entries]
    this.#bytes = bytesOf(entries)
    this.#findConfigs(snapshot.index + 1)
    this.#stable = this.#handed = this.lastIndex
  }

  get snapshot(): Snapshot {
    return this.#snapshot
  }

  get lastIndex(): number {
    return this.#snapshot.index + this.#entries.length
  }

  /** Bytes of the entries after the snapshot. */
  get bytes(): number {
    return this.#bytes
  }

  get lastTerm(): number {
    return this.#entries.at(-1)?.term ?? this.#snapshot.term
  }

  /** Whether it has what another lacks that ends so: who keeps that one must not be elected. */
  isAheadOf({ lastIndex, lastTerm }: { lastIndex: number; lastTerm: number }): boolean {
    return lastTerm < this.lastTerm || (lastTerm === this.lastTerm && lastIndex < this.lastIndex)
  }

  get stable(): number {
    return this.#stable
  }

  /** The newest configuration, committed or not: it holds as soon as it is in the journal. */
  get config(): GroupConfig {
    return this.#configs.at(-1)?.config ?? this.#snapshot.config
  }

  get configIndex(): number {
    return this.#configs.at(-1)?.index ?? this.#snapshot.index
  }

  /** The configuration before the newest. */
  get configBefore(): GroupConfig {
    return this.#configs.at(-2)?.config ?? this.#snapshot.config
  }

  /** Undefined before the snapshot and after the end. */
  termAt(index: number): number | undefined {
    if (index === this.#snapshot.index) return this.#snapshot.term
    return this.#entries[index - this.#snapshot.index - 1]?.term
  }

  entryAt(index: number): Entry | undefined {
    return this.#entries[index - this.#snapshot.index - 1]
  }

  /** Entries from `index` on, as many as one message holds. */
  slice(index: number): Entry[] {
    const start = index - this.#snapshot.index - 1
    let end = start
    for (let bytes = 0; end < this.#entries.length && end - start < MAX_APPEND_ENTRIES; end++) {
      bytes += (this.#entries[end] as Entry).bytes.byteLength
      if (bytes > MAX_APPEND_BYTES && end > start) break
    }
    return this.#entries.slice(start, end)
  }

  append(entries: readonly Entry[]): void {
    const first = this.lastIndex + 1
    this.#entries.push(...entries)
    this.#bytes += bytesOf(entries)
    this.#findConfigs(first)
  }

  /** Takes a leader's entries after `prevIndex`: those that are here stay, the first that differs replaces the rest. */
  merge(prevIndex: number, entries: readonly Entry[], commit: number): void {
    for (const [i, entry] of entries.entries()) {
      const index = prevIndex + 1 + i
      if (index <= this.#snapshot.index || this.termAt(index) === entry.term) continue
      if (index <= this.lastIndex) {
        assert(index > commit, `entry ${index} is committed and cannot be replaced`)
        this.#truncate(index)
      }
      return this.append(entries.slice(i))
    }
  }

  /** What has to be stored next; `from` ≤ stored entries replace them. */
  takeUnstored(): { from: number; entries: Entry[] } {
    const from = this.#handed + 1
    const entries = this.#entries.slice(from - this.#snapshot.index - 1)
    this.#handed = this.lastIndex
    return { from, entries }
  }

  /** What was handed over last is on stable storage, but for what was replaced since. */
  stored(): void {
    this.#stable = Math.max(this.#stable, this.#handed)
  }

  /** Replaces everything up to `index`. */
  compact(index: number, data: Uint8Array): void {
    const term = this.termAt(index)
    assert(term !== undefined && index <= this.#stable, `cannot compact up to ${index}`)
    const config = this.#configs.findLast((each) => each.index <= index)?.config ?? this.#snapshot.config
    this.#entries = this.#entries.slice(index - this.#snapshot.index)
    this.#bytes = bytesOf(this.#entries)
    this.#snapshot = { index, term, config, data }
    this.#configs = this.#configs.filter((each) => each.index > index)
  }

  /** A leader's snapshot takes the place of all that is here, but for entries after it that agree with it. */
  install(snapshot: Snapshot): void {
    const agrees = this.termAt(snapshot.index) === snapshot.term
    this.#entries = agrees ? this.#entries.slice(snapshot.index - this.#snapshot.index) : []
    this.#configs = agrees ? this.#configs.filter((each) => each.index > snapshot.index) : []
    this.#bytes = bytesOf(this.#entries)
    this.#snapshot = snapshot
    this.#handed = agrees ? Math.max(this.#handed, snapshot.index) : snapshot.index
    this.#stable = agrees ? Math.max(this.#stable, snapshot.index) : snapshot.index
  }

  #truncate(index: number): void {
    this.#entries.length = index - this.#snapshot.index - 1
    this.#bytes = bytesOf(this.#entries)
    this.#configs = this.#configs.filter((each) => each.index < index)
    this.#handed = Math.min(this.#handed, index - 1)
    this.#stable = Math.min(this.#stable, index - 1)
  }

  #findConfigs(from: number): void {
    for (let index = from; index <= this.lastIndex; index++) {
      const entry = this.entryAt(index)
      if (entry?.kind === 'config') this.#configs.push({ index, config: v.parse(groupConfig, decode(entry.bytes)) })
    }
  }
}

function bytesOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
}
