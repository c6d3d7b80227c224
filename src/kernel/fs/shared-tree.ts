// The head of the one shared tree `/`: where it is, who keeps it, how it changes. Above: fs.ts. Below: tree.ts,
// the journal, rpc, membership. First form: the home is one node; the replicated form comes behind this class.
//
// Roles and transitions:
//   home:      keeps the journal and applies changes. A new node is the home of an unborn tree (generation 0,
//              version 0), which it gives up without a trace when it meets a born one.
//   following: another node claims to be home; reads and changes go there.
//   searching: the home is away. After a while the first node in line takes over with the next generation.
// When two homes meet, the higher (generation, version, id) stays; the other merges its changes and follows.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { errorLine, isOsError, OsError, toOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Ack } from '../../syscalls/types.ts'
import type { Journal, Journals } from '../journal/journal.ts'
import * as limits from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { type TreeHead, type TreeOp, treeHead } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { Entry } from './directory.ts'
import { mergeOps } from './merge.ts'
import type { Tree } from './tree.ts'
import { contains, newer, plausible } from './tree-head.ts'

const JOURNAL = 'tree'
/** How long calls wait after boot until it is known whether others have a tree. */
const SETTLE_MS = 3_000
/** How long a home may be away before somebody takes over; each place in line waits one more. */
const TAKEOVER_MS = 1_500
const TAKEOVER_WAITS = 8
/** Followers record the head at most this often: for a cold start, not for durability. */
const RECORD_MS = 2_000
const MERGE_BATCH = 500
/** Attempts to merge while others change the same names or the home goes away, and the pause between them. */
const MERGE_ATTEMPTS = 10
const MERGE_PAUSE_MS = 3_000
/** Directory CIDs remembered as copied: a few MB; forgetting costs a walk. */
const MAX_COPIED = 50_000

type Role = 'home' | 'following' | 'searching'

interface ChangeRequest {
  ops: readonly TreeOp[]
  resolve(applied: Applied): void
  reject(error: OsError): void
}

const LOCAL_ACK: Ack = { level: 'local', devices: 1 }

export interface Applied {
  head: TreeHead
  ack: Ack
}

export class SharedTree {
  readonly #tree: Tree
  readonly #journals: Journals
  readonly #rpc: RpcNode
  readonly #membership: Membership
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #onChange: (head: TreeHead, notice?: string) => void
  #journal!: Journal
  #role: Role = 'searching'
  #head!: TreeHead
  readonly #claims = new Map<NodeId, TreeHead>()
  /** Homes found away, with the generation of their claim: hearsay about them is not believed. */
  readonly #away = new Map<NodeId, number>()
  /** The newest head whose directories are all here: what a takeover can start from. */
  #complete: TreeHead | undefined
  /** Directories known to be here with everything below them. */
  readonly #copied = new Set<string>()
  #copying = false
  #settled = false
  #whenSettled: (() => void)[] = []
  #timers: Timer[] = []
  #takeover: Timer | undefined
  #record: Timer | undefined
  #requests: ChangeRequest[] = []
  #queue: Promise<unknown> = Promise.resolve()
  #yielding = false
  #checking = false
  #closed = false

  constructor(options: {
    tree: Tree
    journals: Journals
    rpc: RpcNode
    membership: Membership
    clock: Clock
    log: LogSink
    onChange: (head: TreeHead, notice?: string) => void
  }) {
    this.#tree = options.tree
    this.#journals = options.journals
    this.#rpc = options.rpc
    this.#membership = options.membership
    this.#clock = options.clock
    this.#log = options.log
    this.#onChange = options.onChange
  }

  get home(): NodeId | null {
    return this.#role === 'searching' ? null : this.#head.home
  }

  get version(): number {
    return this.#head.version
  }

  async start(): Promise<void> {
    const { journal, snapshot, entries } = await this.#journals.open(JOURNAL)
    this.#journal = journal
    const last = this.#recorded(entries.at(-1) ?? snapshot)
    if (last) {
      this.#head = last
      this.#role = this.#head.home === this.#rpc.self ? 'home' : 'searching'
      await this.#copyDirectories()
    } else {
      this.#head = await this.#firstHead()
      this.#role = 'home'
    }
    this.#rpc.handle('tree.head', async () => this.#head)
    this.#rpc.handle('tree.apply', ({ ops }) => this.#applyHere(ops))
    this.#rpc.onNote('tree.head', (peer, head) => this.#claimed(peer, head))
    this.#membership.onLink((peer) => {
      // What a searching node knows of is a home that is away: no claim to spread.
      if (this.#role !== 'searching') this.#rpc.note(peer, 'tree.head', this.#head)
    })
    this.#membership.events.on((event) => {
      if (event.type === 'left') this.#lost(event.peer)
    })
    this.#timers.push(this.#clock.setTimer(() => this.settle(), SETTLE_MS, 'tree settle'))
  }

  /** The head that the journal holds. One that cannot be read must not keep the tab from starting. */
  #recorded(bytes: Uint8Array | undefined): TreeHead | undefined {
    if (!bytes) return undefined
    try {
      return v.parse(treeHead, decode(bytes))
    } catch (error) {
      this.#log.log('error', 'fs', `the recorded head of / cannot be read, beginning anew: ${errorLine(error)}`)
      return undefined
    }
  }

  /** There is nobody (else) to wait for: no relay, nobody listed, or a head was received. */
  settle(): void {
    if (this.#settled) return
    this.#settled = true
    for (const wake of this.#whenSettled.splice(0)) wake()
    if (this.#role === 'searching') this.#line()
  }

  /** The newest head that can be had: the home's own, or the last one known while the home is away. */
  async head(signal?: AbortSignal): Promise<TreeHead> {
    await this.#ready(signal)
    if (this.#role !== 'following') return this.#head
    const { home } = this.#head
    try {
      await this.#membership.reach(home, signal)
      const head = await this.#rpc.call(home, 'tree.head', null, { signal })
      if (head && newer(head, this.#head) && this.#plausible(head)) this.#adopt(head)
    } catch (error) {
      signal?.throwIfAborted()
      this.#log.log('debug', 'fs', `reading the tree as last known: ${errorLine(error)}`)
      if (isOsError(error, 'EHOSTUNREACH')) this.#unreachable(home)
    }
    return this.#head
  }

  /** While nobody keeps the tree: waits for somebody who does. @returns whether its root is another one now. */
  async moved(from: TreeHead, signal?: AbortSignal): Promise<boolean> {
    for (let waited = 0; this.#role === 'searching' && waited < TAKEOVER_WAITS; waited++) {
      await this.#pause(TAKEOVER_MS, signal)
    }
    return this.#head.root !== from.root
  }

  /** @throws {OsError} ENOENT, ENOTDIR. */
  async lookup(path: string, signal?: AbortSignal): Promise<Entry> {
    const head = await this.head(signal)
    return this.#tree.lookup(head.root, path, { signal, hints: [head.home] })
  }

  /**
   * Applies changes at the home, all or none.
   * @throws {OsError} POSIX codes; EHOSTUNREACH when the home is away and nobody has taken over in time.
   */
  async apply(ops: TreeOp[], signal?: AbortSignal): Promise<Applied> {
    await this.#ready(signal)
    for (let attempt = 0; ; attempt++) {
      try {
        if (this.#role === 'home' && !this.#yielding) return await this.#applyHere(ops)
        if (this.#role === 'searching') throw new OsError('EHOSTUNREACH', 'the node that keeps / is away')
        await this.#membership.reach(this.#head.home, signal)
        const applied = await this.#rpc.call(this.#head.home, 'tree.apply', { ops }, { signal })
        if (newer(applied.head, this.#head) && this.#plausible(applied.head)) this.#adopt(applied.head)
        return applied
      } catch (error) {
        // ECONNRESET is not retried: the change may have been made.
        if (!isOsError(error, 'EHOSTUNREACH') && !isOsError(error, 'EAGAIN')) throw error
        if (this.#role === 'following') {
          if (isOsError(error, 'EAGAIN')) await this.#askHome(this.#head.home, signal)
          else this.#unreachable(this.#head.home)
        }
        if (attempt === TAKEOVER_WAITS) {
          const reason = 'the node that keeps / is away and no other has taken over yet: try again in a moment'
          throw new OsError('EHOSTUNREACH', reason, { cause: error })
        }
        await this.#pause(TAKEOVER_MS, signal)
      }
    }
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers) timer.cancel()
    this.#takeover?.cancel()
    this.#record?.cancel()
  }

  /** A link that broke a moment ago may come back: membership decides who is gone. */
  #unreachable(home: NodeId): void {
    if (!this.#membership.has(home)) this.#lost(home)
  }

  /** It refused a change: it is busy, or home no longer and knows who is. */
  async #askHome(home: NodeId, signal?: AbortSignal): Promise<void> {
    try {
      const head = await this.#rpc.call(home, 'tree.head', null, { signal })
      if (head) this.#claimed(home, head)
    } catch (error) {
      signal?.throwIfAborted()
      this.#log.log('debug', 'fs', `the home of / does not say where it is: ${errorLine(error)}`)
    }
  }

  #plausible(head: TreeHead): boolean {
    const good = plausible(head, this.#head)
    if (!good) this.#log.log('warn', 'fs', `ignored a head of / of generation ${head.generation}: it cannot be true`)
    return good
  }

  #ready(signal?: AbortSignal): Promise<void> {
    if (this.#settled || this.#head.version > 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#whenSettled.push(resolve)
      signal?.addEventListener('abort', () => reject(toOsError(signal.reason, 'ECANCELED')), { once: true })
    })
  }

  #pause(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = this.#clock.setTimer(resolve, delayMs, 'tree retry')
      const cancel = () => {
        timer.cancel()
        reject(new OsError('ECANCELED', 'cancelled while waiting for the node that keeps /'))
      }
      signal?.addEventListener('abort', cancel, { once: true })
    })
  }

  /**
   * Group commit: requests that wait while one batch is made durable go into the next together. Each request is
   * applied whole or refused alone; nothing is visible before it is journalled.
   */
  #applyHere(ops: readonly TreeOp[]): Promise<Applied> {
    return new Promise((resolve, reject) => {
      this.#requests.push({ ops, resolve, reject })
      if (this.#requests.length === 1) this.#queue = this.#queue.then(() => this.#commit())
    })
  }

  async #commit(): Promise<void> {
    const requests = this.#requests.splice(0)
    const made: ChangeRequest[] = []
    try {
      if (this.#role !== 'home') throw new OsError('EAGAIN', 'this node no longer keeps /')
      let root = this.#head.root
      for (const request of requests) {
        try {
          let next = root
          for (const op of request.ops) next = await this.#tree.apply(next, op)
          root = next
          made.push(request)
        } catch (error) {
          request.reject(toOsError(error))
        }
      }
      const ack = root === this.#head.root ? LOCAL_ACK : await this.#advance(root)
      for (const request of made) request.resolve({ head: this.#head, ack })
    } catch (error) {
      for (const request of requests) request.reject(toOsError(error)) // those settled already do not hear of it
    } finally {
      this.#tree.discardUnsaved()
    }
  }

  async #advance(root: string): Promise<Ack> {
    await this.#tree.save(root)
    const head = { ...this.#head, root, version: this.#head.version + 1 }
    const ack = await this.#journal.append([encode(head)])
    this.#head = head
    this.#complete = head
    this.#rpc.noteAll('tree.head', head)
    this.#onChange(head)
    if (this.#journal.length >= limits.COMPACT_ENTRIES) await this.#journal.compact(encode(head))
    return ack
  }

  /** A claim by the home itself, or hearsay of one: in a large cluster not everybody is the home's neighbour. */
  #claimed(peer: NodeId, head: TreeHead): void {
    if (head.home !== peer) this.#claims.delete(peer)
    else this.#away.delete(peer)
    if (head.home === this.#rpc.self || (this.#away.get(head.home) ?? -1) >= head.generation) return
    if (!this.#plausible(head)) return
    const known = this.#claims.get(head.home)
    if (!known || newer(head, known)) {
      this.#claims.delete(head.home)
      this.#claims.set(head.home, head)
      dropOldest(this.#claims, limits.MAX_TREE_CLAIMS, this.#head.home)
    }
    this.#evaluate()
  }

  #lost(peer: NodeId): void {
    const claim = this.#claims.get(peer)
    if (claim) this.#away.set(peer, claim.generation)
    dropOldest(this.#away, limits.MAX_TREE_AWAY)
    this.#claims.delete(peer)
    if (this.#role === 'following' && this.#head.home === peer) {
      this.#role = 'searching'
      this.#log.log('info', 'fs', `the node that keeps / (${shortNode(peer)}) is away`)
    }
    this.#evaluate()
  }

  #evaluate(): void {
    if (this.#closed) return
    let best: TreeHead | undefined
    for (const claim of this.#claims.values()) if (!best || newer(claim, best)) best = claim
    if (this.#role === 'home') {
      if (best && newer(best, this.#head)) void this.#yield(best)
      return
    }
    // A home that knows less than we do must not take us back: our next generation makes it yield and merge.
    if (!best || (best.home !== this.#head.home && newer(this.#head, best))) {
      this.#role = 'searching'
      if (this.#settled) this.#line()
      return
    }
    this.#takeover?.cancel()
    this.#takeover = undefined
    this.#role = 'following'
    if (best.home !== this.#head.home) this.#rpc.noteAll('tree.head', best)
    if (best.home !== this.#head.home || newer(best, this.#head)) this.#adopt(best)
    if (best.version > 0 || best.generation > 0) this.settle()
    this.#checkHome(best.home)
  }

  /** Hearsay may be of a home that is gone: find out now, not when somebody needs it. One home at a time. */
  #checkHome(home: NodeId): void {
    if (this.#checking || this.#membership.has(home)) return
    this.#checking = true
    this.#membership
      .reach(home)
      .catch((error: unknown) => {
        this.#log.log('debug', 'fs', `the home of / is away: ${errorLine(error)}`)
        return error
      })
      .then((error) => {
        this.#checking = false
        if (this.#closed) return
        if (error && !this.#membership.has(home)) this.#lost(home)
        else this.#evaluate()
      })
  }

  /** Everybody in the cluster knows the same ids, so the line is the same everywhere. */
  #line(): void {
    if (this.#takeover) return // waiting in line already: news must not send it back to the end
    const place = [...this.#membership.linked(), this.#rpc.self].sort().indexOf(this.#rpc.self)
    const takeOver = () => {
      this.#takeover = undefined
      this.#becomeHome().catch((error: unknown) => {
        this.#log.log('error', 'fs', `cannot take over the tree: ${errorLine(error)}`)
      })
    }
    this.#takeover = this.#clock.setTimer(takeOver, TAKEOVER_MS * (1 + place), 'tree takeover')
  }

  async #becomeHome(): Promise<void> {
    if (this.#role !== 'searching' || this.#closed) return
    const from = this.#complete ?? (await this.#firstHead())
    const lost = this.#head.version - from.version
    const base: TreeHead['bases'][number] = [from.generation, from.version, from.home]
    const head: TreeHead = {
      generation: this.#head.generation + 1,
      version: this.#head.version,
      root: from.root,
      home: this.#rpc.self,
      bases: [base, ...from.bases].slice(0, limits.MAX_TREE_BASES),
      sinceMs: this.#clock.wallMs(),
    }
    await this.#journal.append([encode(head)])
    this.#head = head
    this.#role = 'home'
    this.#log.log('info', 'fs', `this node now keeps / (generation ${head.generation})`)
    this.#rpc.noteAll('tree.head', head)
    this.#onChange(head, lost > 0 ? `the last ${lost} changes of / are only on a tab that is away` : undefined)
    this.#evaluate()
  }

  async #firstHead(): Promise<TreeHead> {
    const root = await this.#tree.create()
    const home = this.#rpc.self
    return { generation: 0, version: 0, root, home, bases: [], sinceMs: this.#clock.wallMs() }
  }

  /** Gives up a home of our own for a better one, after bringing over what only we have. */
  async #yield(best: TreeHead): Promise<void> {
    if (this.#yielding) return
    this.#yielding = true
    await this.#queue
    const own = this.#head
    this.#role = 'following'
    this.#adopt(best)
    this.#rpc.noteAll('tree.head', best)
    if (!contains(best, own)) await this.#bringOver(own, best)
    this.#yielding = false
    this.settle()
    this.#evaluate()
  }

  /** Does not give up at once: the new home may go as well, and others may use the same names meanwhile. */
  async #bringOver(own: TreeHead, best: TreeHead): Promise<void> {
    for (let attempt = 1; !this.#closed; attempt++) {
      try {
        const count = await this.#merge(own.root, attempt === 1 ? best : await this.head())
        const notice = `two parts of the cluster met: ${count} files and folders of this tab were merged into /`
        this.#log.log('info', 'fs', notice)
        return this.#onChange(this.#head, count > 0 ? notice : undefined)
      } catch (error) {
        this.#log.log('error', 'fs', `could not merge this node's files: ${errorLine(error)}`, { root: own.root })
        if (attempt === MERGE_ATTEMPTS) {
          return this.#onChange(this.#head, `files of this tab could not be merged into / (their root is ${own.root})`)
        }
        if (!isOsError(error, 'EEXIST')) await this.#pause(MERGE_PAUSE_MS)
      }
    }
  }

  async #merge(mine: string, theirs: TreeHead): Promise<number> {
    let batch: TreeOp[] = []
    let count = 0
    const flush = async () => {
      if (batch.length > 0) await this.apply(batch)
      count += batch.length
      batch = []
    }
    const options = { hints: [theirs.home] }
    for await (const op of mergeOps(this.#tree, mine, theirs.root, shortNode(this.#rpc.self), options)) {
      batch.push(op)
      if (batch.length === MERGE_BATCH) await flush()
    }
    await flush()
    return count
  }

  #adopt(head: TreeHead): void {
    this.#head = head
    this.#onChange(head)
    void this.#copyDirectories()
    this.#record ??= this.#clock.setTimer(
      () => {
        this.#record = undefined
        if (this.#role === 'home') return
        this.#journal.append([encode(this.#head)]).then(
          () =>
            this.#journal.length >= limits.COMPACT_ENTRIES ? this.#journal.compact(encode(this.#head)) : undefined,
          (error: unknown) => this.#log.log('warn', 'fs', `cannot record the tree's head: ${errorLine(error)}`),
        )
      },
      RECORD_MS,
      'record tree head',
    )
  }

  /** So that a takeover finds the directories here; file content is fetched when it is read. */
  async #copyDirectories(): Promise<void> {
    if (this.#copying) return
    this.#copying = true
    try {
      for (let head = this.#head; this.#complete?.root !== head.root && !this.#closed; head = this.#head) {
        await this.#copyBelow(head.root)
        this.#complete = head
      }
    } catch (error) {
      this.#log.log('debug', 'fs', `directories not copied yet: ${errorLine(error)}`)
    } finally {
      this.#copying = false
    }
  }

  async #copyBelow(cid: string): Promise<void> {
    if (this.#copied.has(cid) || this.#closed) return
    for (const entry of (await this.#tree.directory(cid, { hints: [this.#head.home] })).values()) {
      if (entry.kind === 'directory') await this.#copyBelow(entry.cid)
    }
    if (this.#copied.size >= MAX_COPIED) this.#copied.clear()
    this.#copied.add(cid)
  }
}

function dropOldest<K, V>(map: Map<K, V>, most: number, keep?: K): void {
  for (const key of map.keys()) {
    if (map.size <= most) return
    if (key !== keep) map.delete(key)
  }
}
