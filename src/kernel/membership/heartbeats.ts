// Our heartbeats, and the round trips that some of them measure. Above: membership.ts. Below: rpc, watchers.ts; suspicion.ts
// judges whose own are late.
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import { HEARTBEAT_MS, RTT_EVERY_MS, RTT_FIRST_SAMPLES, WATCHERS } from '../limits.ts'
import { NO_ANSWER, type Pulse } from '../rpc/frames.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { Member } from './member.ts'
import type { OwnStalls } from './own-stalls.ts'
import type { Suspicion } from './suspicion.ts'
import { watchersOf } from './watchers.ts'

/** What this node tells about itself. */
export type OwnPulse = Omit<Pulse, 'watch'>

export interface HeartbeatOptions {
  rpc: RpcNode
  clock: Clock
  stalls: OwnStalls
  suspicion: Suspicion
  members: ReadonlyMap<NodeId, Member>
  pulse: () => OwnPulse
  /** Told of each beat: what else is done from time to time needs no timer of its own. */
  onBeat: (nowMs: number) => void
}

export class Heartbeats {
  readonly #options: HeartbeatOptions
  #tick: Timer | undefined
  /** When the last ones were sent. */
  #beatMs = Number.NEGATIVE_INFINITY
  #pingCount = 0
  /** Load that the others were told last. */
  #told: Pick<OwnPulse, 'running' | 'storage'> | undefined
  #closed = false

  constructor(options: HeartbeatOptions) {
    this.#options = options
  }

  /** One timer for all heartbeats; none while alone. */
  start(): void {
    if (!this.#tick && !this.#closed) this.#setTick()
  }

  close(): void {
    this.#closed = true
    this.#tick?.cancel()
  }

  /**
   * Who watch each other beat together: a tab wakes once for what it hears and what it says, and the packet that takes its
   * heartbeat acknowledges the other's. Nobody beats more than twice as often for it, whatever others send.
   */
  together(): void {
    if (!this.#tick || this.#options.clock.nowMs() - this.#beatMs < HEARTBEAT_MS / 2) return
    this.#tick.cancel()
    this.#onTick()
  }

  /** Tells it about this node; from time to time it has to answer, which measures the round trip. */
  ping(member: Member): void {
    if (this.#measureDue(member)) this.ask(member)
    else this.#tell(member, NO_ANSWER)
  }

  /** It has to answer. */
  ask(member: Member): void {
    member.pingNumber = ++this.#pingCount
    member.pingSentMs = this.#options.clock.nowMs()
    member.detector.asked(member.pingSentMs)
    this.#tell(member, member.pingNumber)
  }

  /** It has answered the question of that number. */
  answered(member: Member, n: number): void {
    if (member.pingNumber !== n) return
    const sampleMs = this.#options.clock.nowMs() - member.pingSentMs
    member.rttMs = member.rttMs === null ? sampleMs : (member.rttMs + sampleMs) / 2
    member.rttSamples++
  }

  #tell(member: Member, answer: number): void {
    const { rpc, pulse } = this.#options
    if (member.linked) rpc.ping(member.id, answer, { ...pulse(), watch: member.watching })
  }

  /** Who has not answered is not asked again with each beat: if it is frozen or busy, all that waits for it. */
  #measureDue({ rttSamples, pingSentMs, detector }: Member): boolean {
    const first = rttSamples < RTT_FIRST_SAMPLES && !detector.owesAnswer
    return first || this.#options.clock.nowMs() - pingSentMs >= RTT_EVERY_MS
  }

  #setTick(): void {
    const { stalls, clock } = this.#options
    stalls.expect(clock.nowMs() + HEARTBEAT_MS)
    this.#tick = clock.setTimer(() => this.#onTick(), HEARTBEAT_MS, 'heartbeat')
  }

  #onTick(): void {
    const { clock, stalls, suspicion, members, onBeat } = this.#options
    this.#tick = undefined
    if (members.size === 0) return
    const nowMs = clock.nowMs()
    const stoodMs = stalls.beat(nowMs)
    for (const member of [...members.values()]) {
      if (stoodMs > 0) member.detector.discount(stoodMs, nowMs)
      else suspicion.judge(member, nowMs)
    }
    this.#beat()
    onBeat(nowMs)
    this.#setTick()
  }

  /** To watchers always; to the others when something changed, or to measure the way to them. */
  #beat(): void {
    const { rpc, clock, suspicion, members, pulse } = this.#options
    this.#beatMs = clock.nowMs()
    const linked = [...members.values()].filter((member) => member.linked)
    // Whoever is frozen or busy cannot tell anybody.
    const awake = linked.filter(({ announced, shown }) => announced !== 'frozen' && shown !== 'stalled')
    const watchers = watchersOf(
      rpc.self,
      awake.map(({ id }) => id),
      WATCHERS,
    )
    const { running, storage } = pulse()
    const told = this.#told ?? { running: 0, storage } // the hello said that
    const news = running !== told.running || storage !== told.storage
    for (const member of linked) {
      const changed = news || member.watching !== watchers.has(member.id)
      member.watching = watchers.has(member.id)
      if (member.watching || changed || this.#measureDue(member)) this.ping(member)
      suspicion.expect(member)
    }
    this.#told = { running, storage }
  }
}
