// Who of the silent is gone? Evidence against a member makes a question of ours; what it does not answer in time counts as
// the evidence says (evidence.ts; docs/decisions/0008). Above: membership.ts, which acts on it. Below: detector.ts,
// stack-probe.ts.
import type { NodeId } from '../../base/ids.ts'
import { ANSWER_MS, HEARTBEAT_MS, HINT_SILENCE_MS, OWN_STALL_MS } from '../limits.ts'
import { mutated } from '../mutations.ts'
import { countsInMs, hintCounts, silentInMs } from './evidence.ts'
import type { Member } from './member.ts'
import type { OwnStalls } from './own-stalls.ts'
import { StackProbe, type StackProbeOptions } from './stack-probe.ts'

export interface SuspicionOptions extends Pick<StackProbeOptions, 'network' | 'clock' | 'log' | 'ask'> {
  stalls: OwnStalls
  isMember(member: Member): boolean
  /** To everybody: whoever else has it as a member asks it too. */
  report(peer: NodeId): void
  /** It is silent, and its network stack is there. It has not said that it is frozen. */
  busy(member: Member): void
  /** `lost`: perhaps only the way to it is broken. */
  left(member: Member, reason: string, how: 'gone' | 'lost'): void
}

const NO_STACK = 'its network stack stopped answering'

export class Suspicion {
  readonly #options: SuspicionOptions
  readonly #probe: StackProbe

  constructor(options: SuspicionOptions) {
    this.#options = options
    const { clock, left } = options
    this.#probe = new StackProbe({
      ...options,
      unheard: (member) => this.#report(member),
      gone: (member) => left(member, NO_STACK, 'lost'),
      silentInMs: (member) => silentInMs(member, clock.nowMs()),
    })
  }

  /** Something came of it. */
  heard(member: Member): void {
    member.detector.heard(this.#options.clock.nowMs())
    member.missTimer?.cancel()
    member.missTimer = undefined
    this.#probe.end(member.id)
    member.hintGoneMs = undefined
    member.accused = false
    member.reported = false
  }

  /** It is no member any longer, or its link is down, which is another matter. */
  drop(member: Member): void {
    this.#probe.end(member.id)
    for (const timer of [member.graceTimer, member.evidenceTimer, member.missTimer]) timer?.cancel()
    member.graceTimer = member.evidenceTimer = member.missTimer = undefined
  }

  /** The relay saw its connection close. */
  hinted(member: Member): void {
    const nowMs = this.#options.clock.nowMs()
    // Heard while or just after we stood still: it may be old, and what took it back may have come before it.
    const stale = this.#options.stalls.within(ANSWER_MS, nowMs)
    // Two come of one close. An old one says less than a fresh one, and does not take its place.
    if (member.hintGoneMs === undefined || (member.hintStale && !stale)) {
      member.hintGoneMs = nowMs
      member.hintStale = stale
    }
    // A live tab answers, which takes the hint back.
    this.question(member)
  }

  /** A watcher says that it is silent. A question comes of it, one at a time: a live peer answers, whoever lies about it. */
  accused(member: Member): void {
    const nowMs = this.#options.clock.nowMs()
    if (!member.linked || member.accused || member.announced === 'frozen') return
    if (nowMs - member.accusedMs < ANSWER_MS) return
    member.accused = true
    member.accusedMs = nowMs
    this.question(member)
  }

  /** There is evidence against it: it is asked, and judged as soon as its silence counts. */
  question(member: Member): void {
    if (!member.linked) return
    this.#options.ask(member)
    if (member.announced !== 'frozen') this.#probe.begin(member)
    this.#judgeIn(member, countsInMs(member, this.#options.clock.nowMs()))
  }

  /** A heartbeat that does not come is noticed when it is late, and counts when it counts, not with our next beat. */
  expect(member: Member): void {
    const { clock, stalls } = this.#options
    const nowMs = clock.nowMs()
    const inMs = member.evidenceTimer ? Number.POSITIVE_INFINITY : countsInMs(member, nowMs)
    if (inMs > 0 && inMs < HEARTBEAT_MS) this.#judgeIn(member, inMs)
    const lateInMs = member.detector.lateInMs(nowMs)
    if (member.missTimer || lateInMs >= HEARTBEAT_MS) return
    // Not with every beat that it misses: who is busy, or has told that it is frozen, has each question waiting for it.
    if (member.announced === 'frozen' || lateInMs <= -HEARTBEAT_MS) return
    const late = () => {
      member.missTimer = undefined
      // We stood still: what was sent to us meanwhile comes first.
      if (!stalls.standsStill(clock.nowMs())) this.question(member)
    }
    member.missTimer = clock.setTimer(late, Math.max(0, lateInMs) + 1, 'heartbeat is late')
  }

  judge(member: Member, nowMs: number): void {
    const { left, busy } = this.#options
    const { detector } = member
    if (!member.linked || mutated('keep-the-dead')) return
    if (hintCounts(member)) {
      const sinceMs = nowMs - (member.hintGoneMs as number)
      if (sinceMs >= HINT_SILENCE_MS || detector.suspicious(nowMs)) {
        return left(member, 'silent since its tab closed', 'gone')
      }
    }
    if (detector.countsInMs(nowMs) > 0) return
    if (!member.reachable) return left(member, NO_STACK, 'lost')
    if (member.announced === 'frozen') return
    this.#probe.begin(member)
    if (!detector.suspicious(nowMs) && !member.accused) return
    this.#report(member)
    busy(member)
  }

  close(): void {
    this.#probe.close()
  }

  #judgeIn(member: Member, inMs: number): void {
    const { clock, stalls, isMember } = this.#options
    member.evidenceTimer?.cancel()
    member.evidenceTimer = undefined
    if (!Number.isFinite(inMs)) return
    const judge = () => {
      const nowMs = clock.nowMs()
      // We stood still: what was sent to us meanwhile comes first.
      if (stalls.within(OWN_STALL_MS, nowMs)) return this.#judgeIn(member, ANSWER_MS)
      this.judge(member, nowMs)
      const nextMs = isMember(member) && member.linked ? countsInMs(member, nowMs) : 0
      if (nextMs > 0) this.#judgeIn(member, nextMs)
    }
    // In whole ms: what is left of a sum of fractions may be too little for any clock to move by.
    member.evidenceTimer = clock.setTimer(judge, Math.ceil(inMs), 'judge after evidence')
  }

  /** By its watchers, once. */
  #report(member: Member): void {
    if (!member.detector.promised || member.reported) return
    member.reported = true
    this.#options.report(member.id)
  }
}
