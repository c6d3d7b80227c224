// Who waits for one journal: for entries to be as safe as asked, and for certainty that this node still leads. Above:
// group.ts, which calls `settle` whenever something has happened. Below: the machine (raft/raft.ts).
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Ack } from '../../syscalls/types.ts'
import * as limits from '../limits.ts'
import { mutated } from '../mutations.ts'
import type { GroupHost } from './group.ts'
import { membersOf, voterOf } from './raft/config.ts'
import type { Raft } from './raft/raft.ts'

interface Waiter {
  /** Of the entry that has to be committed, in this term. */
  index: number
  term: number
  level: Ack['level']
  /** Members that had everything when it was appended: it waits for one of them, though its own vote may do. */
  hope: readonly NodeId[]
  atMs: number
  resolve(ack: Ack): void
  reject(error: OsError): void
}

interface RoundWaiter {
  round: number
  resolve(): void
  reject(error: OsError): void
}

export class Waiters {
  readonly #host: Pick<GroupHost, 'self' | 'clock' | 'alive' | 'deviceOf'>
  readonly #raft: Raft
  #entries: Waiter[] = []
  #rounds: RoundWaiter[] = []

  constructor(raft: Raft, host: Pick<GroupHost, 'self' | 'clock' | 'alive' | 'deviceOf'>) {
    this.#raft = raft
    this.#host = host
  }

  /**
   * Resolves when the entry at `index`, appended just now, is stored by as many as `level` asks.
   * @throws {OsError} ECONNRESET perhaps written.
   */
  entry(index: number, level: Ack['level']): Promise<Ack> {
    const { self, alive, clock } = this.#host
    const complete = this.#raft.holders(this.#raft.commit)
    const had = this.#entries.at(-1)?.hope ?? []
    const hope = this.keepers().filter((id) => id !== self && alive(id) && (complete.includes(id) || had.includes(id)))
    const { term } = this.#raft
    return new Promise((resolve, reject) => {
      this.#entries.push({ index, term, level, hope, atMs: clock.nowMs(), resolve, reject })
    })
  }

  /** Resolves when a majority has answered that round. @throws {OsError} EAGAIN. */
  round(round: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#rounds.push({ round, resolve, reject })
    })
  }

  /** Tells everybody for whom it is decided. Called at every step of the journal: most times for nobody. */
  settle(): void {
    if (this.#entries.length > 0) this.#settleEntries()
    if (this.#rounds.length > 0) this.#settleRounds()
  }

  /** In the journal's order, which is that of their indices: nothing after one that waits is told before it. */
  #settleEntries(): void {
    const { commit, term, role, quorate } = this.#raft
    const entries = this.#entries
    const waiting: Waiter[] = []
    for (const [i, waiter] of entries.entries()) {
      if (role !== 'leader' || waiter.term !== term) {
        waiter.reject(new OsError('ECONNRESET', 'another node took over while this was written'))
        continue
      }
      const written = commit >= waiter.index
      if (!written && !quorate) {
        const why = 'the nodes that keep this went away while it was written: it may be or not'
        waiter.reject(new OsError('ECONNRESET', why))
        continue
      }
      const ack = written && waiting.length === 0 ? this.#decided(waiter) : undefined
      if (ack) waiter.resolve(ack)
      else if (quorate) {
        if (i > 0) this.#entries = entries.slice(i)
        return
      } else waiting.push(waiter)
    }
    this.#entries = waiting
  }

  /** How safe the entry is, which is committed; undefined while it is worth waiting for more. */
  #decided(waiter: Waiter): Ack | undefined {
    const ack = this.#ack(waiter.index)
    if (waiter.level === 'all' && ack.level !== 'all' && this.#moreToCome(waiter)) return undefined
    if (waiter.level === 'majority' && ack.level === 'local' && this.#hopeful(waiter)) return undefined
    return ack
  }

  #settleRounds(): void {
    const { role, quorate } = this.#raft
    this.#rounds = this.#rounds.filter(({ round, resolve, reject }) => {
      if (role !== 'leader') reject(new OsError('EAGAIN', 'another node leads'))
      else if (this.#raft.confirmed(round)) resolve()
      else if (quorate) return true
      else reject(new OsError('EAGAIN', 'too few of the nodes that keep this are here'))
      return false
    })
  }

  rejectAll(error: OsError): void {
    for (const { reject } of this.#entries.splice(0)) reject(error)
    for (const { reject } of this.#rounds.splice(0)) reject(error)
  }

  /** Members that store entries. */
  keepers(): NodeId[] {
    const { config } = this.#raft
    return membersOf(config).filter((id) => !voterOf(config, id)?.witness)
  }

  /** How safe an entry is: stored by whom. */
  #ack(index: number): Ack {
    const holders = this.#raft.holders(index)
    const claimed = mutated('claim-more-copies') ? 1 : 0
    const devices = new Set(holders.map((id) => this.#host.deviceOf(id) ?? id)).size + claimed
    if (holders.length === 1) return { level: 'local', devices }
    return { level: this.keepers().every((id) => holders.includes(id)) ? 'all' : 'majority', devices }
  }

  /** Its own vote, or that of a witness, is no second copy; but nobody waits long for a member that does not answer. */
  #hopeful({ hope, atMs }: Waiter): boolean {
    const nowMs = this.#host.clock.nowMs()
    if (nowMs - atMs > limits.GROUP_HOPE_MS) return false
    return hope.some((id) => this.#host.alive(id) && !this.#raft.isMute(id, nowMs))
  }

  /** One that is here and does not store, because its disk is full, must not hold everybody up. */
  #moreToCome({ index, atMs }: Waiter): boolean {
    if (this.#host.clock.nowMs() - atMs > limits.GROUP_ALL_MS) return false
    const holders = this.#raft.holders(index)
    return this.keepers().some((id) => !holders.includes(id) && this.#host.alive(id))
  }
}
