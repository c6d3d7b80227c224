// When this node asks for votes: those who could lead a journal take turns. Above: groups.ts. Below: group.ts, liveness.
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Random } from '../../ports/random.ts'
import { GROUP_ELECTION_STEP_MS, RAFT_COURTESY, RAFT_RETRY_MS } from '../limits.ts'
import type { Group } from './group.ts'
import type { Liveness } from './liveness.ts'
import type { Members } from './members.ts'
import { membersOf } from './raft/config.ts'
import type { RaftMessage } from './raft/messages.ts'

export interface ElectionsOptions {
  self: NodeId
  clock: Clock
  random: Random
  liveness: Pick<Liveness, 'reach'>
  members: Pick<Members, 'missed'>
  alive(id: NodeId): boolean
}

export class Elections {
  readonly #options: ElectionsOptions
  readonly #timers = new Map<string, Timer>()
  #closed = false

  constructor(options: ElectionsOptions) {
    this.#options = options
  }

  /** Those who could lead take turns, so that mostly the first is elected before the second asks. */
  soon(group: Group, extraMs = 0): void {
    if (this.#closed || this.#timers.has(group.name)) return
    const { self, clock, random, liveness, members, alive } = this.#options
    const all = membersOf(group.config)
    const here = all.filter(alive)
    // In a large cluster members need not be neighbours, and nobody is elected by those who cannot be asked.
    for (const id of all) if (!here.includes(id) && !members.missed(id)) liveness.reach(id)
    const turn = here.sort().indexOf(self)
    const inMs = extraMs + (turn + random.float() / 2) * GROUP_ELECTION_STEP_MS
    const elect = () => {
      this.#timers.delete(group.name)
      if (group.leader === undefined && group.quorate) group.campaign()
    }
    this.#timers.set(group.name, clock.setTimer(elect, inMs, 'journal election'))
  }

  /**
   * The same, when somebody else has asked for a vote, and may take its time. Whoever lacks what this member has could ask for
   * ever: then it is this one's turn. Anybody else is given the time that its votes take, or the two would outbid each other
   * on a slow link.
   */
  after(vote: RaftMessage & { t: 'vote' }, group: Group): void {
    if (group.isAheadOf(vote)) return this.soon(group, GROUP_ELECTION_STEP_MS)
    this.soon(group, RAFT_RETRY_MS * (1 + (RAFT_COURTESY - 1) * this.#options.random.float()))
  }

  cancel(name: string): void {
    this.#timers.get(name)?.cancel()
    this.#timers.delete(name)
  }

  close(): void {
    this.#closed = true
    for (const timer of this.#timers.values()) timer.cancel()
  }
}
