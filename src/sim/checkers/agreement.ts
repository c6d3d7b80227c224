// Checker: in the end all live nodes agree: nobody lists the dead, everybody has the neighbours that it wants, and there
// is one tree with one leader.
import { MAX_MESH_PEERS } from '../../kernel/limits.ts'
import type { Cluster } from '../cluster.ts'
import { Violation } from '../violation.ts'

/**
 * @param everyMs how often they are asked. @returns virtual ms until all live nodes agreed.
 * @throws {Violation} with what each of them thinks.
 */
export async function agree(cluster: Cluster, limitMs = 60_000, everyMs = 20): Promise<number> {
  const startMs = cluster.clock.nowMs()
  while (!(await agreed(cluster))) {
    if (cluster.clock.nowMs() - startMs > limitMs) throw new Violation(await views(cluster))
    await cluster.advance(everyMs)
  }
  return cluster.clock.nowMs() - startMs
}

/** Of more nodes nobody reads what each of them thinks. */
const MAX_VIEWS = 20

async function views(cluster: Cluster): Promise<string> {
  const lines: string[] = []
  for (const node of cluster.up()) {
    const { treeHome, nodes } = await cluster.run(node.os.info('node'))
    if (lines.length < MAX_VIEWS)
      lines.push(`${node.id.slice(-4)} sees ${nodes} nodes, / is kept by ${treeHome?.slice(-4) ?? 'nobody'}`)
  }
  return `the live nodes do not agree:\n${lines.join('\n')}`
}

/** Whether they agree now. */
export async function agreed(cluster: Cluster): Promise<boolean> {
  const up = cluster.up()
  const ids = new Set<string>(up.map((node) => node.id))
  const links = new Map<string, string[]>()
  const homes = new Set<string | null>()
  for (const node of up) {
    const rows = await cluster.run(node.os.info('peers'))
    if (rows.some((row) => !ids.has(row.id))) return false
    if (up.length <= MAX_MESH_PEERS && rows.length !== up.length - 1) return false
    links.set(
      node.id,
      rows.map((row) => row.id),
    )
    homes.add((await cluster.run(node.os.info('node'))).treeHome)
  }
  return homes.size === 1 && !homes.has(null) && connected(links)
}

/** Whether everybody can be reached from anybody. */
export function connected(links: ReadonlyMap<string, readonly string[]>): boolean {
  const [first] = links.keys()
  if (first === undefined) return true
  const seen = new Set([first])
  const queue = [first]
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    for (const peer of links.get(next) ?? []) {
      if (seen.has(peer)) continue
      seen.add(peer)
      queue.push(peer)
    }
  }
  return seen.size === links.size
}
