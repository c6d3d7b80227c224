// Raft as published, for one journal on one member: a machine without clock, network or disk. It is told what happens
// (messages, time, who is away) and hands out what to store and to send.
// Sources: Ongaro and Ousterhout 2014; Ongaro's thesis 2014, §4.1 (membership), §6.4 (reads), §9.6 (pre-vote);
// witness: Liskov et al. 1991 (Harp). No heartbeats: liveness is a property of nodes (../../membership), so that an
// idle journal costs nothing, as in CockroachDB's quiescent ranges.
//
// Roles: follower → precandidate → candidate → leader; a higher term makes any of them a follower.
// A leader that is alive as far as this node knows is not voted out, unless it hands over itself.
import { assert } from '../../../base/assert.ts'
import { OsError } from '../../../base/errors.ts'
import type { NodeId } from '../../../base/ids.ts'
import {
  MAX_TERM_LEAP,
  RAFT_EAGER_RETRIES,
  RAFT_GIVE_WAY_MS,
  RAFT_RETRY_MAX_MS,
  RAFT_RETRY_MS,
  RAFT_STICK_MS,
} from '../../limits.ts'
import { mutated } from '../../mutations.ts'
import { type GroupConfig, majority, membersOf, voterOf } from './config.ts'
import { Leadership } from './leadership.ts'
import type { RaftLog } from './log.ts'
import type { Entry, RaftMessage, Snapshot } from './messages.ts'

export type Role = 'follower' | 'precandidate' | 'candidate' | 'leader'

export interface HardState {
  term: number
  vote: NodeId | null
}

export interface Envelope {
  to: NodeId
  message: RaftMessage
}

/** What the driver has to do, in this order: send `early`; store `hard`, `snapshot`, `entries`; send `late`. */
export interface Ready {
  hard: HardState | undefined
  snapshot: Snapshot | undefined
  /** Stored entries from here on are replaced by `entries`. */
  from: number
  entries: Entry[]
  early: Envelope[]
  late: Envelope[]
}

export class Raft {
  readonly self: NodeId
  readonly log: RaftLog
  /** Whether a member can be reached now. */
  readonly #alive: (id: NodeId) => boolean
  #term: number
  #vote: NodeId | null
  #role: Role = 'follower'
  #leader: NodeId | undefined
  #commit: number
  #votes = new Set<NodeId>()
  #campaignMs = 0
  /** It leaves it to others to be elected. */
  #gaveWayMs = Number.NEGATIVE_INFINITY
  /** How often it has asked for votes since somebody led, or came. */
  #campaigns = 0
  #transfer = false
  /** Exists while this member leads. */
  #leadership: Leadership | undefined
  #heardLeaderMs = Number.NEGATIVE_INFINITY
  #hardDirty = false
  /** It has voted, or may have before it was read from the disk. */
  #promised: boolean
  #installed: Snapshot | undefined
  #early: Envelope[] = []
  #late: Envelope[] = []

  constructor(options: { self: NodeId; hard: HardState; log: RaftLog; alive: (id: NodeId) => boolean }) {
    this.self = options.self
    this.log = options.log
    this.#alive = options.alive
    // Whoever has stored something was in its term.
    const behind = options.hard.term < options.log.lastTerm
    this.#term = behind ? options.log.lastTerm : options.hard.term
    this.#vote = behind ? null : options.hard.vote
    this.#commit = this.log.snapshot.index
    this.#promised = options.hard.term > 0
  }

  get term(): number {
    return this.#term
  }

  get promised(): boolean {
    return this.#promised
  }

  get role(): Role {
    return this.#role
  }

  get leader(): NodeId | undefined {
    return this.#leader
  }

  get commit(): number {
    return this.#leadership?.commit ?? this.#commit
  }

  get config(): GroupConfig {
    return this.log.config
  }

  /** It leads, and what earlier leaders left is committed: all there is, is known here. */
  get established(): boolean {
    return this.#leadership?.established === true
  }

  /** Something is under way that may need `tick` to go on. */
  get busy(): boolean {
    return this.#leadership?.busy ?? this.#role !== 'follower'
  }

  /** Enough voters are here to decide anything. */
  get quorate(): boolean {
    const here = this.config.voters.filter(({ id }) => id === this.self || this.#alive(id)).length
    return here >= majority(this.config)
  }

  /** As a leader: members (but witnesses) that have stored everything up to `index`. */
  holders(index: number): NodeId[] {
    const has = (id: NodeId) => (this.#leadership?.matchOf(id) ?? 0) >= index
    return membersOf(this.config).filter((id) => !voterOf(this.config, id)?.witness && has(id))
  }

  // --- what the owner asks ---------------------------------------------------------------------------------

  /** @returns the index of the last of them. @throws {OsError} EAGAIN when this member does not lead, or hands over. */
  propose(entries: readonly Uint8Array[], nowMs: number): number {
    return this.#leading().propose(entries, nowMs)
  }

  /**
   * One step to other members; a majority of the new ones has to agree.
   * @returns the index of the change. @throws {OsError} EAGAIN not the leader, or a change is under way; EINVAL.
   */
  reconfigure(config: GroupConfig, nowMs: number): number {
    return this.#leading().reconfigure(config, nowMs)
  }

  /** Leads a journal that it has just created: nobody else knows of it yet, so nobody else can lead its first term. */
  found(nowMs: number): void {
    assert(this.log.lastIndex === this.log.snapshot.index && this.#term === 0, 'a journal is founded once')
    this.#setHard(1, this.self)
    this.#lead(nowMs)
  }

  /** Asks the others for their votes. */
  campaign(nowMs: number, transfer = false): void {
    if (this.#role === 'leader' || !this.#electable) return
    if (!transfer && nowMs - this.#gaveWayMs < RAFT_GIVE_WAY_MS) return
    this.#transfer = transfer
    this.#campaignMs = nowMs
    this.#campaigns++
    if (transfer) return this.#candidate(nowMs)
    this.#role = 'precandidate'
    this.#leader = undefined
    this.#votes = new Set([this.self])
    if (this.#elected) this.#candidate(nowMs)
    else this.#askVotes()
  }

  /** Whoever leaves with a change that is not committed may be the only one that has it: it can lead until then. */
  get #electable(): boolean {
    const configs = this.log.configIndex > this.#commit ? [this.config, this.log.configBefore] : [this.config]
    return configs.some((config) => voterOf(config, this.self)?.witness === false)
  }

  get #elected(): boolean {
    return this.config.voters.filter(({ id }) => this.#votes.has(id)).length >= majority(this.config)
  }

  /** Hands over to the member that has most, as soon as it has everything. @returns to whom. */
  handOver(nowMs: number): NodeId | undefined {
    return this.#leadership?.handOver(nowMs)
  }

  /**
   * Begins to make sure that this member still leads.
   * @returns the round to wait for (`confirmed`); undefined when it is certain already. @throws {OsError} EAGAIN.
   */
  confirm(nowMs: number): number | undefined {
    return this.#leading().confirm(nowMs)
  }

  /** Whether a majority answered that round, and what was committed before it began is known to be. */
  confirmed(round: number): boolean {
    return this.#leadership?.confirmed(round) === true
  }

  #leading(): Leadership {
    if (!this.#leadership) throw new OsError('EAGAIN', 'this node does not lead the journal')
    return this.#leadership
  }

  // --- what happens ----------------------------------------------------------------------------------------

  /** A member went away. @param said it took its leave, so its lease ends too. */
  down(id: NodeId, said: boolean): void {
    if (this.#leadership) return this.#leadership.down(id)
    if (this.#leader !== id) return
    this.#leader = undefined
    if (said) this.#heardLeaderMs = Number.NEGATIVE_INFINITY
  }

  /** A member is there and answers nothing. */
  mute(id: NodeId, nowMs: number): void {
    this.#leadership?.mute(id, nowMs)
  }

  /** As a leader: whether nobody should wait for that member, though it may be there. */
  isMute(id: NodeId, nowMs: number): boolean {
    return this.#leadership?.isMute(id, nowMs) === true
  }

  /** As a leader: how long that member has stored nothing of what it lacks, ms. */
  silentMs(id: NodeId, nowMs: number): number {
    return this.#leadership?.silentMs(id, nowMs) ?? 0
  }

  /** A member came back: it gets what it has missed. One that led may have forgotten that it did. */
  up(id: NodeId, nowMs: number): void {
    this.#campaigns = 0
    this.#leadership?.up(id, nowMs)
    if (id === this.#leader && id !== this.self) this.#later(id, { t: 'check', term: this.#term })
  }

  /** Sends again what was not answered. */
  tick(nowMs: number): void {
    if (this.#leadership) return this.#leadership.tick(nowMs)
    // Whoever was replaced while it was away may never hear of that, and ask in vain for as long as it runs.
    const pauseMs = RAFT_RETRY_MS * 2 ** Math.max(0, this.#campaigns - RAFT_EAGER_RETRIES)
    if (this.#role === 'follower' || nowMs - this.#campaignMs < Math.min(pauseMs, this.#mostPauseMs)) return
    // Without a majority in sight it does not go on raising the term.
    if (this.quorate) this.campaign(nowMs)
    else this.#role = 'follower'
  }

  /** A witness knows first that a leader is gone which this member lost sight of, and does not say so. */
  get #mostPauseMs(): number {
    return this.config.voters.some(({ witness }) => witness) ? 2 * RAFT_RETRY_MS : RAFT_RETRY_MAX_MS
  }

  /** @throws {OsError} EPROTO for what no honest member says: nothing has changed then. */
  step(from: NodeId, message: RaftMessage, nowMs: number): void {
    if (message.term > this.#term + MAX_TERM_LEAP) {
      throw new OsError('EPROTO', `term ${message.term} cannot be: this member is at ${this.#term}`)
    }
    if (message.t === 'witness' || message.t === 'released') return // this member keeps entries
    if (message.t === 'check') return this.#checked(from, nowMs)
    if (message.t === 'resigned') return this.#resigned(from, message.term)
    if (message.term >= this.#term && this.#doubts(from, message, nowMs)) return
    if (message.term > this.#term) {
      if (message.t === 'vote') {
        if (from === this.#leader) this.#leader = undefined // it would not ask if it still led
        if (!message.transfer && this.#leaderHolds(nowMs)) {
          // Whoever asks has lost sight of the leader, which may have nothing else to tell it.
          if (this.#leadership) this.#leadership.sendTo(from, nowMs, true)
          else if (this.#leader !== undefined) this.#later(this.#leader, { t: 'check', term: this.#term })
          return this.#refuse(from, message)
        }
        if (!message.pre) this.#follow(message.term, undefined)
      } else if (!(message.t === 'voted' && message.pre && message.granted)) {
        const leads = message.t === 'append' || message.t === 'snapshot'
        this.#follow(message.term, leads ? from : undefined)
      }
    } else if (message.term < this.#term && !mutated('forget-fencing')) return this.#refuse(from, message)
    switch (message.t) {
      case 'vote':
        return this.#voteFor(from, message)
      case 'voted':
        return this.#voted(from, message, nowMs)
      case 'append':
        return this.#append(from, message, nowMs)
      case 'snapshot':
        return this.#install(from, message, nowMs)
      case 'appended':
        return this.#leadership?.appended(from, message, nowMs)
      case 'full':
        return this.#full(from, nowMs)
      case 'transfer':
        return from === this.#leader ? this.campaign(nowMs, true) : undefined
    }
  }

  /** What to store and to send since the last call; undefined: nothing. One at a time, each followed by `stored`. */
  ready(): Ready | undefined {
    const { from, entries } = this.log.takeUnstored()
    const hard = this.#hardDirty ? { term: this.#term, vote: this.#vote } : undefined
    const snapshot = this.#installed
    const [early, late] = [this.#early, this.#late]
    if (!hard && !snapshot && entries.length === 0 && early.length === 0 && late.length === 0) return undefined
    this.#hardDirty = false
    this.#installed = undefined
    this.#early = []
    this.#late = []
    // A term that is not stored yet must not be seen by others: after a crash it could be led twice.
    if (hard) return { hard, snapshot, from, entries, early: [], late: [...early, ...late] }
    return { hard, snapshot, from, entries, early, late }
  }

  stored(nowMs: number): void {
    this.log.stored()
    this.#leadership?.stored(nowMs)
  }

  #checked(from: NodeId, nowMs: number): void {
    if (this.#leadership) this.#leadership.sendTo(from, nowMs, true)
    else this.#later(from, { t: 'resigned', term: this.#term })
  }

  #resigned(from: NodeId, term: number): void {
    if (from !== this.#leader || term < this.#term || this.#role === 'leader') return
    this.#leader = undefined
    this.#heardLeaderMs = Number.NEGATIVE_INFINITY
  }

  /**
   * Whoever is no member as far as this one knows may be one by changes that are not here yet, or an intruder. Nobody
   * asked it for an answer; and before it is taken for the leader, the one that is known has to say that it is not.
   */
  #doubts(from: NodeId, { t }: RaftMessage, nowMs: number): boolean {
    const known = [this.config, this.log.configBefore].some((config) => membersOf(config).includes(from))
    if (known || this.config.voters.length === 0 || t === 'vote') return false
    if (t !== 'append' && t !== 'snapshot') return true
    if (this.#leadership) {
      // Members that follow another tell its term.
      if (this.quorate) this.#leadership.probe(nowMs)
      return this.quorate
    }
    if (this.#leader === undefined || this.#leader === from || !this.#alive(this.#leader)) return false
    this.#later(this.#leader, { t: 'check', term: this.#term })
    return true
  }

  /** What no majority has room for would stand in the way of all that comes behind it: whoever lacks it leads on without. */
  #full(from: NodeId, nowMs: number): void {
    this.#leadership?.full(from, nowMs)
    if (!this.#leadership?.blocked) return
    for (const { id, witness } of this.config.voters) {
      if (id !== this.self && !witness) this.#later(id, { t: 'resigned', term: this.#term })
    }
    this.#follow(this.#term, undefined)
    this.#heardLeaderMs = Number.NEGATIVE_INFINITY
    this.#gaveWayMs = nowMs
  }

  // --- votes -----------------------------------------------------------------------------------------------

  #leaderHolds(nowMs: number): boolean {
    if (nowMs - this.#heardLeaderMs < RAFT_STICK_MS) return true
    return this.#leader !== undefined && (this.#leader === this.self || this.#alive(this.#leader))
  }

  /** Tells somebody who is behind, or whose time has not come, our term. */
  #refuse(from: NodeId, message: RaftMessage): void {
    const term = this.#term
    if (message.t === 'vote') this.#later(from, { t: 'voted', term, pre: message.pre, granted: false })
    else if (message.t === 'append' || message.t === 'snapshot' || message.t === 'transfer') {
      this.#later(from, { t: 'appended', term, ok: false, index: 0, round: 0 })
    }
  }

  #voteFor(from: NodeId, vote: RaftMessage & { t: 'vote' }): void {
    const { pre, term } = vote
    const free = pre ? term > this.#term : (this.#vote === null || this.#vote === from) && this.#role === 'follower'
    const granted = (free || mutated('vote-twice')) && (!this.log.isAheadOf(vote) || mutated('skip-vote-check'))
    if (granted && !pre) this.#setHard(this.#term, from)
    this.#later(from, { t: 'voted', term: granted ? term : this.#term, pre, granted })
  }

  #voted(from: NodeId, { pre, granted, term }: RaftMessage & { t: 'voted' }, nowMs: number): void {
    const asked = pre ? this.#role === 'precandidate' && term === this.#term + 1 : this.#role === 'candidate'
    if (!granted || !asked) return
    this.#votes.add(from)
    if (!this.#elected) return
    if (pre) this.#candidate(nowMs)
    else this.#lead(nowMs)
  }

  #candidate(nowMs: number): void {
    this.#role = 'candidate'
    this.#leader = undefined
    this.#votes = new Set([this.self])
    this.#setHard(this.#term + 1, this.self)
    if (this.#elected) this.#lead(nowMs)
    else this.#askVotes()
  }

  #askVotes(): void {
    const pre = this.#role === 'precandidate'
    const { lastIndex, lastTerm } = this.log
    const term = pre ? this.#term + 1 : this.#term
    for (const { id } of this.config.voters) {
      if (id !== this.self) this.#later(id, { t: 'vote', term, pre, transfer: this.#transfer, lastIndex, lastTerm })
    }
  }

  #lead(nowMs: number): void {
    this.#role = 'leader'
    this.#leader = this.self
    this.#campaigns = 0
    this.#leadership = new Leadership({
      self: this.self,
      term: this.#term,
      log: this.log,
      alive: this.#alive,
      commit: this.#commit,
      send: (to, message) => this.#early.push({ to, message }),
      nowMs,
    })
  }

  #follow(term: number, leader: NodeId | undefined): void {
    this.#commit = this.commit
    this.#leadership = undefined
    this.#role = 'follower'
    this.#leader = leader
    if (term > this.#term) this.#setHard(term, null)
  }

  #setHard(term: number, vote: NodeId | null): void {
    if (this.#term === term && this.#vote === vote) return
    this.#term = term
    this.#vote = mutated('forget-vote') ? null : vote
    this.#hardDirty = true
    if (vote !== null) this.#promised = true
  }

  // --- as a follower ---------------------------------------------------------------------------------------

  #heardLeader(from: NodeId, nowMs: number): void {
    if (this.#role !== 'follower') this.#follow(this.#term, from)
    this.#leader = from
    this.#campaigns = 0
    this.#heardLeaderMs = nowMs
  }

  #append(from: NodeId, message: RaftMessage & { t: 'append' }, nowMs: number): void {
    if (this.#role === 'leader') return // a term has one leader: somebody lies
    this.#heardLeader(from, nowMs)
    const { term, prevIndex, prevTerm, entries, commit, round } = message
    if (prevIndex < this.log.snapshot.index) {
      return this.#later(from, { t: 'appended', term, ok: true, index: this.#commit, round })
    }
    if (this.log.termAt(prevIndex) !== prevTerm && !mutated('skip-log-match')) {
      const index = Math.min(prevIndex - 1, this.log.lastIndex)
      return this.#later(from, { t: 'appended', term, ok: false, index, round })
    }
    this.log.merge(prevIndex, entries, this.#commit)
    const index = prevIndex + entries.length
    this.#commit = Math.max(this.#commit, Math.min(commit, index))
    const answer: RaftMessage = { t: 'appended', term, ok: true, index, round }
    if (mutated('ack-before-stored')) this.#early.push({ to: from, message: answer })
    else this.#later(from, answer)
  }

  #install(from: NodeId, { term, snapshot, round }: RaftMessage & { t: 'snapshot' }, nowMs: number): void {
    if (this.#role === 'leader') return
    this.#heardLeader(from, nowMs)
    if (snapshot.index > this.#commit) {
      this.log.install(snapshot)
      this.#installed = snapshot
      this.#commit = snapshot.index
    }
    this.#later(from, { t: 'appended', term, ok: true, index: this.#commit, round })
  }

  #later(to: NodeId, message: RaftMessage): void {
    this.#late.push({ to, message })
  }
}
