// Who is here, who is gone, who is hidden or frozen. Above: processes, tree, shell listings. Below: rpc (links,
// heartbeats), the dialer, the network port's evidence.
//
// A member is a peer with a link, or one whose link broke less than RECONNECT_GRACE_MS ago.
//   joined:  its link came up            (rpc handshake)
//   stalled: silent while its network stack still answers → busy, never declared dead
//   hidden, frozen: as it announced itself
//   left:    it said goodbye; or its link broke and did not come back; or it is silent AND there is evidence
//            that nobody is there: its network stack is unreachable, or the relay saw its connection close.
// A node sends heartbeats to a few watchers; they tell the others when it falls silent, who then ask it themselves.

import { toHex, utf8 } from '../../base/bytes.ts'
import { Emitter } from '../../base/emitter.ts'
import { errorLine, OsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Network, NetworkEvent } from '../../ports/network.ts'
import type { Random } from '../../ports/random.ts'
import { type PeerRow, type PeerState, storageClasses } from '../../syscalls/types.ts'
import { FOUND_AGAIN_MS, GOSSIP_MS, MAX_GOSSIP_PEERS, REACH_TIMEOUT_MS, RECONNECT_GRACE_MS } from '../limits.ts'
import type { Hello, Pulse } from '../rpc/frames.ts'
import type { RpcNode } from '../rpc/node.ts'
import { Dialer } from './dialer.ts'
import { Heartbeats, type OwnPulse } from './heartbeats.ts'
import { type Member, newMember, relink, rowOf, unfit } from './member.ts'
import { OwnStalls } from './own-stalls.ts'
import { Suspicion } from './suspicion.ts'

/** Who took its leave: the node itself (its worker or its page); nobody. */
export type Leave = 'itself' | null

export type MembershipEvent =
  | { type: 'joined'; peer: NodeId }
  | { type: 'left'; peer: NodeId; reason: string; said: Leave }
  | { type: 'changed'; peer: NodeId; state: PeerState }

/** Its link is down, and the relay saw its connection close. */
const CLOSED = 'its tab closed, as the relay saw'

export class Membership {
  readonly events: Emitter<MembershipEvent>
  readonly #rpc: RpcNode
  readonly #clock: Clock
  readonly #random: Random
  readonly #log: LogSink
  readonly #dialer: Dialer
  readonly #suspicion: Suspicion
  readonly #members = new Map<NodeId, Member>()
  readonly #hasher: Hasher
  readonly #linkUp: Emitter<NodeId>
  readonly #heartbeats: Heartbeats
  #lastGossipMs = 0
  #closed = false

  constructor(options: {
    rpc: RpcNode
    network: Network
    clock: Clock
    hasher: Hasher
    random: Random
    log: LogSink
    pulse: () => OwnPulse
  }) {
    this.#hasher = options.hasher
    this.#rpc = options.rpc
    this.#clock = options.clock
    this.#random = options.random
    this.#log = options.log
    this.events = new Emitter((error) => this.#log.log('error', 'membership', `a listener failed: ${errorLine(error)}`))
    this.#linkUp = new Emitter((error) => this.#log.log('error', 'membership', `cannot go on: ${errorLine(error)}`))
    this.#dialer = new Dialer({ ...options, isLinked: (peer) => this.#rpc.linked(peer) })
    const stalls = new OwnStalls()
    this.#suspicion = new Suspicion({
      ...options,
      stalls,
      isMember: (member) => this.#members.get(member.id) === member,
      ask: (member) => this.#heartbeats.ask(member),
      report: (peer) => this.#rpc.noteAll('membership.silent', { peer }),
      busy: (member) => this.#show(member, 'stalled'),
      left: (member, reason, how) => this.#leave(member, reason, how),
    })
    this.#heartbeats = new Heartbeats({
      ...options,
      stalls,
      suspicion: this.#suspicion,
      members: this.#members,
      onBeat: (nowMs) => this.#gossipSometimes(nowMs),
    })
    options.network.on((event) => this.#networkEvent(event))
    options.rpc.onNote('membership.peers', (_peer, { peers }) => {
      for (const peer of peers) this.#dialer.suggest(peer)
    })
    options.rpc.onNote('membership.silent', (_peer, { peer }) => {
      const member = this.#members.get(peer)
      if (member) this.#suspicion.accused(member)
    })
    options.rpc.setLinkEvents({
      onUp: (peer, hello) => this.#up(peer, hello),
      onDown: (peer, reason, said) => this.#down(peer, reason, said),
      onHeard: (peer) => this.#heard(peer),
      onPing: (peer, pulse) => this.#pinged(peer, pulse),
      onPong: (peer, n) => this.#ponged(peer, n),
      onHostile: (peer) => this.#hostile(peer),
    })
  }

  has(peer: NodeId): boolean {
    return this.#members.has(peer)
  }

  /** Called for every link that comes up: with a new member, or again with one whose link had broken. */
  onLink(listener: (peer: NodeId) => void): () => void {
    return this.#linkUp.on(listener)
  }

  /** Ids of all members, this node not included. */
  peers(): NodeId[] {
    return [...this.#members.keys()]
  }

  /** Members that can be called now. */
  linked(): NodeId[] {
    return [...this.#members.values()].filter((member) => member.linked).map((member) => member.id)
  }

  /** Those of them that are not frozen or silent: who wants to know something of all waits for nobody else. */
  answering(): NodeId[] {
    return this.linked().filter((peer) => this.answers(peer))
  }

  answers(peer: NodeId): boolean {
    const member = this.#members.get(peer)
    return peer === this.#rpc.self || (member?.linked === true && !unfit(member.shown))
  }

  /** @throws {OsError} ETIMEDOUT for one that is frozen or silent: at once, where a call would say that later. */
  mustAnswer(peer: NodeId): void {
    if (!this.answers(peer)) throw new OsError('ETIMEDOUT', `${shortNode(peer)} is frozen, or silent`)
  }

  row(peer: NodeId): PeerRow | undefined {
    const member = this.#members.get(peer)
    return member && rowOf(member, this.#clock)
  }

  rows(): PeerRow[] {
    return [...this.#members.values()]
      .map((member) => rowOf(member, this.#clock))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  /** Makes sure of a link to a node that is not a neighbour. @throws {OsError} EHOSTUNREACH, ECANCELED. */
  reach(peer: NodeId, signal?: AbortSignal): Promise<void> {
    if (this.#rpc.linked(peer) || peer === this.#rpc.self) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const done = (error?: OsError) => {
        timer.cancel()
        off()
        signal?.removeEventListener('abort', onAbort)
        if (error) reject(error)
        else resolve()
      }
      const onAbort = () => done(new OsError('ECANCELED', 'cancelled while reaching a node'))
      const giveUp = () => done(new OsError('EHOSTUNREACH', `node ${shortNode(peer)} cannot be reached`))
      const timer = this.#clock.setTimer(giveUp, REACH_TIMEOUT_MS, 'reach a node')
      const off = this.#linkUp.on((up) => {
        if (up === peer) done()
      })
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#dialer.dialNow(peer).catch(done)
    })
  }

  /** Tells every peer at once: the tab was hidden, shown, is about to be frozen, or woke. */
  announce(): void {
    for (const member of this.#members.values()) this.#heartbeats.ping(member)
  }

  wake(): void {
    this.#dialer.wake()
    this.announce()
  }

  close(): void {
    this.#closed = true
    this.#heartbeats.close()
    this.#dialer.close()
    this.#suspicion.close()
    for (const member of this.#members.values()) this.#suspicion.drop(member)
  }

  #networkEvent(event: NetworkEvent): void {
    if (event.type === 'found') {
      const member = this.#members.get(event.peer)
      if (member && event.via === 'relay') member.foundMs = this.#clock.nowMs()
      this.#dialer.suggest(event.peer)
    } else if (event.type === 'reachable') {
      const member = this.#members.get(event.peer)
      if (!member) return
      member.reachable = event.reachable
      if (!event.reachable) this.#suspicion.question(member)
    } else if (event.type === 'hint-gone') {
      const member = this.#members.get(event.peer)
      if (member) member.foundMs = Number.NEGATIVE_INFINITY
      if (!member) this.#dialer.forget(event.peer)
      // A link that is already down and a closed relay connection together leave no doubt.
      else if (event.said === undefined && !member.linked) this.#leave(member, CLOSED, 'gone')
      else if (event.said === undefined) this.#suspicion.hinted(member)
      else void this.#toldGoodbye(member, event.said)
    }
  }

  /** The relay brings what the page of a tab has said, as it says: the tab's own word, if it is what only that page knows. */
  async #toldGoodbye(member: Member, said: string): Promise<void> {
    try {
      const proven = member.goodbye === toHex(await this.#hasher.sha256(utf8(said)))
      if (proven) this.#leave(member, 'its page said goodbye', 'itself')
      else this.#log.log('info', 'membership', `the relay says what the page of ${shortNode(member.id)} did not`)
    } catch (error) {
      this.#log.log('error', 'membership', `cannot prove a goodbye: ${errorLine(error)}`)
    }
  }

  /** It broke the protocol: its link is not one to be had again. */
  #hostile(peer: NodeId): void {
    const member = this.#members.get(peer)
    if (member) this.#leave(member, 'it broke the protocol', 'hostile')
    else this.#dialer.forget(peer)
  }

  #up(peer: NodeId, hello: Hello): void {
    const nowMs = this.#clock.nowMs()
    const before = this.#members.get(peer)
    before?.graceTimer?.cancel()
    if (before && before.session !== hello.session) this.#leave(before, 'its tab was reloaded', 'gone')
    const again = this.#members.get(peer)
    // Against the monotonic clock here: the wall clock may be set while this runs.
    const wallAheadMs = hello.wallMs === undefined ? null : hello.wallMs - nowMs
    if (again) {
      relink(again, nowMs, wallAheadMs)
      this.#show(again)
    } else {
      this.#members.set(peer, newMember(peer, hello, nowMs, wallAheadMs))
      this.#log.log('info', 'membership', `${shortNode(peer)} joined`, { device: hello.device })
      this.events.emit({ type: 'joined', peer })
    }
    const member = this.#members.get(peer)
    if (member) this.#heartbeats.ping(member)
    this.#linkUp.emit(peer)
    this.#gossip(peer)
    this.#heartbeats.start()
  }

  /** The newcomer learns of the others; they learn of it by their own sources or from it. */
  #gossip(peer: NodeId): void {
    const peers = this.linked()
      .filter((id) => id !== peer)
      .slice(0, MAX_GOSSIP_PEERS)
    if (peers.length > 0) this.#rpc.note(peer, 'membership.peers', { peers })
  }

  #gossipSometimes(nowMs: number): void {
    if (nowMs - this.#lastGossipMs <= GOSSIP_MS) return
    this.#lastGossipMs = nowMs
    const linked = this.linked()
    const listener = linked[Math.floor(this.#random.float() * linked.length)]
    if (listener) this.#gossip(listener)
  }

  #down(peer: NodeId, reason: string, said: string | undefined): void {
    const member = this.#members.get(peer)
    if (!member || this.#closed) return
    member.linked = false
    if (said !== undefined) return this.#leave(member, said, 'itself')
    const nowMs = this.#clock.nowMs()
    if (member.hintGoneMs !== undefined && nowMs - member.hintGoneMs < RECONNECT_GRACE_MS) {
      return this.#leave(member, CLOSED, 'gone')
    }
    this.#dialer.retryNow(peer)
    this.#suspicion.drop(member)
    // A frozen tab cannot redial; it announced its silence, so it gets as long as the transport kept it.
    const graceMs = member.announced === 'frozen' ? RECONNECT_GRACE_MS * 10 : RECONNECT_GRACE_MS
    member.graceTimer = this.#clock.setTimer(
      () => this.#leave(member, `its link broke (${reason}) and did not come back`, 'lost'),
      graceMs,
      'reconnect grace',
    )
  }

  /**
   * `lost`: perhaps only the way to it is broken, so it is worth a few more dials; `gone`: nobody is there; `hostile`: it is not to
   * be dialled.
   */
  #leave(member: Member, reason: string, how: 'itself' | 'gone' | 'lost' | 'hostile'): void {
    if (this.#members.get(member.id) !== member) return
    this.#members.delete(member.id)
    this.#suspicion.drop(member)
    // Who hears of a reload late, as after a freeze, hears that the tab is there again just before it sees the old link end.
    const back = how !== 'hostile' && this.#clock.nowMs() - member.foundMs < FOUND_AGAIN_MS
    if (how === 'lost' || back) this.#dialer.suggest(member.id)
    else this.#dialer.forget(member.id)
    this.#log.log('info', 'membership', `${shortNode(member.id)} left: ${reason}`)
    if (member.linked) {
      member.linked = false
      this.#rpc.drop(member.id, reason)
    }
    this.events.emit({ type: 'left', peer: member.id, reason, said: how === 'itself' ? how : null })
  }

  #heard(peer: NodeId): void {
    const member = this.#members.get(peer)
    if (!member) return
    this.#suspicion.heard(member)
    if (member.shown === 'stalled') this.#show(member)
  }

  #pinged(peer: NodeId, pulse: Pulse): void {
    const member = this.#members.get(peer)
    if (!member) return
    member.running = pulse.running
    member.storage = storageClasses[pulse.storage]
    member.detector.promise(pulse.watch)
    if (member.announced !== pulse.state) {
      member.announced = pulse.state
      this.#show(member)
    }
    if (pulse.watch && member.watching) this.#heartbeats.together()
  }

  #ponged(peer: NodeId, n: number): void {
    const member = this.#members.get(peer)
    if (member) this.#heartbeats.answered(member, n)
  }

  #show(member: Member, state: PeerState = member.announced): void {
    if (member.shown === state) return
    member.shown = state
    this.events.emit({ type: 'changed', peer: member.id, state })
  }
}
