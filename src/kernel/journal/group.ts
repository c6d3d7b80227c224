// One replicated journal on one node: drives the Raft machine (raft/raft.ts) with a disk and a network. Above:
// groups.ts. What the machine asks for is done in its order: some messages at once, then the disk, then the rest.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { errorLine, OsError, toOsError } from '../../base/errors.ts'
import type { DeviceId, NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import type { Ack } from '../../syscalls/types.ts'
import * as limits from '../limits.ts'
import type { Folded, Journal, Journalled } from './journal.ts'
import { type GroupConfig, groupConfig, membersOf } from './raft/config.ts'
import { RaftLog } from './raft/log.ts'
import type { Entry, RaftMessage, Snapshot } from './raft/messages.ts'
import { type HardState, Raft, type Ready } from './raft/raft.ts'
import { Waiters } from './waiters.ts'

/** What a member is before it has heard of any: it receives, and cannot vote for itself. */
const NO_CONFIG: GroupConfig = { voters: [], learners: [] }
/** The beginning of every journal: its first members stand in a snapshot that covers this index. */
const GENESIS_INDEX = 1

const storedEntry = v.strictTuple([
  v.number(),
  v.picklist(['empty', 'config', 'data']),
  v.custom<Uint8Array>((value) => value instanceof Uint8Array),
])
const storedSnapshot = v.strictObject({
  term: v.number(),
  config: groupConfig,
  data: v.custom<Uint8Array>((value) => value instanceof Uint8Array),
})
const storedHard: v.GenericSchema<unknown, HardState> = v.strictObject({
  term: v.number(),
  vote: v.nullable(v.custom<NodeId>((value) => typeof value === 'string')),
})

export interface GroupHost {
  self: NodeId
  store: LogStore
  clock: Clock
  log: LogSink
  alive(id: NodeId): boolean
  deviceOf(id: NodeId): DeviceId | undefined
  send(to: NodeId, group: string, message: RaftMessage): void
  /** Its role, its leader or its configuration may be another now. */
  changed(group: Group): void
}

export class Group implements Journal {
  readonly name: string
  readonly #host: GroupHost
  readonly #raft: Raft
  readonly #waiters: Waiters
  #pumping = false
  #storedLast: number
  #failed: OsError | undefined
  #compacting = false
  /** What the last snapshot made here stands for. */
  #foldedBytes = 0
  /** It is not folded again before it has this entry. */
  #foldFrom = 0
  #closed = false

  private constructor(name: string, host: GroupHost, raft: Raft) {
    this.name = name
    this.#host = host
    this.#raft = raft
    this.#waiters = new Waiters(raft, host)
    this.#storedLast = raft.log.lastIndex
  }

  /**
   * The member as its disk remembers it; one that never heard of the journal waits to be told.
   * @param leastTerm that it took part in before it was made to forget the journal.
   */
  static async load(name: string, host: GroupHost, leastTerm = 0): Promise<Group> {
    const [{ snapshotIndex, snapshot, entries }, record] = await Promise.all([
      host.store.load(name),
      host.store.getRecord(recordOf(name)),
    ])
    const hard = record ? v.parse(storedHard, decode(record)) : { term: leastTerm, vote: null }
    // On the disk before anything is acknowledged in that term: it was forgotten once already.
    if (!record && leastTerm > 0) await host.store.putRecord(recordOf(name), encode(hard))
    const from = snapshot && v.parse(storedSnapshot, decode(snapshot))
    const start: Snapshot = from
      ? { index: snapshotIndex, ...from }
      : { index: 0, term: 0, config: NO_CONFIG, data: new Uint8Array(0) }
    const log = new RaftLog(start, entries.map(decodeEntry))
    return new Group(name, host, new Raft({ self: host.self, hard, log, alive: host.alive }))
  }

  /** A new journal. Its members are fixed before anybody else hears of it, so that it cannot begin twice. */
  static async create(name: string, host: GroupHost, config: GroupConfig, data: Uint8Array): Promise<Group> {
    const genesis = encode({ term: 0, config, data })
    await host.store.compact(name, GENESIS_INDEX, genesis)
    const group = await Group.load(name, host)
    group.#raft.found(host.clock.nowMs())
    group.pump()
    return group
  }

  /** Nothing of it is left on the disk. */
  static async forget(name: string, store: LogStore): Promise<void> {
    await Promise.all([store.remove(name), store.removeRecord(recordOf(name))])
  }

  get config(): GroupConfig {
    return this.#raft.config
  }

  /** It leads, and knows all that was ever committed. */
  get leads(): boolean {
    return this.#raft.established && !this.#failed
  }

  /** Why the disk has not stored what it was given: this member is as good as away then. */
  get failure(): OsError | undefined {
    return this.#failed
  }

  get leader(): NodeId | undefined {
    return this.#raft.leader
  }

  get term(): number {
    return this.#raft.term
  }

  /** Everything in it is committed. */
  get clean(): boolean {
    return this.#raft.commit === this.#raft.log.lastIndex
  }

  /** A configuration change can be proposed. */
  get settled(): boolean {
    return this.leads && this.agreed
  }

  /** Its members are known to be committed, whoever leads. */
  get agreed(): boolean {
    return this.#raft.log.configIndex <= this.#raft.commit
  }

  /** Whether somebody whose log ends so has never had the entry that says who the members are now. */
  isBehindMembers({ lastIndex, lastTerm }: { lastIndex: number; lastTerm: number }): boolean {
    const { log } = this.#raft
    const term = log.termAt(log.configIndex) ?? log.snapshot.term
    return lastTerm < term || (lastTerm === term && lastIndex < log.configIndex)
  }

  /** Whether this member has what whoever asks for its vote lacks. */
  isAheadOf(vote: RaftMessage & { t: 'vote' }): boolean {
    return this.#raft.log.isAheadOf(vote)
  }

  /** It has voted, perhaps: that must not be forgotten. */
  get promised(): boolean {
    return this.#raft.promised
  }

  get busy(): boolean {
    return this.#raft.busy
  }

  get quorate(): boolean {
    return this.#raft.quorate
  }

  /** Where its members were changed last, as far as this one knows. */
  get configIndex(): number {
    return this.#raft.log.configIndex
  }

  get lastIndex(): number {
    return this.#raft.log.lastIndex
  }

  get reach(): number {
    return this.#waiters.keepers().filter((id) => this.#host.alive(id)).length
  }

  /** How far it is committed, as far as this member knows. */
  get commit(): number {
    return this.#raft.commit
  }

  /** What is there at an index, unless a snapshot covers it. */
  entryAt(index: number): Entry | undefined {
    return this.#raft.log.entryAt(index)
  }

  /** What the owner journalled, as far as it is committed: to be replayed by a new leader. */
  committed(): Journalled {
    return this.#upTo(this.#raft.commit)
  }

  /** The same with what is stored here and perhaps committed. */
  stored(): Journalled {
    return this.#upTo(this.#raft.log.stable)
  }

  #upTo(last: number): Journalled {
    const { log } = this.#raft
    const entries: Uint8Array[] = []
    for (let index = log.snapshot.index + 1; index <= last; index++) {
      const entry = log.entryAt(index)
      if (entry?.kind === 'data') entries.push(entry.bytes)
    }
    return { snapshot: log.snapshot.data, entries }
  }

  /** Members that are not known to have stored anything of it. */
  get withoutAny(): NodeId[] {
    const stored = this.#raft.holders(Math.max(1, this.#raft.log.snapshot.index))
    return membersOf(this.config).filter((id) => id !== this.#host.self && !stored.includes(id))
  }

  /** A member that is here has stored nothing of what it lacks, for so long that others should keep the journal: its disk may be full. */
  stuck(id: NodeId): boolean {
    return this.#raft.silentMs(id, this.#host.clock.nowMs()) >= limits.GROUP_LEARN_MS
  }

  caughtUp(id: NodeId): boolean {
    return this.#raft.holders(this.#raft.commit).includes(id)
  }

  /**
   * Resolves when as many members have stored the entries as `level` asks: `local` this node, `majority`, or `all` that
   * keep the journal and are here.
   * @throws {OsError} EFBIG. EAGAIN this node does not lead, or too few members are here: nothing was written. ECONNRESET it
   * stopped leading meanwhile: perhaps written. EIO, ENOSPC.
   */
  append(entries: readonly Uint8Array[], level: Ack['level'] = 'majority'): Promise<Ack> {
    if (this.#failed) return Promise.reject(this.#failed)
    if (this.#closed) return Promise.reject(new OsError('ECANCELED', `${this.name} is not kept here any more`))
    if (entries.some((entry) => entry.byteLength > limits.MAX_ENTRY_BYTES)) {
      return Promise.reject(new OsError('EFBIG', `an entry of a journal has at most ${limits.MAX_ENTRY_BYTES} bytes`))
    }
    if (!this.#raft.quorate) {
      return Promise.reject(new OsError('EAGAIN', 'too few of the nodes that keep this are here to write it safely'))
    }
    try {
      const index = this.#raft.propose(entries, this.#host.clock.nowMs())
      const written = this.#waiters.entry(index, level)
      this.pump()
      return written
    } catch (error) {
      return Promise.reject(toOsError(error))
    }
  }

  /** Makes sure that this node still leads, so that what it knows is all there is. @throws {OsError} EAGAIN. */
  confirm(): Promise<void> {
    if (this.#closed) return Promise.reject(new OsError('EAGAIN', `${this.name} is not kept here any more`))
    try {
      const round = this.#raft.confirm(this.#host.clock.nowMs())
      if (round === undefined) return Promise.resolve()
      const confirmed = this.#waiters.round(round)
      this.pump()
      return confirmed
    } catch (error) {
      return Promise.reject(toOsError(error))
    }
  }

  /** @throws {OsError} EAGAIN, EINVAL. */
  reconfigure(config: GroupConfig): void {
    this.#raft.reconfigure(config, this.#host.clock.nowMs())
    this.pump()
  }

  /** Replaces what is committed by what `fold` makes of it, once there is enough to be worth it. */
  async compact(fold: (before: Journalled) => Folded | Promise<Folded>): Promise<void> {
    const index = Math.min(this.#raft.commit, this.#raft.log.stable)
    if (this.#compacting || !this.#foldable(index)) return
    this.#compacting = true
    const { log } = this.#raft
    // Unless it works: not again before the journal has grown.
    this.#foldFrom = index + limits.COMPACT_ENTRIES / 4
    try {
      const { snapshot, bytes } = await fold(this.#upTo(index))
      this.#foldFrom = index
      // A leader's snapshot may have come meanwhile.
      const term = log.termAt(index)
      if (this.#closed || term === undefined || index <= log.snapshot.index) return
      log.compact(index, snapshot)
      this.#foldedBytes = bytes
      await this.#host.store.compact(this.name, index, encode({ term, config: log.snapshot.config, data: snapshot }))
    } finally {
      this.#compacting = false
    }
  }

  /** There is enough up to there, and as much again as the last snapshot stands for: a large one is not made often. */
  #foldable(index: number): boolean {
    const { log } = this.#raft
    const count = index - log.snapshot.index
    if (index <= this.#foldFrom || (count < limits.COMPACT_ENTRIES && log.bytes < limits.COMPACT_BYTES)) return false
    let { bytes } = log
    for (let i = index + 1; i <= log.lastIndex; i++) bytes -= log.entryAt(i)?.bytes.byteLength ?? 0
    return (count >= limits.COMPACT_ENTRIES || bytes >= limits.COMPACT_BYTES) && bytes >= this.#foldedBytes
  }

  campaign(): void {
    this.#raft.campaign(this.#host.clock.nowMs())
    this.pump()
  }

  handOver(): NodeId | undefined {
    const to = this.#raft.handOver(this.#host.clock.nowMs())
    this.pump()
    return to
  }

  up(peer: NodeId): void {
    this.#raft.up(peer, this.#host.clock.nowMs())
    this.pump()
  }

  down(peer: NodeId, said: boolean): void {
    this.#raft.down(peer, said)
    this.#raft.tick(this.#host.clock.nowMs())
    this.pump()
  }

  /** That member is there and answers nothing: others decide without it. */
  mute(peer: NodeId): void {
    this.#raft.mute(peer, this.#host.clock.nowMs())
    this.pump()
  }

  tick(): void {
    this.#raft.tick(this.#host.clock.nowMs())
    this.pump()
  }

  /** @throws {Error} for what no honest member says: nothing has changed then. */
  step(from: NodeId, message: RaftMessage): void {
    if (this.#failed && message.t === 'check') this.#resign(from)
    if (this.#failed || this.#closed) return
    this.#raft.step(from, message, this.#host.clock.nowMs())
    this.pump()
  }

  /** There is no room here for what the leader sent. */
  lacksRoom(leader: NodeId): void {
    this.#host.send(leader, this.name, { t: 'full', term: this.#raft.term })
  }

  close(reason: string): void {
    this.#closed = true
    this.#waiters.rejectAll(new OsError('ECANCELED', reason))
  }

  /** Does what the machine asks for until it asks for nothing. */
  pump(): void {
    this.#settle()
    if (this.#pumping || this.#closed) return
    const ready = this.#raft.ready()
    if (!ready) return
    this.#pumping = true
    for (const { to, message } of ready.early) this.#host.send(to, this.name, message)
    this.#store(ready).then(
      () => {
        this.#pumping = false
        if (this.#closed) return
        for (const { to, message } of ready.late) this.#host.send(to, this.name, message)
        this.#raft.stored(this.#host.clock.nowMs())
        this.pump()
      },
      (error: unknown) => this.#fail(toOsError(error)),
    )
  }

  /** Asked for all at once, in this order: a store makes one flush of it. */
  async #store({ hard, snapshot, from, entries }: Ready): Promise<void> {
    const { store } = this.#host
    const writes: Promise<void>[] = []
    if (hard) writes.push(store.putRecord(recordOf(this.name), encode(hard)))
    if (snapshot) {
      const { index, term, config, data } = snapshot
      const later = this.#storedLast > index && from > this.#storedLast ? 'keep' : 'drop'
      writes.push(store.compact(this.name, index, encode({ term, config, data }), later))
      if (later === 'drop') this.#storedLast = index
    }
    if (entries.length > 0) {
      if (from <= this.#storedLast) writes.push(store.truncate(this.name, from))
      writes.push(store.append(this.name, from, entries.map(encodeEntry)))
      this.#storedLast = from + entries.length - 1
    }
    // All of them have ended when one has failed: who opens the journal again must not read while something is written.
    const failed = (await Promise.allSettled(writes)).find((write) => write.status === 'rejected')
    if (failed) throw failed.reason
  }

  /** A disk that does not store cannot take part: another has to lead, and this one says nothing more until it is opened again. */
  #fail(error: OsError): void {
    this.#host.log.log('error', 'journal', `${this.name} cannot be stored: ${errorLine(error)}`)
    this.#raft.handOver(this.#host.clock.nowMs())
    for (const { to, message } of this.#raft.ready()?.early ?? []) {
      if (message.t === 'transfer') this.#host.send(to, this.name, message)
    }
    this.#failed = error
    const { leader } = this.#raft
    if (error.code === 'ENOSPC' && leader !== undefined && leader !== this.#host.self) this.lacksRoom(leader)
    for (const { id } of this.config.voters) if (id !== this.#host.self) this.#resign(id)
    this.#waiters.rejectAll(error)
    this.#host.changed(this)
  }

  /** It says that it does not lead, so that nobody waits for it. */
  #resign(to: NodeId): void {
    this.#host.send(to, this.name, { t: 'resigned', term: this.#raft.term })
  }

  #settle(): void {
    this.#waiters.settle()
    this.#host.changed(this)
  }
}

export function isMember(config: GroupConfig, id: NodeId): boolean {
  return membersOf(config).includes(id)
}

function recordOf(name: string): string {
  return `raft/${name}`
}

function encodeEntry({ term, kind, bytes }: Entry): Uint8Array {
  return encode([term, kind, bytes])
}

function decodeEntry(bytes: Uint8Array): Entry {
  const [term, kind, data] = v.parse(storedEntry, decode(bytes))
  return { term, kind, bytes: data }
}
