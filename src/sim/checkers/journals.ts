// Checkers of the journals of whole kernels, looked at from outside after every step: design §8, invariants 1 and 2.
import { toHex } from '../../base/bytes.ts'
import type { NodeId } from '../../base/ids.ts'
import type { Group } from '../../kernel/journal/group.ts'
import type { Cluster, SimNode } from '../cluster.ts'
import { Violation } from '../violation.ts'

/** A term of a journal has at most one leader. */
export class OneLeader {
  readonly #leaders = new Map<string, NodeId>()

  look(node: SimNode, { name, leads, term }: Group): void {
    if (!leads) return
    const key = `${name} ${term}`
    const other = this.#leaders.get(key)
    if (other === undefined) this.#leaders.set(key, node.id)
    else if (other !== node.id) throw new Violation(`${other} and ${node.id} both lead ${name} in term ${term}`)
  }

  /** Terms that somebody led. */
  get terms(): number {
    return this.#leaders.size
  }
}

/** What one member has committed at an index, every member has committed there, for ever; terms never fall. */
export class CommittedForEver {
  readonly #entries = new Map<string, { term: number; text: string }[]>()
  /** How far each member was looked at, since it was opened. */
  readonly #seen = new WeakMap<Group, number>()

  look(node: SimNode, group: Group): void {
    const { name, commit } = group
    const known = this.#entries.get(name) ?? []
    this.#entries.set(name, known)
    for (let index = (this.#seen.get(group) ?? 0) + 1; index <= commit; index++) {
      const entry = group.entryAt(index)
      if (!entry) continue // a snapshot covers it
      const text = `${entry.term} ${entry.kind} ${toHex(entry.bytes)}`
      const before = known[index]
      if (before && before.text !== text) {
        throw new Violation(`${node.id} committed '${text}' at ${index} of ${name}, which was '${before.text}'`)
      }
      const previous = known[index - 1]
      if (previous && previous.term > entry.term) {
        throw new Violation(`${name} has an entry of term ${entry.term} at ${index} after one of term ${previous.term}`)
      }
      known[index] = { term: entry.term, text }
    }
    this.#seen.set(group, commit)
  }
}

/** Looks at every journal of every open node. */
export class JournalWatch {
  readonly leaders = new OneLeader()
  readonly committed = new CommittedForEver()

  look(cluster: Cluster): void {
    for (const node of cluster.up()) {
      for (const group of node.kernel?.journals ?? []) {
        this.leaders.look(node, group)
        this.committed.look(node, group)
      }
    }
  }
}
