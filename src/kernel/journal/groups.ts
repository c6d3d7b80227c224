// All replicated journals of this node: routes their messages, holds elections when members go, keeps each at its
// wanted size, and tells owners when this node begins or ceases to lead one. Above: the owners (processes, the tree).
// Below: group.ts, intake.ts (messages that wait), members.ts (who keeps what is led here), dismissals.ts (who does no longer), rpc,
// membership.
//
// A journal that nobody writes costs nothing: no timer runs unless some machine waits for an answer, and no message
// is sent unless a node comes or goes.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import type { Random } from '../../ports/random.ts'
import type { WitnessLink } from '../../ports/witness.ts'
import * as limits from '../limits.ts'
import type { Leave } from '../membership/membership.ts'
import type { RpcNode } from '../rpc/node.ts'
import { Beginnings, type BeginOptions } from './beginnings.ts'
import { Dismissals } from './dismissals.ts'
import { Elections } from './elections.ts'
import { type Group, type GroupHost, isMember } from './group.ts'
import { Intake } from './intake.ts'
import type { JournalOwner } from './journal.ts'
import { Kept } from './kept.ts'
import { Led } from './led.ts'
import type { Liveness } from './liveness.ts'
import { Members } from './members.ts'
import { membersOf, voterOf } from './raft/config.ts'
import { decodeWitnessFrame, encodeWitnessFrame, type RaftMessage } from './raft/messages.ts'
import { Reopening } from './reopening.ts'

export type { JournalOwner } from './journal.ts'

export class Groups {
  readonly #rpc: RpcNode
  readonly #store: LogStore
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #liveness: Liveness
  readonly #witness: WitnessLink
  /** The one that was there last. */
  #witnessId: NodeId | undefined
  readonly #owners = new Map<string, JournalOwner>()
  readonly #kept: Kept
  /** What an owner was told last, by journal. */
  readonly #told = new Map<string, { leads: Led | undefined; leader: NodeId | undefined }>()
  readonly #beginnings: Beginnings
  readonly #elections: Elections
  readonly #intake: Intake
  readonly #members: Members
  readonly #dismissals: Dismissals
  readonly #reopening: Reopening
  #retryTimer: Timer | undefined
  #closed = false
  /** Some that were kept here could not be read when this tab was opened: nobody knows what they mean. */
  unread = false
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
    this.#log = options.log
    this.#liveness = options.liveness
    this.#witness = options.witness
    this.#beginnings = new Beginnings(options.rpc.self, options.clock, options.liveness)
    this.#reopening = new Reopening(options.clock, (name) => void this.#reopen(name))
    this.#intake = new Intake((name) => this.#ownerOf(name), options.log)
    this.#host = {
      self: this.#rpc.self,
      store: this.#store,
      clock: this.#clock,
      log: this.#log,
      alive: (id) => id === this.#rpc.self || id === this.#witness.id || this.#liveness.has(id),
      deviceOf: (id) => this.#liveness.deviceOf(id),
      send: (to, group, message) => {
        try {
          if (to === this.#witness.id) this.#witness.send(encodeWitnessFrame({ group, message }))
          else {
            this.#enclose(to, group, message)
            this.#rpc.note(to, 'journal.step', { group, message })
          }
        } catch (error) {
          // It is sent again; the machine that asked for it goes on.
          this.#log.log('warn', 'journal', `not sent to ${shortNode(to)} about ${group}: ${errorLine(error)}`)
        }
      },
      changed: (group) => this.#changed(group),
    }
    this.#kept = new Kept(this.#host, options.store, options.log)
    this.#members = new Members({
      self: options.rpc.self,
      clock: options.clock,
      liveness: options.liveness,
      witness: options.witness,
      find: (name) => this.find(name),
      dismissed: (id, group) => this.#dismissals.tell(id, group, group.configIndex),
      released: ({ name, term }) => {
        if (options.witness.id !== undefined) this.#host.send(options.witness.id, name, { t: 'released', term })
      },
    })
    this.#dismissals = new Dismissals({
      ...options,
      kept: this.#kept,
      members: this.#members,
      intake: this.#intake,
      ownerOf: (name) => this.#ownerOf(name),
      remove: (name) => this.remove(name),
    })
    this.#elections = new Elections({
      ...options,
      self: options.rpc.self,
      members: this.#members,
      alive: (id) => this.#host.alive(id),
    })
  }

  /** @param prefix of the names that this owner's journals have, ending in `/`. */
  own(prefix: string, owner: JournalOwner): void {
    this.#owners.set(prefix, owner)
  }

  /** Reads what this node keeps, and takes part. */
  async start(): Promise<void> {
    await this.#kept.departed.load()
    this.#rpc.onNote('journal.step', (peer, { group, message }) => this.#received(peer, group, message))
    this.#rpc.onNote('journal.dismissed', (peer, said) => this.#dismissals.heard(peer, said))
    this.#liveness.onLeft((peer, said) => this.#lost(peer, said))
    this.#liveness.onLink((peer) => this.#linked(peer))
    this.#liveness.onUnfit(() => this.#beginnings.changed())
    this.#liveness.onSilent((peer) => this.#succeed(peer))
    this.#liveness.onFit(() => {
      for (const group of this.#kept.values()) {
        if (group.leads) this.#members.reviewSoon(group)
        else if (group.leader === undefined) this.#elections.soon(group)
      }
    })
    this.#witness.onFrame((frame) => this.#witnessed(frame))
    this.#witness.onChange(() => this.#witnessChanged())
    this.#witnessChanged()
    const names = (await this.#store.list()).filter((name) => this.#ownerOf(name))
    // One that cannot be read, which is logged, keeps no other from starting.
    const loaded = await Promise.allSettled(names.map((name) => this.#kept.load(name)))
    this.unread = loaded.some(({ status }) => status === 'rejected')
    for (const group of this.#kept.values()) this.#takePart(group)
  }

  /** After it was read from the disk. */
  #takePart(group: Group): void {
    const [only, ...others] = group.config.voters
    if (only?.id === this.#rpc.self && others.length === 0) group.campaign()
    else this.#elections.soon(group, limits.GROUP_BOOT_MS)
  }

  /** The disk may store again: it goes on with what is there, as after a reload. */
  async #reopen(name: string): Promise<void> {
    const failed = this.#kept.get(name)
    if (!failed?.failure) return
    try {
      const again = await this.#kept.reload(name, () => !this.#closed && this.#kept.get(name) === failed)
      if (!again) return
      this.#intake.forget(name)
      this.#elections.cancel(name)
      this.#takePart(again)
    } catch (error) {
      this.#log.log('warn', 'journal', `${name} cannot be opened again: ${errorLine(error)}`)
      if (this.#kept.get(name) === failed) this.#reopening.soon(name)
    }
  }

  /** Journals kept here whose names begin so. */
  names(prefix: string): string[] {
    return [...this.#kept.names()].filter((name) => name.startsWith(prefix))
  }

  /** How many of them nobody leads, mostly because too few of those who keep them, or have the latest, are here. */
  get waiting(): number {
    const waits = ({ config, leader, quorate }: Group) => config.voters.length > 0 && (!quorate || leader === undefined)
    return [...this.#kept.values()].filter(waits).length
  }

  /** The journal, if it is kept here. */
  find(name: string): Group | undefined {
    return this.#kept.get(name)
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
  async create(name: string, data: Uint8Array, options: BeginOptions = {}): Promise<void> {
    if (this.#closed) throw new OsError('ECANCELED', 'this tab is closing')
    if (this.#kept.get(name) || this.#kept.loading(name)) throw new OsError('EEXIST', `${name} exists already`)
    try {
      await this.#beginnings.wait(name, () => this.#found(name, data), options)
    } catch (error) {
      if (isOsError(error, 'ETIMEDOUT')) this.#beginnings.mute(this.#kept.get(name)?.withoutAny ?? [])
      this.#dismissals.tellAll(name) // also members that have not answered: it must not come to life without this node
      await this.remove(name)
      throw error
    }
  }

  /** @returns who keeps it besides. */
  async #found(name: string, data: Uint8Array): Promise<readonly NodeId[]> {
    const group = await this.#kept.create(name, this.#beginnings.firstConfig(name), data)
    this.#changed(group)
    return membersOf(group.config).filter((id) => id !== this.#rpc.self)
  }

  /** Ends a journal that nobody needs any more, everywhere. */
  async retire(name: string): Promise<void> {
    const leads = this.#kept.get(name)?.leads === true
    if (leads) this.#dismissals.tellAll(name)
    await this.remove(name, { ended: leads })
  }

  /** Forgets a journal here, but not in which term that was. @param departs it may have promised something for it. */
  async remove(name: string, { departs = true, ended = false } = {}): Promise<void> {
    // Whoever opens this tab's slot next goes on with what is there, perhaps already: it is not ours any more.
    if (this.#closed) return
    this.#told.delete(name)
    this.#members.forget(name)
    this.#elections.cancel(name)
    this.#intake.forget(name)
    this.#reopening.forget(name)
    await this.#kept.remove(name, { departs, ended })
  }

  /** This tab closes: whoever has most of each journal goes on with it. */
  close(): void {
    for (const group of this.#kept.values()) if (group.leads) group.handOver()
    this.#closed = true
    this.#members.close()
    this.#reopening.close()
    this.#elections.close()
    this.#retryTimer?.cancel()
    for (const group of this.#kept.values()) group.close('this tab is closing')
  }

  /** What the entries refer to may go ahead of them. */
  #enclose(to: NodeId, name: string, message: RaftMessage): void {
    if (message.t !== 'append') return
    const data = message.entries.flatMap(({ kind, bytes }) => (kind === 'data' ? [bytes] : []))
    if (data.length > 0) this.#ownerOf(name)?.enclose?.(data, to)
  }

  #ownerOf(name: string): JournalOwner | undefined {
    return this.#owners.get(name.slice(0, name.indexOf('/') + 1))
  }

  #received(peer: NodeId, name: string, message: RaftMessage): void {
    if (this.#closed || !this.#ownerOf(name)) return
    const group = this.#kept.get(name)
    if (group) return this.#step(peer, group, message)
    if (message.t === 'check') return this.#host.send(peer, name, { t: 'resigned', term: message.term })
    // A member that has heard of nothing yet may be asked for its vote: it has promised nothing.
    if (message.t !== 'append' && message.t !== 'snapshot' && message.t !== 'vote') return
    if (message.t === 'vote' && this.#kept.departed.has(name)) return this.#dismissals.answer(peer, name, message)
    if (!this.#kept.loading(name) && !this.#kept.mayName(peer)) return
    this.#kept
      .load(name, peer)
      .then((loaded) => this.#step(peer, loaded, message))
      .catch(() => undefined) // logged where it was read
  }

  #step(peer: NodeId, group: Group, message: RaftMessage): void {
    if (this.#closed) return
    if (message.t === 'vote' && group.config.voters.length === 0 && this.#kept.departed.has(group.name)) return
    if (message.t === 'vote' && this.#dismissals.leftOut(peer, group, message)) {
      return this.#dismissals.tell(peer, group, group.configIndex)
    }
    this.#intake.step(peer, group, message)
    if (message.t === 'vote' && group.leader === undefined) this.#elections.after(message, group)
  }

  // --- the witness -----------------------------------------------------------------------------------------

  #witnessed(frame: Uint8Array): void {
    const { id } = this.#witness
    if (this.#closed || id === undefined) return
    try {
      const said = decodeWitnessFrame(frame)
      const group = this.#kept.get(said.group)
      if ('message' in said && group && voterOf(group.config, id)?.witness) this.#intake.take(id, group, said.message)
    } catch (error) {
      this.#log.log('warn', 'journal', `the witness said what cannot be: ${errorLine(error)}`)
    }
  }

  #witnessChanged(): void {
    const { id } = this.#witness
    const before = this.#witnessId
    if (this.#closed || id === before) return
    this.#witnessId = id
    for (const group of this.#kept.values()) {
      if (before !== undefined && voterOf(group.config, before)) group.down(before, false)
      if (id !== undefined && voterOf(group.config, id)) group.up(id)
      if (group.leader === undefined) this.#elections.soon(group)
      else if (group.leads) this.#members.reviewSoon(group)
    }
  }

  // --- who is here, and who leads -------------------------------------------------------------------------

  #lost(peer: NodeId, said: Leave): void {
    // Not sooner than anybody may be followed instead: what it has acknowledged until now may hold somebody's lease.
    if (this.#kept.hasUnborn)
      this.#clock.setTimer(() => this.#giveUp(peer), limits.RAFT_STICK_MS, 'journals to give up')
    this.#members.left(peer, said !== null)
    this.#beginnings.left(peer)
    this.#intake.lost(peer)
    for (const group of this.#kept.values()) {
      if (!isMember(group.config, peer)) continue
      // What the relay says ends nobody's lease.
      group.down(peer, said === 'itself')
      if (group.leader === undefined) this.#elections.soon(group)
      else if (group.leads) this.#members.reviewSoon(group)
    }
  }

  /** What a node leads that is there, and answers nobody, is led by another, as it learns when it is back. */
  #succeed(peer: NodeId): void {
    if (this.#closed) return
    for (const group of this.#kept.values()) {
      group.mute(peer)
      if (group.leader !== peer) continue
      group.down(peer, false)
      if (group.leader === undefined) this.#elections.soon(group)
    }
  }

  /** Those of which nothing is known yet but the name, and nobody sends more: who does later begins anew here. */
  #giveUp(gone: NodeId): void {
    if (this.#closed || this.#liveness.has(gone)) return
    for (const { name, leader, promised, config } of [...this.#kept.values()]) {
      if (config.voters.length > 0) continue
      if ((leader !== undefined && leader !== gone) || this.#intake.from(name) !== undefined) continue
      // Whoever it voted for may lead by that vote; those who have more of it need the vote of one that has promised nothing.
      const left = this.#kept.departed.has(name)
      // But names cost nothing: beyond some, a promise is kept by never voting again.
      if (promised && !left && !this.#kept.crowded) continue
      this.remove(name, { departs: left || promised }).catch((error: unknown) => {
        this.#log.log('warn', 'journal', `${name}, of which nothing is here, cannot be removed: ${errorLine(error)}`)
      })
    }
  }

  #linked(peer: NodeId): void {
    this.#members.back(peer)
    for (const group of this.#kept.values()) {
      if (isMember(group.config, peer)) {
        group.up(peer)
        if (group.leader === undefined) this.#elections.soon(group)
      }
      if (group.leads) this.#members.reviewSoon(group)
    }
  }

  #changed(group: Group): void {
    if (this.#closed) return
    const { leader, name } = group
    const told = this.#told.get(name)
    const leads = group.leads && group.quorate && (told?.leads !== undefined || group.clean)
    if (group.failure) {
      // Other failures of a disk pass, mostly.
      if (group.failure.code === 'ENOSPC') this.#beginnings.full(name, group.failure)
      this.#reopening.soon(name)
    } else if (group.busy) this.#retrySoon()
    if (group.config.voters.length > 0) this.#kept.departed.delete(name)
    const owner = this.#ownerOf(name)
    if (owner?.fold) this.#compact(group, owner.fold.bind(owner))
    if (!group.leads) this.#members.follows(group)
    if (this.#members.due(group)) this.#members.reviewSoon(group)
    if (told && (told.leads !== undefined) === leads && told.leader === leader) return
    const led = leads ? (told?.leads ?? new Led(group)) : undefined
    this.#told.set(name, { leads: led, leader })
    if (led && led !== told?.leads) {
      owner?.lead(name, led, group.committed())
      this.#beginnings.arrived(name)
    } else if (!led) {
      told?.leads?.end()
      owner?.follow(name, leader)
      if (leader === undefined) this.#elections.soon(group)
    }
  }

  #compact(group: Group, fold: NonNullable<JournalOwner['fold']>): void {
    group.compact(fold).catch((error: unknown) => {
      this.#log.log('error', 'journal', `${group.name} cannot be compacted: ${errorLine(error)}`)
    })
  }

  #tick(group: Group): void {
    group.tick()
    if (group.leads && membersOf(group.config).some((id) => group.stuck(id))) this.#members.reviewSoon(group)
  }

  /** One timer for all journals that wait for an answer. */
  #retrySoon(): void {
    this.#retryTimer ??= this.#clock.setTimer(
      () => {
        this.#retryTimer = undefined
        for (const group of this.#kept.values()) if (group.busy) this.#tick(group)
      },
      limits.RAFT_RETRY_MS,
      'journal retry',
    )
  }
}
