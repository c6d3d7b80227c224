// Keeps the journals that this node leads at their wanted size: considers their members when somebody comes or goes, and
// proposes what policy.ts says. Above: groups.ts. Below: group.ts, membership, the witness.
import { isOsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { WitnessLink } from '../../ports/witness.ts'
import * as limits from '../limits.ts'
import { mutated } from '../mutations.ts'
import { type Group, isMember } from './group.ts'
import type { Liveness } from './liveness.ts'
import { nextConfig } from './policy.ts'
import { type GroupConfig, membersOf, voterOf } from './raft/config.ts'

export interface MembersOptions {
  self: NodeId
  clock: Clock
  liveness: Liveness
  witness: WitnessLink
  find(name: string): Group | undefined
  /** The journal does not count on the witness any more. */
  released(group: Group): void
  /** The journal does not count on that node any more. */
  dismissed(id: NodeId, group: Group): void
}

export class Members {
  readonly #options: MembersOptions
  readonly #startedMs: number
  /** When each node left that may come back, and whether it took its leave. */
  readonly #left = new Map<NodeId, { atMs: number; said: boolean }>()
  readonly #reviews = new Set<string>()
  /** Members as they were when they were considered last. */
  readonly #reviewed = new Map<string, GroupConfig>()
  /** Members of journals that another leads, as they are: who leads next tells those whom the last leader has not told. */
  readonly #seen = new Map<string, GroupConfig>()
  /** Journals led here that count on the witness. */
  readonly #counting = new Set<string>()
  #timer: Timer | undefined
  #closed = false

  constructor(options: MembersOptions) {
    this.#options = options
    this.#startedMs = options.clock.nowMs()
  }

  /** It was a neighbour, and left. */
  missed(peer: NodeId): boolean {
    return this.#left.has(peer)
  }

  /** @param said it took its leave. */
  left(peer: NodeId, said: boolean): void {
    this.#left.set(peer, { atMs: this.#options.clock.nowMs(), said })
  }

  back(peer: NodeId): void {
    this.#left.delete(peer)
  }

  /** The journal, or who is here, has changed: several changes are considered together. */
  reviewSoon({ name }: Group): void {
    if (this.#closed) return
    this.#reviews.add(name)
    this.#timer ??= this.#options.clock.setTimer(() => this.#review(), limits.GROUP_REVIEW_MS, 'journal members')
  }

  /** Whether its members have not been considered as they are. */
  due({ name, settled, config }: Group): boolean {
    return settled && (config.learners.length > 0 || this.#reviewed.get(name) !== config)
  }

  /** Another leads it, or nobody. */
  follows({ name, config }: Group): void {
    const before = this.#seen.get(name)
    if (before === config) return
    if (before) this.#reviewed.set(name, before)
    this.#seen.set(name, config)
  }

  forget(name: string): void {
    this.#seen.delete(name)
    this.#reviewed.delete(name)
    this.#counting.delete(name)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  #review(): void {
    this.#timer = undefined
    for (const name of [...this.#reviews]) {
      const group = this.#options.find(name)
      this.#reviews.delete(name)
      if (group?.settled) this.#adjust(group)
    }
  }

  #adjust(group: Group): void {
    this.#release(group)
    this.#dismiss(group)
    const { self, clock, liveness, witness } = this.#options
    const nowMs = clock.nowMs()
    const nodes = liveness.nodes(group.name)
    const here = (id: NodeId) => nodes.some((node) => node.id === id)
    // Who closed its tab may be back after a reload, and is waited for; but where nobody can take its place, the next
    // tab that closes would leave too few to decide anything.
    const patient = (id: NodeId) => !this.#left.get(id)?.said || nodes.length >= limits.GROUP_SIZE
    const absent = (id: NodeId) => !here(id) && patient(id)
    const replaceMs = (id: NodeId) => {
      return this.#left.get(id)?.said === false ? limits.GROUP_REPLACE_DEAD_MS : limits.GROUP_REPLACE_MS
    }
    const awayMs = (id: NodeId) => nowMs - (this.#left.get(id)?.atMs ?? this.#startedMs)
    const next = nextConfig({
      self,
      config: group.config,
      nodes,
      gone: (id) => (here(id) ? group.stuck(id) : !patient(id) || awayMs(id) >= replaceMs(id)),
      caughtUp: (id) => group.caughtUp(id),
      slow: (id) => group.stuck(id),
      witness: witness.id,
    })
    const waiting = group.config.voters.some(({ id }) => absent(id) && awayMs(id) < replaceMs(id))
    this.#reviewed.set(group.name, group.config)
    if (waiting || (next && group.config.learners.length > 0)) this.reviewSoon(group)
    if (!next || sameConfig(next, group.config) || mutated('never-refill')) return
    try {
      group.reconfigure(next)
    } catch (error) {
      if (!isOsError(error, 'EAGAIN')) throw error
      this.reviewSoon(group)
    }
  }

  /** Tells those who were left out. */
  #dismiss(group: Group): void {
    for (const id of this.untold(group)) this.#options.dismissed(id, group)
  }

  /** Those who were members when they were considered last, and are not now: they have not been told. */
  untold({ name, config }: Group): NodeId[] {
    const before = this.#reviewed.get(name)
    if (!before || before === config) return []
    const { self, witness } = this.#options
    return membersOf(before).filter((id) => id !== self && id !== witness.id && !isMember(config, id))
  }

  /** Tells the witness when the journal has enough members without it, so that it may forget. */
  #release(group: Group): void {
    const { id } = this.#options.witness
    if (id === undefined) return
    if (voterOf(group.config, id)) this.#counting.add(group.name)
    else if (this.#counting.delete(group.name)) this.#options.released(group)
  }
}

function sameConfig(a: GroupConfig, b: GroupConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
