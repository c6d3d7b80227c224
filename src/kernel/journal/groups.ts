// All replicated journals of this node: routes their messages, holds elections when members go, keeps each at its
// wanted size, and tells owners when this node begins or ceases to lead one. Above: the owners (processes, the tree).
// Below: group.ts, rpc, membership.
//
// A journal that nobody writes costs nothing: no timer runs unless some machine waits for an answer, and no message
// is sent unless a node comes or goes.
import { errorLine, isOsError, OsError, toOsError } from '../../base/errors.ts'
import { type DeviceId, type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import type { Random } from '../../ports/random.ts'
import type { WitnessLink } from '../../ports/witness.ts'
import * as limits from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import { Departed } from './departed.ts'
import { Group, type GroupHost, isMember } from './group.ts'
import type { Folded, Journal, Journalled } from './journal.ts'
import { type Candidate, firstConfig, nextConfig } from './policy.ts'
import { type GroupConfig, membersOf, voterOf } from './raft/config.ts'
import { decodeWitnessFrame, encodeWitnessFrame, type RaftMessage } from './raft/messages.ts'

/** What the journals need to know about who is here; membership tells it. */
export interface Liveness {
  /** This node included. */
  nodes(): readonly Candidate[]
  has(id: NodeId): boolean
  /** Asked with every acknowledgement. */
  deviceOf(id: NodeId): DeviceId | undefined
  /** @param said the node took its leave. */
  onLeft(listener: (peer: NodeId, said: boolean) => void): void
  onLink(listener: (peer: NodeId) => void): void
}

/** Whoever journals something under names that begin alike. */
export interface JournalOwner {
  /** This node leads from now on: everything that was journalled, to be replayed, and where to go on. */
  lead(name: string, journal: Journal, before: Journalled): void
  /** Another node leads, or nobody can: what was built on the journal here is no longer true. */
  follow(name: string, leader: NodeId | undefined): void
  /**
   * Fetches what an entry or a snapshot refers to: it counts as stored here only with that. Undefined: nothing to fetch.
   * It may throw for bytes that make no sense, and reject when they cannot be had: the sender tries again.
   */
  hold?(kind: 'entry' | 'snapshot', bytes: Uint8Array, from: NodeId): Promise<void> | undefined
  /** A snapshot of all that: the journal goes on from it. Without this the journal grows. */
  fold?(before: Journalled): Folded | Promise<Folded>
}

export class Groups {
  readonly #rpc: RpcNode
  readonly #store: LogStore
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: LogSink
  readonly #liveness: Liveness
  readonly #witness: WitnessLink
  /** The one that was there last. */
  #witnessId: NodeId | undefined
  readonly #owners = new Map<string, JournalOwner>()
  readonly #groups = new Map<string, Group>()
  readonly #departed: Departed
  /** Those that are being read from disk; messages for them wait. */
  readonly #loading = new Map<string, Promise<Group>>()
  /** What an owner was told last, by journal. */
  readonly #told = new Map<string, { leads: boolean; leader: NodeId | undefined }>()
  /** Told when a journal that begins here has its leader. */
  readonly #arrivals = new Map<string, () => void>()
  readonly #elections = new Map<string, Timer>()
  /** When each node left that may come back, and whether it took its leave. */
  readonly #left = new Map<NodeId, { atMs: number; said: boolean }>()
  readonly #reviews = new Set<string>()
  /** Journals led here that count on the witness. */
  readonly #counting = new Set<string>()
  /** Members as they were when they were considered last. */
  readonly #reviewed = new Map<string, GroupConfig>()
  /** Messages that wait until what earlier ones refer to is here, by journal. */
  readonly #holding = new Map<string, { done: Promise<void>; from: NodeId }>()
  readonly #startedMs: number
  #reviewTimer: Timer | undefined
  #retryTimer: Timer | undefined
  #closed = false
  readonly #host: GroupHost

  constructor(options: {
    rpc: RpcNode
    store: LogStore
    clock: Clock
    random: Random
    log: LogSink
    liveness: Liveness
    witness: WitnessLink
  }) {
    this.#rpc = options.rpc
    this.#store = options.store
    this.#clock = options.clock
    this.#random = options.random
    this.#log = options.log
    this.#liveness = options.liveness
    this.#witness = options.witness
    this.#departed = new Departed(options.store, options.log)
    this.#startedMs = this.#clock.nowMs()
    this.#host = {
      self: this.#rpc.self,
      store: this.#store,
      clock: this.#clock,
      log: this.#log,
      alive: (id) => id === this.#rpc.self || id === this.#witness.id || this.#liveness.has(id),
      deviceOf: (id) => this.#liveness.deviceOf(id),
      send: (to, group, message) => {
        if (to === this.#witness.id) this.#witness.send(encodeWitnessFrame({ group, message }))
        else this.#rpc.note(to, 'journal.step', { group, message })
      },
      changed: (group) => this.#changed(group),
    }
  }

  /** @param prefix of the names that this owner's journals have, ending in `/`. */
  own(prefix: string, owner: JournalOwner): void {
    this.#owners.set(prefix, owner)
  }

  /** Reads what this node keeps, and takes part. */
  async start(): Promise<void> {
    await this.#departed.load()
    this.#rpc.onNote('journal.step', (peer, { group, message }) => this.#received(peer, group, message))
    this.#rpc.onNote('journal.dismissed', (peer, { group, term }) => this.#dismissed(peer, group, term))
    this.#liveness.onLeft((peer, said) => this.#lost(peer, said))
    this.#liveness.onLink((peer) => this.#linked(peer))
    this.#witness.onFrame((frame) => this.#witnessed(frame))
    this.#witness.onChange(() => this.#witnessChanged())
    this.#witnessChanged()
    const names = (await this.#store.list()).filter((name) => this.#ownerOf(name))
    // One that cannot be read, which is logged, keeps no other from starting.
    await Promise.allSettled(names.map((name) => this.#load(name)))
    for (const group of this.#groups.values()) {
      const [only, ...others] = group.config.voters
      if (only?.id === this.#rpc.self && others.length === 0) group.campaign()
      else this.#electSoon(group, limits.GROUP_BOOT_MS)
    }
  }

  /** Journals kept here whose names begin so. */
  names(prefix: string): string[] {
    return [...this.#groups.keys()].filter((name) => name.startsWith(prefix))
  }

  /** The journal, if it is kept here. */
  find(name: string): Group | undefined {
    return this.#groups.get(name)
  }

  /** @throws {OsError} ENOENT. */
  group(name: string): Group {
    const group = this.find(name)
    if (!group) throw new OsError('ENOENT', `${name} is not kept here`)
    return group
  }

  /**
   * Begins a journal that this node leads. Resolves when its owner has heard of that: when enough members have it for
   * it to survive this node. Whatever goes wrong, no trace of it is left.
   * @param data the snapshot that it begins with.
   * @throws {OsError} EEXIST, ENOSPC, EIO; ETIMEDOUT: those who should keep it do not answer; ECANCELED.
   */
  async create(name: string, data: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (this.#groups.has(name) || this.#loading.has(name)) throw new OsError('EEXIST', `${name} exists already`)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    promise.catch(() => undefined) // reported below, perhaps later
    const late = () =>
      reject(new OsError('ETIMEDOUT', 'the nodes that should keep its journal do not answer: try again'))
    const onAbort = () => reject(toOsError(signal?.reason, 'ECANCELED'))
    if (signal?.aborted) onAbort()
    const timer = this.#clock.setTimer(late, limits.GROUP_BEGIN_MS, 'journal begins')
    signal?.addEventListener('abort', onAbort, { once: true })
    this.#arrivals.set(name, resolve)
    try {
      await this.#found(name, data)
      await promise
    } catch (error) {
      this.#dismissAll(name) // also members that have not answered: it must not come to life without this node
      await this.remove(name)
      throw error
    } finally {
      this.#arrivals.delete(name)
      timer.cancel()
      signal?.removeEventListener('abort', onAbort)
    }
  }

  async #found(name: string, data: Uint8Array): Promise<void> {
    const created = Group.create(name, this.#host, firstConfig(this.#rpc.self, this.#liveness.nodes()), data)
    this.#loading.set(name, created)
    try {
      const group = await created
      this.#groups.set(name, group)
      this.#changed(group)
    } finally {
      this.#loading.delete(name)
    }
  }

  /** It began here just now. */
  isNew(name: string): boolean {
    return this.#arrivals.has(name)
  }

  /** Ends a journal that nobody needs any more, everywhere. */
  async retire(name: string): Promise<void> {
    if (this.#groups.get(name)?.leads) this.#dismissAll(name)
    await this.remove(name)
  }

  #dismissAll(name: string): void {
    const group = this.#groups.get(name)
    for (const id of group ? membersOf(group.config) : []) {
      if (id === this.#witness.id) this.#witness.send(encodeWitnessFrame({ group: name, retired: true }))
      else if (id !== this.#rpc.self)
        this.#rpc.note(id, 'journal.dismissed', { group: name, term: (group as Group).term })
    }
  }

  /** Forgets a journal here. */
  async remove(name: string): Promise<void> {
    this.#groups.get(name)?.close('it was removed')
    this.#groups.delete(name)
    this.#told.delete(name)
    this.#reviewed.delete(name)
    this.#counting.delete(name)
    this.#elections.get(name)?.cancel()
    this.#elections.delete(name)
    this.#holding.delete(name)
    // First, so that no crash comes between: without what it promised it must not be asked.
    await this.#departed.add(name)
    await Group.forget(name, this.#store)
  }

  /** This tab closes: whoever has most of each journal goes on with it. */
  close(): void {
    for (const group of this.#groups.values()) if (group.leads) group.handOver()
    this.#closed = true
    for (const timer of [this.#reviewTimer, this.#retryTimer, ...this.#elections.values()]) timer?.cancel()
    for (const group of this.#groups.values()) group.close('this tab is closing')
  }

  #ownerOf(name: string): JournalOwner | undefined {
    return this.#owners.get(name.slice(0, name.indexOf('/') + 1))
  }

  #load(name: string): Promise<Group> {
    const loading = this.#loading.get(name)
    if (loading) return loading
    const loaded = Group.load(name, this.#host)
      .then((group) => {
        this.#groups.set(name, group)
        return group
      })
      .finally(() => this.#loading.delete(name))
    this.#loading.set(name, loaded)
    loaded.catch((error: unknown) => this.#log.log('error', 'journal', `${name} cannot be read: ${errorLine(error)}`))
    return loaded
  }

  #received(peer: NodeId, name: string, message: RaftMessage): void {
    if (this.#closed || !this.#ownerOf(name)) return
    const group = this.#groups.get(name)
    if (group) return this.#step(peer, group, message)
    if (message.t === 'check') return this.#host.send(peer, name, { t: 'resigned', term: message.term })
    // A member that has heard of nothing yet may be asked for its vote: it has promised nothing.
    if (message.t !== 'append' && message.t !== 'snapshot' && message.t !== 'vote') return
    if (message.t === 'vote' && this.#departed.has(name)) return // it has forgotten what it promised
    if (!this.#loading.has(name) && this.#full()) return
    this.#load(name)
      .then((loaded) => this.#step(peer, loaded, message))
      .catch(() => undefined) // logged where it was read
  }

  /** Names cost their inventor nothing: few journals may be here of which nothing is known but the name. */
  #full(): boolean {
    let unborn = this.#loading.size
    for (const { config } of this.#groups.values()) if (config.voters.length === 0) unborn++
    return unborn >= limits.MAX_UNBORN_GROUPS || this.#groups.size >= limits.MAX_GROUPS
  }

  #step(peer: NodeId, group: Group, message: RaftMessage): void {
    if (this.#closed) return
    if (message.t === 'vote' && group.config.voters.length === 0 && this.#departed.has(group.name)) return
    if (message.t === 'vote' && group.settled && !isMember(group.config, peer)) {
      return this.#rpc.note(peer, 'journal.dismissed', { group: group.name, term: group.term })
    }
    // Only what has to be stored waits for what it refers to: votes do not wait for the files of a dead leader.
    if ((message.t !== 'append' && message.t !== 'snapshot') || message.term < group.term) {
      return this.#take(peer, group, message)
    }
    // A leader sends one at a time: another one is the same again, because the first takes long. What a former leader
    // sent comes too late after it.
    if (this.#holding.get(group.name)?.from === peer) return
    const held = this.#hold(peer, group.name, message)
    if (held.length === 0) return this.#take(peer, group, message)
    const done = Promise.all(held)
      .then(() => this.#take(peer, group, message))
      .catch((error: unknown) => {
        const what = `what ${group.name} refers to cannot be had from ${shortNode(peer)}`
        this.#log.log('warn', 'journal', `${what}: ${errorLine(error)}`)
      })
      .finally(() => {
        if (this.#holding.get(group.name)?.done === done) this.#holding.delete(group.name)
      })
    this.#holding.set(group.name, { done, from: peer })
  }

  /** Begins to fetch what the message's entries refer to. */
  #hold(peer: NodeId, name: string, message: RaftMessage & { t: 'append' | 'snapshot' }): Promise<void>[] {
    const owner = this.#ownerOf(name)
    const hold = (kind: 'entry' | 'snapshot', bytes: Uint8Array) => {
      try {
        return owner?.hold?.(kind, bytes, peer) ?? []
      } catch (error) {
        return Promise.reject(error) // bytes that make no sense
      }
    }
    const data = message.t === 'append' ? message.entries.filter(({ kind }) => kind === 'data') : []
    const held =
      message.t === 'append'
        ? data.flatMap(({ bytes }) => hold('entry', bytes))
        : [hold('snapshot', message.snapshot.data)].flat()
    for (const each of held) each.catch(() => undefined) // reported for all of them together
    return held
  }

  #take(peer: NodeId, group: Group, message: RaftMessage): void {
    if (this.#closed) return
    try {
      group.step(peer, message)
    } catch (error) {
      this.#log.log(
        'warn',
        'journal',
        `${shortNode(peer)} said what cannot be about ${group.name}: ${errorLine(error)}`,
      )
    }
  }

  // --- the witness -----------------------------------------------------------------------------------------

  #witnessed(frame: Uint8Array): void {
    const { id } = this.#witness
    if (this.#closed || id === undefined) return
    try {
      const said = decodeWitnessFrame(frame)
      const group = this.#groups.get(said.group)
      if ('message' in said && group && voterOf(group.config, id)?.witness) this.#take(id, group, said.message)
    } catch (error) {
      this.#log.log('warn', 'journal', `the witness said what cannot be: ${errorLine(error)}`)
    }
  }

  #witnessChanged(): void {
    const { id } = this.#witness
    const before = this.#witnessId
    if (this.#closed || id === before) return
    this.#witnessId = id
    for (const group of this.#groups.values()) {
      if (before !== undefined && voterOf(group.config, before)) group.down(before, false)
      if (id !== undefined && voterOf(group.config, id)) group.up(id)
      if (group.leader === undefined) this.#electSoon(group)
      else if (group.leads) this.#reviewSoon(group)
    }
  }

  /** Tells the witness when the journal has enough members without it, so that it may forget. */
  #release({ name, config, term }: Group): void {
    const { id } = this.#witness
    if (id === undefined) return
    if (voterOf(config, id)) this.#counting.add(name)
    else if (this.#counting.delete(name)) this.#host.send(id, name, { t: 'released', term })
  }

  /** The leader says that this node no longer keeps the journal. */
  #dismissed(peer: NodeId, name: string, term: number): void {
    const loading = this.#loading.get(name)
    if (loading) return void loading.then(() => this.#dismissed(peer, name, term)).catch(() => undefined) // logged
    const group = this.#groups.get(name)
    if (!group || group.leads) return
    // One that is still fetching what it begins with has heard of no members: whoever sends it that may take it back.
    const beginning = group.config.voters.length === 0 && this.#holding.get(name)?.from === peer
    if (!beginning && !isMember(group.config, peer)) return
    // A former leader, or anybody else, must not take a copy away that the present one counts on.
    if (term < group.term || (group.leader !== undefined && group.leader !== peer)) return
    this.remove(name).catch((error: unknown) =>
      this.#log.log('warn', 'journal', `${name} cannot be removed: ${errorLine(error)}`),
    )
  }

  // --- elections -------------------------------------------------------------------------------------------

  #lost(peer: NodeId, said: boolean): void {
    this.#left.set(peer, { atMs: this.#clock.nowMs(), said })
    for (const group of this.#groups.values()) {
      if (!isMember(group.config, peer)) continue
      group.down(peer, said)
      if (group.leader === undefined) this.#electSoon(group)
      else if (group.leads) this.#reviewSoon(group)
    }
  }

  #linked(peer: NodeId): void {
    this.#left.delete(peer)
    for (const group of this.#groups.values()) {
      if (isMember(group.config, peer)) {
        group.up(peer)
        if (group.leader === undefined) this.#electSoon(group)
      }
      if (group.leads) this.#reviewSoon(group)
    }
  }

  /** Those who could lead take turns, so that mostly the first is elected before the second asks. */
  #electSoon(group: Group, extraMs = 0): void {
    if (this.#closed || this.#elections.has(group.name)) return
    const here = membersOf(group.config).filter((id) => this.#host.alive(id))
    const turn = here.sort().indexOf(this.#rpc.self)
    const inMs = extraMs + (turn + this.#random.float() / 2) * limits.GROUP_ELECTION_STEP_MS
    const elect = () => {
      this.#elections.delete(group.name)
      if (group.leader === undefined && group.quorate) group.campaign()
    }
    this.#elections.set(group.name, this.#clock.setTimer(elect, inMs, 'journal election'))
  }

  #changed(group: Group): void {
    if (this.#closed) return
    const { leader, name } = group
    const told = this.#told.get(name)
    const leads = group.leads && group.quorate && (told?.leads === true || group.clean)
    if (group.busy) this.#retrySoon()
    if (group.config.voters.length > 0) this.#departed.delete(name)
    const owner = this.#ownerOf(name)
    if (owner?.fold) this.#compact(group, owner.fold.bind(owner))
    const { config } = group
    if (group.settled && (config.learners.length > 0 || this.#reviewed.get(name) !== config)) this.#reviewSoon(group)
    if (told && told.leads === leads && told.leader === leader) return
    this.#told.set(name, { leads, leader })
    if (leads && !told?.leads) {
      owner?.lead(name, group, group.committed())
      this.#arrivals.get(name)?.()
    } else if (!leads) {
      owner?.follow(name, leader)
      if (leader === undefined) this.#electSoon(group)
    }
  }

  #compact(group: Group, fold: NonNullable<JournalOwner['fold']>): void {
    group.compact(fold).catch((error: unknown) => {
      this.#log.log('error', 'journal', `${group.name} cannot be compacted: ${errorLine(error)}`)
    })
  }

  /** One timer for all journals that wait for an answer. */
  #retrySoon(): void {
    this.#retryTimer ??= this.#clock.setTimer(
      () => {
        this.#retryTimer = undefined
        for (const group of this.#groups.values()) if (group.busy) group.tick()
      },
      limits.RAFT_RETRY_MS,
      'journal retry',
    )
  }

  // --- members ---------------------------------------------------------------------------------------------

  #reviewSoon(group: Group): void {
    this.#reviews.add(group.name)
    this.#reviewTimer ??= this.#clock.setTimer(() => this.#review(), limits.GROUP_REVIEW_MS, 'journal members')
  }

  #review(): void {
    this.#reviewTimer = undefined
    for (const name of [...this.#reviews]) {
      const group = this.#groups.get(name)
      this.#reviews.delete(name)
      if (group?.settled) this.#adjust(group)
    }
  }

  #adjust(group: Group): void {
    this.#release(group)
    const nowMs = this.#clock.nowMs()
    const nodes = this.#liveness.nodes()
    const here = (id: NodeId) => nodes.some((node) => node.id === id)
    // Who closed its tab may be back after a reload, and is waited for; but where nobody can take its place, the next
    // tab that closes would leave too few to decide anything.
    const patient = (id: NodeId) => !this.#left.get(id)?.said || nodes.length >= limits.GROUP_SIZE
    const absent = (id: NodeId) => !here(id) && patient(id)
    const replaceMs = (id: NodeId) => {
      return this.#left.get(id)?.said === false ? limits.GROUP_REPLACE_DEAD_MS : limits.GROUP_REPLACE_MS
    }
    const awayMs = (id: NodeId) => nowMs - (this.#left.get(id)?.atMs ?? this.#startedMs)
    const next = nextConfig({
      self: this.#rpc.self,
      config: group.config,
      nodes,
      gone: (id) => !here(id) && (!patient(id) || awayMs(id) >= replaceMs(id)),
      caughtUp: (id) => group.caughtUp(id),
      witness: this.#witness.id,
    })
    const waiting = group.config.voters.some(({ id }) => absent(id) && awayMs(id) < replaceMs(id))
    this.#reviewed.set(group.name, group.config)
    if (waiting || (next && group.config.learners.length > 0)) this.#reviewSoon(group)
    if (!next || sameConfig(next, group.config)) return
    try {
      group.reconfigure(next)
    } catch (error) {
      if (!isOsError(error, 'EAGAIN')) throw error
      this.#reviewSoon(group)
    }
  }
}

function sameConfig(a: GroupConfig, b: GroupConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
