// What this node remembers of the tree in use: its directories, with which a branch begins, and across a reload its head.
// Above: tree-in-use.ts. Below: copies.ts, the log store.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { errorLine } from '../../base/errors.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import * as limits from '../limits.ts'
import { type TreeHead, treeHead } from '../rpc/bodies.ts'
import type { TreeCopies } from './copies.ts'
import type { TreeNews } from './tree-news.ts'

export interface TreeMemoryOptions {
  /** Under which the head is recorded. */
  record: string
  store: LogStore
  copies: TreeCopies
  news: TreeNews
  log: LogSink
  /** The newest head that was used here. */
  known(): TreeHead
}

export class TreeMemory {
  readonly #options: TreeMemoryOptions
  #complete: TreeHead | undefined
  #copying = false
  #recording = false

  constructor(options: TreeMemoryOptions) {
    this.#options = options
  }

  get copies(): TreeCopies {
    return this.#options.copies
  }

  /** The newest head whose directories are all here: what a branch begins with. */
  get complete(): TreeHead | undefined {
    return this.#complete
  }

  /** So that a branch finds the directories here; file content is fetched when it is read. */
  async copyDirectories(): Promise<void> {
    if (this.#copying) return
    this.#copying = true
    const { known, copies, news, log } = this.#options
    try {
      for (let head = known(); this.#complete?.root !== head.root && !news.closed; head = known()) {
        await copies.directories(head.root, { hints: [head.home] })
        this.#complete = head
      }
    } catch (error) {
      log.log('debug', 'fs', `directories not copied yet: ${errorLine(error)}`)
    } finally {
      this.#copying = false
    }
  }

  /** The head that was used last. One that cannot be read must not keep the tab from starting. */
  async recorded(): Promise<TreeHead | undefined> {
    const { store, log, record } = this.#options
    const bytes = await store.getRecord(record)
    if (!bytes) return undefined
    try {
      return v.parse(treeHead, decode(bytes))
    } catch (error) {
      log.log('error', 'fs', `the recorded head of / cannot be read, beginning anew: ${errorLine(error)}`)
      return undefined
    }
  }

  /** At most every so often: for a cold start, not for durability. */
  recordSoon(): void {
    if (this.#recording) return
    this.#recording = true
    const { store, news, known, log, record: name } = this.#options
    const record = () => {
      this.#recording = false
      store.putRecord(name, encode(known())).catch((error: unknown) => {
        log.log('warn', 'fs', `cannot record the tree's head: ${errorLine(error)}`)
      })
    }
    news.timer(record, limits.TREE_RECORD_MS, 'record tree head')
  }
}
