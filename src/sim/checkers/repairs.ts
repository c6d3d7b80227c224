// Checker: a journal that lost a member gets another in bounded time (design §8, invariant 6), in clusters too large to
// look at everything all the time.
import type { Group } from '../../kernel/journal/group.ts'
import { GROUP_SIZE } from '../../kernel/limits.ts'
import type { Cluster, SimNode } from '../cluster.ts'
import { Violation } from '../violation.ts'

/** An election, a newcomer that copies, a dismissal: each takes seconds. */
const REPAIR_MS = 120_000

export class Repairs {
  readonly #cluster: Cluster
  /** Journals that lost members and are not whole again. */
  readonly #open = new Map<string, { members: number; sinceMs: number }>()
  repaired = 0
  slowestMs = 0

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** This node goes for good. */
  lost(node: SimNode): void {
    for (const { name } of node.kernel?.journals ?? []) {
      const before = this.#open.get(name)
      this.#open.set(name, { members: (before?.members ?? 0) + 1, sinceMs: this.#cluster.clock.nowMs() })
    }
  }

  /** @throws {Violation} naming a journal that is not whole for too long. */
  look(): void {
    if (this.#open.size === 0) return
    const led = this.#led()
    const nowMs = this.#cluster.clock.nowMs()
    for (const [name, { members, sinceMs }] of this.#open) {
      const problem = this.#problem(led.get(name))
      if (problem === undefined) {
        this.#open.delete(name)
        this.repaired += members
        this.slowestMs = Math.max(this.slowestMs, nowMs - sinceMs)
      } else if (nowMs - sinceMs > REPAIR_MS) {
        throw new Violation(
          `${name} is not repaired ${Math.round(nowMs - sinceMs)} ms after it lost a member: ${problem}`,
        )
      }
    }
  }

  /** @throws {Violation} */
  async finish(): Promise<void> {
    for (this.look(); this.#open.size > 0; this.look()) await this.#cluster.advance(1_000)
  }

  #led(): Map<string, Group> {
    const led = new Map<string, Group>()
    for (const node of this.#cluster.up()) {
      for (const group of node.kernel?.journals ?? []) if (group.leads) led.set(group.name, group)
    }
    return led
  }

  #problem(group: Group | undefined): string | undefined {
    if (!group) return 'nobody leads it'
    const { voters, learners } = group.config
    const here = new Set<string>(this.#cluster.up().map(({ id }) => id))
    const keepers = voters.filter(({ witness }) => !witness)
    const present = keepers.filter(({ id }) => here.has(id) && group.caughtUp(id)).length
    const wanted = Math.min(GROUP_SIZE, here.size)
    if (present === wanted && keepers.length === wanted && learners.length === 0) return undefined
    return `it has ${present} of ${wanted} keepers, ${keepers.length - present} that are gone or behind`
  }
}
