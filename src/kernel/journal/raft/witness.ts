// A member that remembers how far a journal goes, without keeping it: with two nodes that keep it, the third vote that
// tells which of them may go on alone. It never leads. (Liskov et al. 1991, Harp; Ongaro 2014 leaves witnesses out.)
import type { NodeId } from '../../../base/ids.ts'
import { MAX_TERM_LEAP, RAFT_STICK_MS } from '../../limits.ts'
import { mutated } from '../../mutations.ts'
import type { RaftMessage } from './messages.ts'
import type { Envelope } from './raft.ts'

/** All that it stores, before it answers. */
export interface WitnessState {
  term: number
  vote: NodeId | null
  /** Last entry of the leader that it heard of, and that entry's term. */
  index: number
  lastTerm: number
  /** The journal does not count on it any more, until a leader tells it something again. */
  released?: true
}

export const NEW_WITNESS: WitnessState = { term: 0, vote: null, index: 0, lastTerm: 0 }

export class Witness {
  #state: WitnessState
  #leader: NodeId | undefined
  #heardLeaderMs = Number.NEGATIVE_INFINITY
  readonly #alive: (id: NodeId) => boolean

  constructor(state: WitnessState, alive: (id: NodeId) => boolean) {
    this.#state = state
    this.#alive = alive
  }

  get state(): WitnessState {
    return this.#state
  }

  /** @returns what to send once `state` is stored. */
  step(from: NodeId, message: RaftMessage, nowMs: number): Envelope[] {
    if (message.term > this.#state.term + MAX_TERM_LEAP) return [] // no honest member says so
    if (message.t === 'vote') return this.#vote(from, message, nowMs)
    if (message.t === 'witness') return [{ to: from, message: this.#follow(from, message, nowMs) }]
    const known = this.#state.term > 0 && message.term >= this.#state.term
    if (message.t === 'released' && known) this.#state = { ...this.#state, released: true }
    if (message.t === 'resigned' && from === this.#leader && message.term >= this.#state.term) {
      this.#leader = undefined
      this.#heardLeaderMs = Number.NEGATIVE_INFINITY
    }
    return []
  }

  #follow(from: NodeId, message: RaftMessage & { t: 'witness' }, nowMs: number): RaftMessage {
    const { term, index, lastTerm, round } = message
    if (term < this.#state.term) return { t: 'appended', term: this.#state.term, ok: false, index: 0, round: 0 }
    // The leader of a new term has every entry that was committed before it: its end takes the place of ours.
    const { released, ...state } = this.#state
    const { index: known, lastTerm: knownTerm } = state
    if (released) this.#state = state
    if (term > this.#state.term) this.#state = { term, vote: null, index, lastTerm }
    else if (lastTerm > knownTerm || (lastTerm === knownTerm && index > known) || mutated('witness-goes-back')) {
      this.#state = { ...state, index, lastTerm } // an older message may come later
    }
    this.#leader = from
    this.#heardLeaderMs = nowMs
    return { t: 'appended', term, ok: true, index, round }
  }

  #vote(from: NodeId, vote: RaftMessage & { t: 'vote' }, nowMs: number): Envelope[] {
    const { pre, term, transfer, lastIndex, lastTerm } = vote
    const answer = (granted: boolean): Envelope => ({
      to: from,
      message: { t: 'voted', term: granted ? term : this.#state.term, pre, granted },
    })
    if (from === this.#leader) this.#leader = undefined // it would not ask if it still led
    const leader = this.#leader
    const heard = nowMs - this.#heardLeaderMs < RAFT_STICK_MS
    if (term < this.#state.term) return [answer(false)]
    if (!transfer && (heard || (leader !== undefined && this.#alive(leader)))) {
      const check: RaftMessage = { t: 'check', term: this.#state.term }
      return leader === undefined ? [answer(false)] : [answer(false), { to: leader, message: check }]
    }
    if (!pre && term > this.#state.term) {
      this.#state = { ...this.#state, term, vote: null }
      this.#leader = undefined
    }
    const free = pre ? term > this.#state.term : this.#state.vote === null || this.#state.vote === from
    const complete =
      lastTerm > this.#state.lastTerm || (lastTerm === this.#state.lastTerm && lastIndex >= this.#state.index)
    if (!free || (!complete && !mutated('skip-vote-check'))) return [answer(false)]
    if (!pre) this.#state = { ...this.#state, vote: from }
    return [answer(true)]
  }
}
