// Checker: nobody lists the gone for longer than is promised. It holds while links and the relay work.
import type { Cluster, SimNode } from '../cluster.ts'
import { Violation } from '../violation.ts'

/** How long the others may take to notice; a little over what is promised, since the checker looks every 100 ms. */
export const CRASH_NOTICE_MS = 6_000
export const CLOSE_NOTICE_MS = 1_500

interface Gone {
  node: SimNode
  atMs: number
  crashed: boolean
}

export class GoneWatch {
  readonly #cluster: Cluster
  readonly #gone = new Set<Gone>()
  readonly #lastCrashMs = new Map<SimNode, number>()
  /** Longest virtual time until nobody listed a closed, a crashed tab any more. */
  slowestCloseMs = 0
  slowestCrashMs = 0

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  left(node: SimNode, crashed: boolean): void {
    const atMs = this.#cluster.clock.nowMs()
    if (crashed) this.#lastCrashMs.set(node, atMs)
    // Whoever has not met it again since it crashed a moment ago cannot have heard its goodbye.
    const unheard = atMs - (this.#lastCrashMs.get(node) ?? -Infinity) < CRASH_NOTICE_MS
    this.#gone.add({ node, atMs, crashed: crashed || unheard })
  }

  back(node: SimNode): void {
    for (const each of this.#gone) if (each.node === node) this.#gone.delete(each)
  }

  /** @throws {Violation} */
  async look(): Promise<void> {
    for (const each of this.#gone) {
      const listed = await listedBy(this.#cluster, each.node)
      const sinceMs = this.#cluster.clock.nowMs() - each.atMs
      if (!listed) {
        this.#gone.delete(each)
        if (each.crashed) this.slowestCrashMs = Math.max(this.slowestCrashMs, sinceMs)
        else this.slowestCloseMs = Math.max(this.slowestCloseMs, sinceMs)
      } else if (sinceMs > (each.crashed ? CRASH_NOTICE_MS : CLOSE_NOTICE_MS)) {
        const how = each.crashed ? 'crashed' : 'closed'
        throw new Violation(`${each.node.id} is still listed ${sinceMs.toFixed(0)} ms after it ${how}`)
      }
    }
  }
}

async function listedBy(cluster: Cluster, gone: SimNode): Promise<boolean> {
  for (const node of cluster.up()) {
    const rows = await cluster.run(node.os.info('peers'))
    if (rows.some((row) => row.id === gone.id)) return true
  }
  return false
}
