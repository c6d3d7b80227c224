// Blocks that this node was asked to keep, and for which tree: they are not freed as copies of what was read are. On the
// disk before anybody is told. Above: fs/block-holder.ts. Below: the log store.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { errorLine, OsError } from '../../base/errors.ts'
import { isKid, type Kid } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import { PINS_PER_RECORD } from '../limits.ts'
import type { CidText } from './cid.ts'

/** Which records there are. */
const INDEX = 'pins'
const kid = v.custom<Kid>((value) => typeof value === 'string' && isKid(value))
const index = v.array(v.tuple([v.number(), kid, v.nullable(kid)]))
const stored = v.array(v.string())

/** Pins of one tree that are in one record. */
interface Page {
  number: number
  tree: Kid
  /** The keg that it is a tree of; null: of `/`. */
  keg: Kid | null
  cids: Set<CidText>
  /** It could not be read: it stays as it is on the disk. */
  unread?: boolean
}

export class Pins {
  readonly #store: LogStore
  readonly #log: LogSink
  readonly #trees = new Map<Kid, Map<CidText, Page>>()
  readonly #pages = new Set<Page>()
  #next = 0
  readonly #dirty = new Set<Page>()
  /** Pages came or went since the index was written. */
  #indexDirty = false
  #writing: Promise<void> = Promise.resolve()
  #indexUnread = false

  constructor(store: LogStore, log: LogSink) {
    this.#store = store
    this.#log = log
  }

  /** Reads what was pinned when this tab was open last. What cannot be read must not keep it from starting. */
  async load(): Promise<void> {
    for (const [number, tree, keg] of await this.#loadIndex()) {
      const page: Page = { number, tree, keg, cids: new Set() }
      this.#next = Math.max(this.#next, number + 1)
      this.#pages.add(page)
      try {
        const cids = await this.#store.getRecord(nameOf(page))
        for (const cid of cids ? v.parse(stored, decode(cids)) : []) this.#put(page, cid)
      } catch (error) {
        page.unread = true
        this.#log.log('error', 'blocks', `not all that is kept for others can be read: ${errorLine(error)}`)
      }
    }
    this.#dirty.clear()
  }

  async #loadIndex(): Promise<[number, Kid, Kid | null][]> {
    try {
      const bytes = await this.#store.getRecord(INDEX)
      return bytes ? v.parse(index, decode(bytes)) : []
    } catch (error) {
      this.#indexUnread = true
      this.#log.log('error', 'blocks', `nothing that is kept for others can be read: ${errorLine(error)}`)
      return []
    }
  }

  /** Some of it could not be read: nobody knows what may be freed. */
  get unread(): boolean {
    return this.#indexUnread || [...this.#pages].some((page) => page.unread)
  }

  has(tree: Kid, cid: CidText): boolean {
    return this.#trees.get(tree)?.has(cid) ?? false
  }

  /** Whether it is kept for any tree. */
  hasAny(cid: CidText): boolean {
    for (const known of this.#trees.values()) if (known.has(cid)) return true
    return false
  }

  /** Trees for which something is kept. */
  trees(): Kid[] {
    return [...this.#trees.keys()]
  }

  /** The keg that a tree is of; undefined: of `/`. */
  kegOf(tree: Kid): Kid | undefined {
    for (const page of this.#pages) if (page.tree === tree) return page.keg ?? undefined
    return undefined
  }

  /** Whether something is kept for a tree of that keg. */
  hasKeg(keg: Kid): boolean {
    for (const page of this.#pages) if (page.keg === keg) return true
    return false
  }

  of(tree: Kid): CidText[] {
    return [...(this.#trees.get(tree)?.keys() ?? [])]
  }

  /** Resolves when it is on the disk. @throws {OsError} EIO, ENOSPC: then they are not pinned. */
  async add({ tree, keg }: { tree: Kid; keg?: Kid | undefined }, cids: readonly CidText[]): Promise<void> {
    // What could not be read would be written over.
    if (this.#indexUnread) throw new OsError('EIO', 'what is kept here for others could not be read')
    const fresh = cids.filter((cid) => !this.has(tree, cid))
    for (const cid of fresh) this.#put(this.#open(tree, keg ?? null), cid)
    try {
      await (fresh.length > 0 ? this.#write() : this.#written())
    } catch (error) {
      this.#drop(tree, fresh)
      throw error
    }
    // Somebody else may have asked for the same, and failed.
    if (!cids.every((cid) => this.has(tree, cid))) throw new OsError('EIO', 'not all of it could be recorded')
  }

  /** @throws {OsError} EIO, ENOSPC. */
  async remove(tree: Kid, cids: readonly CidText[]): Promise<void> {
    this.#drop(tree, cids)
    await this.#write()
  }

  #put(page: Page, cid: CidText): void {
    page.cids.add(cid)
    const known = this.#trees.get(page.tree) ?? new Map<CidText, Page>()
    known.set(cid, page)
    this.#trees.set(page.tree, known)
    this.#dirty.add(page)
  }

  #drop(tree: Kid, cids: readonly CidText[]): void {
    const known = this.#trees.get(tree)
    for (const cid of cids) {
      const page = known?.get(cid)
      if (!page) continue
      known?.delete(cid)
      page.cids.delete(cid)
      this.#dirty.add(page)
    }
    if (known?.size === 0) this.#trees.delete(tree)
  }

  /** A page of that tree that has room. */
  #open(tree: Kid, keg: Kid | null): Page {
    for (const page of this.#pages) {
      if (page.tree === tree && page.keg === keg && !page.unread && page.cids.size < PINS_PER_RECORD) return page
    }
    const page: Page = { number: this.#next++, tree, keg, cids: new Set() }
    this.#pages.add(page)
    this.#indexDirty = true
    return page
  }

  /** Resolves when all that is known here is on the disk. */
  #written(): Promise<void> {
    return this.#dirty.size > 0 || this.#indexDirty ? this.#write() : this.#writing
  }

  /** One write after the other: what changes meanwhile is in the next. */
  #write(): Promise<void> {
    const written = this.#writing.catch(() => undefined).then(() => this.#writeAll())
    this.#writing = written
    written.catch(() => undefined) // thrown to whoever asked
    return written
  }

  async #writeAll(): Promise<void> {
    const pages = [...this.#dirty]
    this.#dirty.clear()
    try {
      for (const page of pages) {
        if (page.cids.size > 0) await this.#store.putRecord(nameOf(page), encode([...page.cids]))
      }
      const empty = pages.filter(({ cids }) => cids.size === 0)
      for (const page of empty) this.#indexDirty = this.#pages.delete(page) || this.#indexDirty
      if (this.#indexDirty) {
        await this.#store.putRecord(INDEX, encode([...this.#pages].map(({ number, tree, keg }) => [number, tree, keg])))
        this.#indexDirty = false
      }
      for (const page of empty) await this.#store.removeRecord(nameOf(page))
    } catch (error) {
      for (const page of pages) this.#dirty.add(page)
      throw error
    }
  }
}

function nameOf({ number }: Page): string {
  return `pins ${number}`
}
