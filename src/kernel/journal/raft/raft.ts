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
import { RAFT_LEASE_MS, RAFT_RETRY_MS, RAFT_STICK_MS } from '../../limits.ts'
import { mutated } from '../../mutations.ts'
import { type GroupConfig, isSingleStep, majority, membersOf, reachedByMajority, voterOf } from './config.ts'
import { configEntry, type RaftLog } from './log.ts'
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

/** What a leader knows about another member. */
interface Progress {
  /** Highest entry known to be stored there. */
  match: number
  /** Next entry to send. */
  next: number
  /** When a message was sent that is not answered yet. */
  waitingSinceMs: number | undefined
  /** Newest round that it answered. */
  round: number
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
  #transfer = false
  #progress = new Map<NodeId, Progress>()
  /** Index of the first entry of this leader's term. */
  #termStart = 0
  #round = 0
  /** When each round began that a majority has not answered yet. */
  readonly #rounds = new Map<number, number>()
  #confirmedRound = 0
  #leaseUntilMs = Number.NEGATIVE_INFINITY
  /** Until it has asked somebody to take over: that message may arrive at any time. */
  #mayLease = false
  #heardLeaderMs = Number.NEGATIVE_INFINITY
  #handover: { to: NodeId; sinceMs: number } | undefined
  #hardDirty = false
  #installed: Snapshot | undefined
  #early: Envelope[] = []
  #late: Envelope[] = []

  constructor(options: { self: NodeId; hard: HardState; log: RaftLog; alive: (id: NodeId) => boolean }) {
    this.self = options.self
    this.log = options.log
    this.#alive = options.alive
    this.#term = options.hard.term
    this.#vote = options.hard.vote
    this.#commit = this.log.snapshot.index
  }

  get term(): number {
    return this.#term
  }

  get role(): Role {
    return this.#role
  }

  get leader(): NodeId | undefined {
    return this.#leader
  }

  get commit(): number {
    return this.#commit
  }

  get config(): GroupConfig {
    return this.log.config
  }

  /** It leads, and what earlier leaders left is committed: all there is, is known here. */
  get established(): boolean {
    return this.#role === 'leader' && this.#commit >= this.#termStart
  }

  /** Something is under way that may need `tick` to go on. */
  get busy(): boolean {
    if (this.#role === 'candidate' || this.#role === 'precandidate') return true
    if (this.#role !== 'leader') return false
    if (this.#handover || this.#retired) return true
    for (const [id, { waitingSinceMs }] of this.#progress)
      if (waitingSinceMs !== undefined && this.#alive(id)) return true
    return false
  }

  /** Enough voters are here to decide anything. */
  get quorate(): boolean {
    const here = this.config.voters.filter(({ id }) => id === this.self || this.#alive(id)).length
    return here >= majority(this.config)
  }

  /** As a leader: members (but witnesses) that have stored everything up to `index`. */
  holders(index: number): NodeId[] {
    return membersOf(this.config).filter((id) => !voterOf(this.config, id)?.witness && this.#matchOf(id) >= index)
  }

  // --- what the owner asks ---------------------------------------------------------------------------------

  /** @returns the index of the last of them. @throws {OsError} EAGAIN when this member does not lead. */
  propose(entries: readonly Uint8Array[], nowMs: number): number {
    this.#mustLead()
    this.log.append(entries.map((bytes) => ({ term: this.#term, kind: 'data' as const, bytes })))
    this.#broadcast(nowMs)
    return this.log.lastIndex
  }

  /**
   * One step to other members; a majority of the new ones has to agree.
   * @returns the index of the change. @throws {OsError} EAGAIN not the leader, or a change is under way; EINVAL.
   */
  reconfigure(config: GroupConfig, nowMs: number): number {
    this.#mustLead()
    const underWay = this.log.configIndex > this.#commit || this.#commit < this.#termStart
    if (underWay && !mutated('reconfigure-early')) {
      throw new OsError('EAGAIN', 'another change of members is under way')
    }
    if (!isSingleStep(this.config, config)) throw new OsError('EINVAL', 'members change one at a time')
    if (!config.voters.some(({ witness }) => !witness)) throw new OsError('EINVAL', 'somebody must keep the journal')
    this.log.append([configEntry(this.#term, config)])
    this.#followConfig()
    this.#broadcast(nowMs)
    return this.log.lastIndex
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
    this.#transfer = transfer
    this.#campaignMs = nowMs
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
    if (this.#role !== 'leader') return undefined
    const [best] = this.config.voters
      .filter(({ id, witness }) => id !== this.self && !witness && this.#alive(id))
      .sort((a, b) => this.#matchOf(b.id) - this.#matchOf(a.id))
    if (!best) return undefined
    this.#handover = { to: best.id, sinceMs: nowMs }
    this.#mayLease = false
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY
    if (!this.#finishHandover()) this.#sendTo(best.id, nowMs)
    return best.id
  }

  /**
   * Begins to make sure that this member still leads.
   * @returns the round to wait for (`confirmed`); undefined when it is certain already.
   */
  confirm(nowMs: number): number | undefined {
    this.#mustLead()
    if (mutated('read-unconfirmed')) return undefined
    const fresh = this.#commit >= this.#termStart
    if (fresh && (nowMs < this.#leaseUntilMs || this.#alone)) return undefined
    this.#beginRound(nowMs)
    for (const { id } of this.config.voters) this.#sendTo(id, nowMs, true)
    return this.#round
  }

  /** Nobody else can be elected. */
  get #alone(): boolean {
    return this.config.voters.length === 1 && voterOf(this.config, this.self) !== undefined
  }

  /** Whether a majority answered that round, and what was committed before it began is known to be. */
  confirmed(round: number): boolean {
    return this.#role === 'leader' && this.#confirmedRound >= round && this.#commit >= this.#termStart
  }

  // --- what happens ----------------------------------------------------------------------------------------

  /** A member went away. @param said it took its leave, so its lease ends too. */
  down(id: NodeId, said: boolean): void {
    const progress = this.#progress.get(id)
    if (progress) progress.waitingSinceMs = undefined
    if (this.#leader !== id || this.#role === 'leader') return
    this.#leader = undefined
    if (said) this.#heardLeaderMs = Number.NEGATIVE_INFINITY
  }

  /** A member came back: it gets what it has missed. */
  up(id: NodeId, nowMs: number): void {
    const progress = this.#progress.get(id)
    if (this.#role !== 'leader' || !progress) return
    progress.waitingSinceMs = undefined
    this.#sendTo(id, nowMs, true)
  }

  /** Sends again what was not answered. */
  tick(nowMs: number): void {
    if (this.#role === 'candidate' || this.#role === 'precandidate') {
      if (nowMs - this.#campaignMs < RAFT_RETRY_MS) return
      // Without a majority in sight it does not go on raising the term.
      if (this.quorate) this.campaign(nowMs)
      else this.#role = 'follower'
      return
    }
    if (this.#role !== 'leader') return
    this.#handoverTick(nowMs)
    for (const [id, progress] of this.#progress) {
      const { waitingSinceMs } = progress
      if (waitingSinceMs === undefined || nowMs - waitingSinceMs < RAFT_RETRY_MS) continue
      progress.waitingSinceMs = undefined
      progress.next = progress.match + 1
      this.#sendTo(id, nowMs, true)
    }
  }

  step(from: NodeId, message: RaftMessage, nowMs: number): void {
    if (message.t === 'check') return this.#checked(from, nowMs)
    if (message.t === 'resigned') return this.#resigned(from, message.term)
    if (message.term > this.#term) {
      if (message.t === 'vote') {
        if (from === this.#leader) this.#leader = undefined // it would not ask if it still led
        if (!message.transfer && this.#leaderHolds(nowMs)) {
          if (this.#leader !== undefined) this.#later(this.#leader, { t: 'check', term: this.#term })
          return this.#refuse(from, message)
        }
        if (!message.pre) this.#follow(message.term, undefined)
      } else if (!(message.t === 'voted' && message.pre && message.granted)) {
        const leads = message.t === 'append' || message.t === 'snapshot' || message.t === 'witness'
        this.#follow(message.term, leads ? from : undefined)
      }
    } else if (message.term < this.#term) return this.#refuse(from, message)
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
        return this.#appended(from, message, nowMs)
      case 'transfer':
        return from === this.#leader ? this.campaign(nowMs, true) : undefined
      case 'witness':
        return undefined // this member keeps entries
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
    if (this.#role !== 'leader') return
    for (const { id, witness } of this.config.voters) if (witness) this.#sendTo(id, nowMs)
    this.#advanceCommit()
  }

  #checked(from: NodeId, nowMs: number): void {
    if (this.#role === 'leader') this.#sendTo(from, nowMs, true)
    else this.#later(from, { t: 'resigned', term: this.#term })
  }

  #resigned(from: NodeId, term: number): void {
    if (from !== this.#leader || term < this.#term || this.#role === 'leader') return
    this.#leader = undefined
    this.#heardLeaderMs = Number.NEGATIVE_INFINITY
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
    const { pre, term, lastIndex, lastTerm } = vote
    const free = pre ? term > this.#term : (this.#vote === null || this.#vote === from) && this.#role === 'follower'
    const complete = lastTerm > this.log.lastTerm || (lastTerm === this.log.lastTerm && lastIndex >= this.log.lastIndex)
    const granted = (free || mutated('vote-twice')) && (complete || mutated('skip-vote-check'))
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
    this.#handover = undefined
    this.#progress.clear()
    this.#rounds.clear()
    this.#confirmedRound = this.#round
    this.#mayLease = true
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY
    // What earlier leaders left counts as committed with the first entry of this term, never by itself (paper, §5.4.2).
    this.log.append([{ term: this.#term, kind: 'empty', bytes: new Uint8Array(0) }])
    this.#termStart = this.log.lastIndex
    this.#followConfig()
    this.#broadcast(nowMs)
  }

  #follow(term: number, leader: NodeId | undefined): void {
    this.#role = 'follower'
    this.#leader = leader
    this.#progress.clear()
    this.#handover = undefined
    if (term > this.#term) this.#setHard(term, null)
  }

  #setHard(term: number, vote: NodeId | null): void {
    if (this.#term === term && this.#vote === vote) return
    this.#term = term
    this.#vote = mutated('forget-vote') ? null : vote
    this.#hardDirty = true
  }

  // --- as a follower ---------------------------------------------------------------------------------------

  #heardLeader(from: NodeId, nowMs: number): void {
    if (this.#role !== 'follower') this.#follow(this.#term, from)
    this.#leader = from
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

  // --- as a leader -----------------------------------------------------------------------------------------

  #mustLead(): void {
    if (this.#role !== 'leader' || this.#handover) {
      throw new OsError('EAGAIN', 'this node does not lead the journal')
    }
  }

  #matchOf(id: NodeId): number {
    return id === this.self ? this.log.stable : (this.#progress.get(id)?.match ?? 0)
  }

  /** Members may have come or gone with the newest configuration. */
  #followConfig(): void {
    const members = membersOf(this.config)
    for (const id of this.#progress.keys()) if (!members.includes(id)) this.#progress.delete(id)
    for (const id of members) {
      if (id === this.self || this.#progress.has(id)) continue
      // It is asked whether the newest entry follows what it has, which tells where to begin.
      this.#progress.set(id, { match: 0, next: this.log.lastIndex, waitingSinceMs: undefined, round: 0 })
    }
  }

  #broadcast(nowMs: number): void {
    // An ordinary entry confirms the lease too; not more often than helps.
    if (nowMs > this.#leaseUntilMs - RAFT_LEASE_MS / 2) this.#beginRound(nowMs)
    for (const id of this.#progress.keys()) this.#sendTo(id, nowMs)
    this.#advanceCommit()
  }

  #beginRound(nowMs: number): void {
    this.#rounds.set(++this.#round, nowMs)
  }

  /** One message at a time to each: what arrives meanwhile goes with the next. @param force also when it has all. */
  #sendTo(id: NodeId, nowMs: number, force = false): void {
    const progress = this.#progress.get(id)
    if (!progress || progress.waitingSinceMs !== undefined) return
    if (voterOf(this.config, id)?.witness) return this.#sendWitness(id, progress, nowMs, force)
    if (!force && progress.next > this.log.lastIndex) return
    progress.waitingSinceMs = nowMs
    const [term, round] = [this.#term, this.#round]
    const prevIndex = progress.next - 1
    const prevTerm = this.log.termAt(prevIndex)
    if (prevTerm === undefined) {
      this.#early.push({ to: id, message: { t: 'snapshot', term, snapshot: this.log.snapshot, round } })
      return
    }
    const entries = this.log.slice(progress.next)
    progress.next += entries.length
    const message: RaftMessage = { t: 'append', term, prevIndex, prevTerm, entries, commit: this.#commit, round }
    this.#early.push({ to: id, message })
  }

  /** A witness counts only where those who keep the entries are too few without it: else they would be kept once. */
  #sendWitness(id: NodeId, progress: Progress, nowMs: number, force: boolean): void {
    const keepers = this.config.voters.filter(
      (voter) => !voter.witness && (voter.id === this.self || this.#alive(voter.id)),
    )
    const needed = keepers.length < majority(this.config)
    // Only what is stored here: of an entry that nobody has it would wait for ever.
    const index = this.log.stable
    const lastTerm = this.log.termAt(index)
    if (!needed || lastTerm === undefined || (!force && progress.match >= index)) return
    progress.waitingSinceMs = nowMs
    this.#early.push({ to: id, message: { t: 'witness', term: this.#term, index, lastTerm, round: this.#round } })
  }

  #appended(from: NodeId, { ok, index, round }: RaftMessage & { t: 'appended' }, nowMs: number): void {
    const progress = this.#progress.get(from)
    if (this.#role !== 'leader' || !progress) return
    progress.waitingSinceMs = undefined
    this.#answered(progress, round)
    if (ok) {
      progress.match = Math.max(progress.match, Math.min(index, this.log.lastIndex))
      progress.next = Math.max(progress.next, progress.match + 1)
      this.#advanceCommit()
      if (this.#finishHandover()) return
    } else progress.next = Math.max(progress.match + 1, Math.min(index + 1, progress.next - 1))
    this.#sendTo(from, nowMs, !ok)
  }

  #answered(progress: Progress, round: number): void {
    progress.round = Math.max(progress.round, Math.min(round, this.#round))
    const reached = reachedByMajority(this.config, (id) =>
      id === this.self ? this.#round : (this.#progress.get(id)?.round ?? 0),
    )
    for (const [number, beganMs] of this.#rounds) {
      if (number > reached) break
      this.#rounds.delete(number)
      this.#confirmedRound = number
      if (this.#mayLease) this.#leaseUntilMs = beganMs + RAFT_LEASE_MS
    }
  }

  #advanceCommit(): void {
    let reached = reachedByMajority(this.config, (id) => this.#matchOf(id))
    if (mutated('ack-before-majority')) reached = this.log.stable
    const current = this.log.termAt(reached) === this.#term || mutated('commit-old-terms')
    if (reached > this.#commit && current) this.#commit = reached
  }

  /** No longer a voter, by a change that is committed: it leads until another has taken over, who else would say so? */
  get #retired(): boolean {
    return !voterOf(this.config, this.self) && this.log.configIndex <= this.#commit
  }

  /** A transfer may be lost: whoever stays leads on, whoever retires asks again. */
  #handoverTick(nowMs: number): void {
    if (this.#handover && nowMs - this.#handover.sinceMs < RAFT_RETRY_MS) return
    this.#handover = undefined
    if (this.#retired) this.handOver(nowMs)
  }

  #finishHandover(): boolean {
    const to = this.#handover?.to
    if (to === undefined || this.#matchOf(to) < this.log.lastIndex) return false
    this.#early.push({ to, message: { t: 'transfer', term: this.#term } })
    return true
  }

  #later(to: NodeId, message: RaftMessage): void {
    this.#late.push({ to, message })
  }
}
