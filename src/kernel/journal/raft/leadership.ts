// What a leader keeps beside its journal: how far each member is, whether it certainly still leads, to whom it hands over.
// One for each term that this member leads; raft.ts makes it and forgets it. Sources: see raft.ts.
import { OsError } from '../../../base/errors.ts'
import type { NodeId } from '../../../base/ids.ts'
import { RAFT_LEASE_MS, RAFT_MUTE_MS, RAFT_RETRY_MAX_MS, RAFT_RETRY_MS } from '../../limits.ts'
import { mutated } from '../../mutations.ts'
import { type GroupConfig, isSingleStep, majority, membersOf, reachedByMajority, voterOf } from './config.ts'
import { configEntry, type RaftLog } from './log.ts'
import type { RaftMessage } from './messages.ts'

/** What a leader knows about another member. */
interface Progress {
  /** Highest entry known to be stored there. */
  match: number
  /** Next entry to send. */
  next: number
  /** When a message was sent that is not answered yet. */
  waitingSinceMs: number | undefined
  /** Since when it was sent messages without storing more of what it lacks. */
  silentSinceMs: number | undefined
  /** It is known to answer nothing now. */
  mute: boolean
  /** It has no room for what it lacks. */
  full: boolean
  /** Newest round that it answered. */
  round: number
}

export interface LeadershipOptions {
  self: NodeId
  term: number
  log: RaftLog
  alive: (id: NodeId) => boolean
  /** Entries known to be committed when it begins. */
  commit: number
  send: (to: NodeId, message: RaftMessage) => void
  nowMs: number
}

export class Leadership {
  readonly #self: NodeId
  readonly #term: number
  readonly #log: RaftLog
  readonly #alive: (id: NodeId) => boolean
  readonly #send: (to: NodeId, message: RaftMessage) => void
  readonly #progress = new Map<NodeId, Progress>()
  /** Index of the first entry of this term. */
  readonly #start: number
  #commit: number
  #round = 0
  /** When anything was sent last. */
  #sentMs: number
  /** The newest one that somebody waits for: a member that is busy with an earlier message is asked after it. */
  #askedRound = 0
  /** When each round began that a majority has not answered yet. */
  readonly #rounds = new Map<number, number>()
  #confirmedRound = 0
  #leaseUntilMs = Number.NEGATIVE_INFINITY
  /** Until it has asked somebody to take over: that message may arrive at any time. */
  #mayLease = true
  #handover: { to: NodeId; sinceMs: number } | undefined

  constructor({ self, term, log, alive, commit, send, nowMs }: LeadershipOptions) {
    this.#self = self
    this.#term = term
    this.#log = log
    this.#alive = alive
    this.#commit = commit
    this.#send = send
    this.#sentMs = nowMs
    // What earlier leaders left counts as committed with the first entry of this term, never by itself (paper, §5.4.2).
    log.append([{ term, kind: 'empty', bytes: new Uint8Array(0) }])
    this.#start = log.lastIndex
    this.#followConfig()
    this.#broadcast(nowMs)
  }

  get commit(): number {
    return this.#commit
  }

  /** What earlier leaders left is committed: all there is, is known here. */
  get established(): boolean {
    return this.#commit >= this.#start
  }

  /** Something is under way that may need `tick` to go on. */
  get busy(): boolean {
    if (this.#handover || this.#retired) return true
    for (const [id, { waitingSinceMs }] of this.#progress) {
      if (waitingSinceMs !== undefined && this.#alive(id)) return true
    }
    return false
  }

  get #config(): GroupConfig {
    return this.#log.config
  }

  /** Highest entry that a member is known to have stored. */
  matchOf(id: NodeId): number {
    return id === this.#self ? this.#log.stable : (this.#progress.get(id)?.match ?? 0)
  }

  /** @returns the index of the last of them. @throws {OsError} EAGAIN while it hands over. */
  propose(entries: readonly Uint8Array[], nowMs: number): number {
    this.#mustStay()
    this.#log.append(entries.map((bytes) => ({ term: this.#term, kind: 'data' as const, bytes })))
    this.#broadcast(nowMs)
    return this.#log.lastIndex
  }

  /** @returns the index of the change. @throws {OsError} EAGAIN a change is under way; EINVAL. */
  reconfigure(config: GroupConfig, nowMs: number): number {
    this.#mustStay()
    const underWay = this.#log.configIndex > this.#commit || !this.established
    if (underWay && !mutated('reconfigure-early')) {
      throw new OsError('EAGAIN', 'another change of members is under way')
    }
    if (!isSingleStep(this.#config, config)) throw new OsError('EINVAL', 'members change one at a time')
    if (!config.voters.some(({ witness }) => !witness)) throw new OsError('EINVAL', 'somebody must keep the journal')
    this.#log.append([configEntry(this.#term, config)])
    this.#followConfig()
    this.#broadcast(nowMs)
    return this.#log.lastIndex
  }

  /** Hands over to the member that has most, as soon as it has everything. @returns to whom. */
  handOver(nowMs: number): NodeId | undefined {
    const [best] = this.#config.voters
      .filter(({ id, witness }) => id !== this.#self && !witness && this.#alive(id))
      .sort((a, b) => this.matchOf(b.id) - this.matchOf(a.id))
    if (!best) return undefined
    this.#handover = { to: best.id, sinceMs: nowMs }
    this.#mayLease = false
    this.#leaseUntilMs = Number.NEGATIVE_INFINITY
    if (!this.#finishHandover()) this.sendTo(best.id, nowMs)
    return best.id
  }

  /** @returns the round to wait for (`confirmed`); undefined when it is certain already. */
  confirm(nowMs: number): number | undefined {
    this.#mustStay()
    if (mutated('read-unconfirmed')) return undefined
    if (this.established && (nowMs < this.#leaseUntilMs || this.#alone)) return undefined
    this.#beginRound(nowMs)
    this.#askedRound = this.#round
    for (const { id } of this.#config.voters) this.sendTo(id, nowMs, true)
    return this.#round
  }

  confirmed(round: number): boolean {
    return this.#confirmedRound >= round && this.established
  }

  /** Makes all members say whether they still follow. */
  probe(nowMs: number): void {
    for (const id of this.#progress.keys()) this.sendTo(id, nowMs, true)
  }

  /** A member went away: nothing that it was sent will be answered, and what waits for it is asked of the witness. */
  down(id: NodeId): void {
    const progress = this.#progress.get(id)
    if (progress) {
      progress.waitingSinceMs = undefined
      progress.silentSinceMs = undefined
      progress.mute = false
      progress.full = false
    }
    this.#askWitness(this.#sentMs)
  }

  /** A member is there and answers nothing: it is frozen, or hangs. */
  mute(id: NodeId, nowMs: number): void {
    const progress = this.#progress.get(id)
    if (!progress) return
    progress.mute = true
    this.#askWitness(nowMs)
  }

  /** A member has no room for what it was sent. */
  full(id: NodeId, nowMs: number): void {
    const progress = this.#progress.get(id)
    if (!progress || progress.match === this.#log.lastIndex) return
    progress.full = true
    this.#askWitness(nowMs)
  }

  /** So many have no room for what is not committed that it never will be. */
  get blocked(): boolean {
    const able = this.#config.voters.filter(({ id }) => this.#progress.get(id)?.full !== true).length
    return this.#commit < this.#log.lastIndex && able < majority(this.#config)
  }

  /** How long that member has stored nothing of what it lacks, ms. */
  silentMs(id: NodeId, nowMs: number): number {
    return nowMs - (this.#progress.get(id)?.silentSinceMs ?? nowMs)
  }

  /** Whether nobody should wait for that member, though it is there: its disk may be full. */
  isMute(id: NodeId, nowMs: number): boolean {
    const { mute, full } = this.#progress.get(id) ?? {}
    return mute === true || full === true || this.silentMs(id, nowMs) >= RAFT_MUTE_MS
  }

  #askWitness(nowMs: number): void {
    if (this.#commit === this.#log.lastIndex && this.confirmed(this.#askedRound)) return
    for (const voter of this.#config.voters) if (voter.witness) this.sendTo(voter.id, nowMs, true)
  }

  /** A member came back: it gets what it has missed. */
  up(id: NodeId, nowMs: number): void {
    this.down(id)
    this.sendTo(id, nowMs, true)
  }

  /** Sends again what was not answered. */
  tick(nowMs: number): void {
    this.#handoverTick(nowMs)
    for (const [id, progress] of this.#progress) {
      const { waitingSinceMs } = progress
      // Who fetches what an entry refers to, for a disk that is full, does so with each.
      const pauseMs = Math.min(RAFT_RETRY_MAX_MS, Math.max(RAFT_RETRY_MS, this.silentMs(id, nowMs) / 2))
      if (waitingSinceMs === undefined || nowMs - waitingSinceMs < pauseMs) continue
      progress.waitingSinceMs = undefined
      progress.next = progress.match + 1
      this.sendTo(id, nowMs, true)
    }
    if (this.#config.voters.some(({ id }) => this.isMute(id, nowMs))) this.#askWitness(nowMs)
  }

  /** What was handed over to be stored here is stored. */
  stored(nowMs: number): void {
    for (const { id, witness } of this.#config.voters) if (witness) this.sendTo(id, nowMs)
    this.#advanceCommit()
  }

  /** One message at a time to each: what arrives meanwhile goes with the next. @param force also when it has all. */
  sendTo(id: NodeId, nowMs: number, force = false): void {
    const progress = this.#progress.get(id)
    if (!progress || progress.waitingSinceMs !== undefined) return
    this.#sentMs = nowMs
    if (voterOf(this.#config, id)?.witness) return this.#sendWitness(id, progress, nowMs, force)
    if (!force && progress.next > this.#log.lastIndex) return
    progress.waitingSinceMs = nowMs
    progress.silentSinceMs ??= nowMs
    const [term, round] = [this.#term, this.#round]
    const prevIndex = progress.next - 1
    const prevTerm = this.#log.termAt(prevIndex)
    if (prevTerm === undefined) {
      this.#send(id, { t: 'snapshot', term, snapshot: this.#log.snapshot, round })
      return
    }
    const entries = this.#log.slice(progress.next)
    progress.next += entries.length
    const message: RaftMessage = { t: 'append', term, prevIndex, prevTerm, entries, commit: this.#commit, round }
    this.#send(id, message)
  }

  /** A witness counts only where those who keep the entries are too few without it: else they would be kept once. */
  #sendWitness(id: NodeId, progress: Progress, nowMs: number, force: boolean): void {
    const keepers = this.#config.voters.filter(
      ({ id, witness }) => !witness && (id === this.#self || (this.#alive(id) && !this.isMute(id, nowMs))),
    )
    const needed = keepers.length < majority(this.#config)
    // Only what a voter has stored, mostly this one: of an entry that nobody has who can lead it would wait for ever.
    const index = Math.max(0, ...this.#config.voters.map((voter) => (voter.witness ? 0 : this.matchOf(voter.id))))
    const lastTerm = this.#log.termAt(index)
    if (!needed || lastTerm === undefined || (!force && progress.match >= index)) return
    progress.waitingSinceMs = nowMs
    this.#send(id, { t: 'witness', term: this.#term, index, lastTerm, round: this.#round })
  }

  appended(from: NodeId, { ok, index, round }: RaftMessage & { t: 'appended' }, nowMs: number): void {
    const progress = this.#progress.get(from)
    if (!progress) return
    progress.waitingSinceMs = undefined
    progress.mute = false
    this.#answered(progress, round)
    if (ok) {
      const before = progress.match
      progress.match = Math.max(progress.match, Math.min(index, this.#log.lastIndex))
      if (progress.match > before || before === this.#log.lastIndex) {
        progress.silentSinceMs = undefined
        progress.full = false
      }
      // Whatever was sent beyond may have come while it was busy with this, and been dropped.
      progress.next = progress.match + 1
      this.#advanceCommit()
      if (this.#finishHandover()) return
    } else {
      // A learner may have forgotten what it had: it was dismissed, heard of it late, and was called back. A voter never does.
      if (this.#config.learners.includes(from)) progress.match = Math.min(progress.match, index)
      progress.next = Math.max(progress.match + 1, Math.min(index + 1, progress.next - 1))
    }
    const asked = progress.round < this.#askedRound && !this.confirmed(this.#askedRound)
    this.sendTo(from, nowMs, !ok || asked)
  }

  #answered(progress: Progress, round: number): void {
    progress.round = Math.max(progress.round, Math.min(round, this.#round))
    const reached = reachedByMajority(this.#config, (id) =>
      id === this.#self ? this.#round : (this.#progress.get(id)?.round ?? 0),
    )
    for (const [number, beganMs] of this.#rounds) {
      if (number > reached) break
      this.#rounds.delete(number)
      this.#confirmedRound = number
      if (this.#mayLease) this.#leaseUntilMs = beganMs + RAFT_LEASE_MS
    }
  }

  #advanceCommit(): void {
    let reached = reachedByMajority(this.#config, (id) => this.matchOf(id))
    if (mutated('ack-before-majority')) reached = this.#log.stable
    const current = this.#log.termAt(reached) === this.#term || mutated('commit-old-terms')
    if (reached > this.#commit && current) this.#commit = reached
  }

  /** No longer a voter, by a change that is committed: it leads until another has taken over, who else would say so? */
  get #retired(): boolean {
    return !voterOf(this.#config, this.#self) && this.#log.configIndex <= this.#commit
  }

  /** A transfer may be lost: whoever stays leads on, whoever retires asks again. */
  #handoverTick(nowMs: number): void {
    if (this.#handover && nowMs - this.#handover.sinceMs < RAFT_RETRY_MS) return
    this.#handover = undefined
    if (this.#retired) this.handOver(nowMs)
  }

  #finishHandover(): boolean {
    const to = this.#handover?.to
    if (to === undefined || this.matchOf(to) < this.#log.lastIndex) return false
    this.#send(to, { t: 'transfer', term: this.#term })
    return true
  }

  /** Members may have come or gone with the newest configuration. */
  #followConfig(): void {
    const members = membersOf(this.#config)
    for (const id of this.#progress.keys()) if (!members.includes(id)) this.#progress.delete(id)
    for (const id of members) {
      if (id === this.#self || this.#progress.has(id)) continue
      // It is asked whether the newest entry follows what it has, which tells where to begin.
      const next = this.#log.lastIndex
      this.#progress.set(id, {
        match: 0,
        next,
        waitingSinceMs: undefined,
        silentSinceMs: undefined,
        mute: false,
        full: false,
        round: 0,
      })
    }
  }

  #broadcast(nowMs: number): void {
    // An ordinary entry confirms the lease too; not more often than helps.
    if (nowMs > this.#leaseUntilMs - RAFT_LEASE_MS / 2) this.#beginRound(nowMs)
    for (const id of this.#progress.keys()) this.sendTo(id, nowMs)
    this.#advanceCommit()
  }

  #beginRound(nowMs: number): void {
    this.#rounds.set(++this.#round, nowMs)
  }

  /** Nobody else can be elected. */
  get #alone(): boolean {
    return this.#config.voters.length === 1 && voterOf(this.#config, this.#self) !== undefined
  }

  #mustStay(): void {
    if (this.#handover) throw new OsError('EAGAIN', 'this node is handing the journal over')
  }
}
