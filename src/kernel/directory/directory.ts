// Names to records over the DHT port: who keeps a process or the tree, who provides a file, where a peer and its
// device are. Above: blocks, processes, membership. Below: the DHT, the signer.
//
// A record is signed by the node that publishes it and carries a sequence number of its own; of two valid records
// for one key the one with the higher number wins. Records expire, are republished before that, and the first
// valid answer of a look-up is good enough: callers verify what they then reach.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { errorLine, OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { Dht } from '../../ports/dht.ts'
import type { LogSink } from '../../ports/log.ts'

/** Peers (node id → addresses and device), homes (KID → node), providers (CID → nodes), devices (id → nodes). */
export const namespaces = ['bs-peer', 'bs-home', 'bs-prov', 'bs-dev'] as const
export type Namespace = (typeof namespaces)[number]

/** kad-dht drops values after 48 h; ours say themselves when they end. */
export const RECORD_TTL_MS = 24 * 3600 * 1000
const REPUBLISH_MS = RECORD_TTL_MS / 2
/** Clocks of laptops are off by minutes, not by more. */
const CLOCK_SKEW_MS = 15 * 60 * 1000
const MAX_RECORD_BYTES = 8 * 1024
/** Records of our own that are kept alive; the oldest is given up beyond. */
const MAX_PUBLISHED = 10_000
/** Answers remembered, and for how long. */
const MAX_CACHED = 4096
const CACHE_MS = 30_000
const LOOKUP_TIMEOUT_MS = 5_000
/**
 * What can wait does so until nothing more has come for so long: a record costs every node that stores it two new streams,
 * which is more than a small file costs them. Of more than somebody writes by hand only the latest are said: who keeps
 * files is found through the home of their tree.
 */
const QUIET_MS = 200
/** Where it never is quiet, some are said all the same. */
const NEVER_QUIET_MS = 5_000
const MAX_WAITING = 16

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const name = v.pipe(v.string(), v.minLength(1), v.maxLength(200), v.regex(/^[\w.-]+$/))
const body = v.strictObject({
  v: v.literal(1),
  ns: v.picklist(namespaces),
  name,
  node: v.pipe(v.string(), v.maxLength(100)),
  seq: int,
  expiresMs: int,
  nodes: v.pipe(v.array(v.pipe(v.string(), v.maxLength(100))), v.maxLength(32)),
})
export type DirectoryRecord = v.InferOutput<typeof body>
const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array)
const envelope = v.strictTuple([bytes, bytes])

interface Published {
  record: DirectoryRecord
  dueMs: number
}

export class Directory {
  readonly #dht: Dht
  readonly #signer: Signer
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #published = new Map<string, Published>()
  readonly #cache = new Map<string, { record: DirectoryRecord; untilMs: number }>()
  #tail: Promise<unknown> = Promise.resolve()
  /** What is published when nothing else is, the latest last. */
  readonly #waiting = new Map<string, readonly NodeId[]>()
  /** Until it is quiet, and since when. */
  #quiet: Timer | undefined
  #waitsSinceMs = 0
  #publishing = false
  #timer: Timer | undefined
  #closed = false

  constructor(options: { dht: Dht; signer: Signer; clock: Clock; log: LogSink }) {
    this.#dht = options.dht
    this.#signer = options.signer
    this.#clock = options.clock
    this.#log = options.log
    this.#dht.setRules({
      validate: async (key, value) => {
        await this.#open(key, value)
      },
      select: (_key, values) => newest(values),
    })
  }

  /**
   * Says that `nodes` answer for this name, and keeps saying it.
   * @returns how many other nodes stored the record.
   */
  async publish(ns: Namespace, key: string, nodes: readonly NodeId[]): Promise<number> {
    // One after the other: a shell that writes a thousand files must not start a thousand queries.
    const put = this.#tail.then(() => this.#put(this.#record(ns, key, nodes)))
    this.#tail = put.catch(() => 0)
    return put
  }

  /** The same of one of perhaps many, as files are: in a moment, unless too many come after it. */
  publishLater(ns: Namespace, key: string, nodes: readonly NodeId[]): void {
    if (this.#closed) return
    const path = `/${ns}/${key}`
    this.#waiting.delete(path)
    this.#waiting.set(path, nodes)
    const [oldest] = this.#waiting.keys()
    if (this.#waiting.size > MAX_WAITING && oldest !== undefined) this.#waiting.delete(oldest)
    const nowMs = this.#clock.nowMs()
    if (!this.#quiet) this.#waitsSinceMs = nowMs
    else if (nowMs - this.#waitsSinceMs >= NEVER_QUIET_MS) return
    else this.#quiet.cancel()
    const due = () => {
      this.#quiet = undefined
      if (!this.#publishing) void this.#publishWaiting()
    }
    this.#quiet = this.#clock.setTimer(due, QUIET_MS, 'publish later')
  }

  async #publishWaiting(): Promise<void> {
    this.#publishing = true
    while (!this.#quiet && !this.#closed) {
      const [next] = this.#waiting
      if (!next) break
      const [path, nodes] = next
      this.#waiting.delete(path)
      const [, ns, key] = path.split('/') as [string, Namespace, string]
      await this.publish(ns, key, nodes).catch((error: unknown) => {
        this.#log.log('debug', 'directory', `cannot publish ${path} yet: ${errorLine(error)}`)
      })
    }
    this.#publishing = false
  }

  #record(ns: Namespace, key: string, nodes: readonly NodeId[]): DirectoryRecord {
    const wallMs = this.#clock.wallMs()
    const before = this.#published.get(`/${ns}/${key}`)
    const seq = Math.max(wallMs, (before?.record.seq ?? 0) + 1)
    const { nodeId } = this.#signer
    return { v: 1, ns, name: key, node: nodeId, seq, expiresMs: wallMs + RECORD_TTL_MS, nodes: [...nodes] }
  }

  /** No longer ours to say. */
  withdraw(ns: Namespace, key: string): void {
    this.#published.delete(`/${ns}/${key}`)
    this.#waiting.delete(`/${ns}/${key}`)
  }

  /** The first valid record; undefined when nobody knows the name. @throws {OsError} ETIMEDOUT, ECANCELED. */
  async lookup(ns: Namespace, key: string, signal?: AbortSignal): Promise<DirectoryRecord | undefined> {
    const path = `/${ns}/${key}`
    const own = this.#published.get(path)
    if (own) return own.record
    const cached = this.#cache.get(path)
    if (cached && cached.untilMs > this.#clock.nowMs()) return cached.record
    return this.query(ns, key, signal)
  }

  /** As `lookup`, but asks the network whatever is remembered here. */
  async query(ns: Namespace, key: string, signal?: AbortSignal): Promise<DirectoryRecord | undefined> {
    const path = `/${ns}/${key}`
    const waiting = this.#waiting.get(path)
    if (waiting) {
      // Somebody asks for what this node is about to say.
      this.#waiting.delete(path)
      await this.publish(ns, key, waiting)
    }
    const controller = new AbortController()
    const onAbort = () => controller.abort(signal?.reason)
    signal?.addEventListener('abort', onAbort, { once: true })
    const timer = this.#clock.setTimer(
      () => controller.abort(new OsError('ETIMEDOUT', `looking up ${path} took longer than ${LOOKUP_TIMEOUT_MS} ms`)),
      LOOKUP_TIMEOUT_MS,
      'directory look-up',
    )
    try {
      for await (const value of this.#dht.get(path, { signal: controller.signal })) {
        const record = await this.#valid(path, value)
        if (!record) continue
        this.#remember(path, record)
        return record
      }
      return undefined
    } finally {
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
      controller.abort(new OsError('ECANCELED', 'answered')) // the rest of the query is not needed
    }
  }

  /** A node left: what it answered for is looked up anew. */
  forgetNode(node: NodeId): void {
    for (const [path, { record }] of this.#cache) if (record.nodes.includes(node)) this.#cache.delete(path)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    this.#quiet?.cancel()
    this.#waiting.clear()
  }

  async #put(record: DirectoryRecord): Promise<number> {
    const path = `/${record.ns}/${record.name}`
    this.#published.delete(path)
    this.#published.set(path, { record, dueMs: this.#clock.nowMs() + REPUBLISH_MS })
    if (this.#published.size > MAX_PUBLISHED) {
      const [oldest] = this.#published.keys()
      if (oldest !== undefined) this.#published.delete(oldest)
    }
    this.#schedule()
    const content = encode(record)
    const value = encode([content, await this.#signer.sign(content)])
    const controller = new AbortController()
    const timer = this.#clock.setTimer(() => controller.abort(), LOOKUP_TIMEOUT_MS, 'directory put')
    const beganMs = this.#clock.nowMs()
    try {
      const holders = await this.#dht.put(path, value, { signal: controller.signal })
      const ms = Math.round((this.#clock.nowMs() - beganMs) * 10) / 10
      this.#log.log('debug', 'directory', `put ${path}`, { ms, holders })
      return holders
    } finally {
      timer.cancel()
    }
  }

  /** One timer for the record that is due next. */
  #schedule(): void {
    if (this.#timer || this.#closed) return
    const [next] = this.#published.values()
    if (!next) return
    const delayMs = Math.max(1_000, next.dueMs - this.#clock.nowMs())
    this.#timer = this.#clock.setTimer(
      () => {
        this.#timer = undefined
        void this.#republish()
      },
      delayMs,
      'republish',
    )
  }

  async #republish(): Promise<void> {
    const nowMs = this.#clock.nowMs()
    for (const { record, dueMs } of [...this.#published.values()]) {
      if (dueMs > nowMs || this.#closed) break
      try {
        await this.publish(record.ns, record.name, record.nodes as NodeId[])
      } catch (error) {
        this.#log.log('warn', 'directory', `cannot republish ${record.ns}/${record.name}: ${errorLine(error)}`)
      }
    }
    this.#schedule()
  }

  /** One answer of several: a bad one must not hide the good ones behind it. */
  async #valid(path: string, value: Uint8Array): Promise<DirectoryRecord | undefined> {
    try {
      return await this.#open(path, value)
    } catch (error) {
      this.#log.log('debug', 'directory', `passed over an answer for ${path}: ${errorLine(error)}`)
      return undefined
    }
  }

  /** @throws {OsError} EPROTO, EACCES, ETIMEDOUT (expired). */
  async #open(path: string, value: Uint8Array): Promise<DirectoryRecord> {
    const { record, content, signature } = parse(value)
    if (`/${record.ns}/${record.name}` !== path) throw new OsError('EPROTO', 'a directory record for another key')
    const wallMs = this.#clock.wallMs()
    if (record.expiresMs < wallMs) throw new OsError('ETIMEDOUT', 'a directory record has expired')
    if (record.seq > wallMs + CLOCK_SKEW_MS || record.expiresMs > wallMs + RECORD_TTL_MS + CLOCK_SKEW_MS) {
      throw new OsError('EPROTO', 'a directory record from the future')
    }
    // Who may speak for a name: a peer only for itself.
    if (record.ns === 'bs-peer' && record.name !== record.node) {
      throw new OsError('EACCES', 'a peer record signed by another node')
    }
    if (!(await this.#signer.verify(record.node as NodeId, content, signature))) {
      throw new OsError('EACCES', 'a directory record with a wrong signature')
    }
    return record
  }

  #remember(path: string, record: DirectoryRecord): void {
    this.#cache.delete(path)
    this.#cache.set(path, { record, untilMs: this.#clock.nowMs() + CACHE_MS })
    if (this.#cache.size > MAX_CACHED) {
      const [oldest] = this.#cache.keys()
      if (oldest !== undefined) this.#cache.delete(oldest)
    }
  }
}

function parse(value: Uint8Array): { record: DirectoryRecord; content: Uint8Array; signature: Uint8Array } {
  if (value.byteLength > MAX_RECORD_BYTES) throw new OsError('EPROTO', 'a directory record is too large')
  try {
    const [content, signature] = v.parse(envelope, decode(value))
    return { record: v.parse(body, decode(content)), content, signature }
  } catch (error) {
    throw new OsError('EPROTO', `a malformed directory record: ${errorLine(error)}`, { cause: error })
  }
}

/** Index of the valid-looking value with the highest sequence number; ties by bytes, so that all nodes agree. */
function newest(values: readonly Uint8Array[]): number {
  let best = { index: 0, seq: -1, node: '' }
  for (const [index, value] of values.entries()) {
    try {
      const { seq, node } = parse(value).record
      if (seq > best.seq || (seq === best.seq && node > best.node)) best = { index, seq, node }
    } catch (error) {
      if (!(error instanceof OsError)) throw error // malformed values lose
    }
  }
  return best.index
}
