// Checker: after the faults have stopped, every journal and every block is back at its replica target in bounded time
// (design §8, invariant 6).
import { isOsError } from '../../base/errors.ts'
import { allCids } from '../../kernel/fs/dag.ts'
import type { Group } from '../../kernel/journal/group.ts'
import { GROUP_SIZE } from '../../kernel/limits.ts'
import type { Cluster, SimNode } from '../cluster.ts'
import { Violation } from '../violation.ts'
import { storedOn } from './versions.ts'

/** An election, a newcomer that copies, a branch that is merged: each takes seconds. */
const REPAIR_MS = 90_000

/** @returns virtual ms that it took. @throws {Violation} what is still missing. */
export async function repaired(cluster: Cluster, limitMs = REPAIR_MS): Promise<number> {
  const startMs = cluster.clock.nowMs()
  for (;;) {
    const problem = await firstProblem(cluster)
    if (problem === undefined) return cluster.clock.nowMs() - startMs
    if (cluster.clock.nowMs() - startMs > limitMs) throw new Violation(`not repaired within ${limitMs} ms: ${problem}`)
    await cluster.advance(100)
  }
}

async function firstProblem(cluster: Cluster): Promise<string | undefined> {
  const names = new Set(cluster.up().flatMap((node) => node.kernel?.journals.map(({ name }) => name) ?? []))
  for (const name of names) {
    const problem = problemOf(cluster, name)
    if (problem !== undefined) return `${name.slice(0, 20)} ${problem}`
  }
  return undefined
}

/** What one journal lacks; undefined: nothing. */
export function problemOf(cluster: Cluster, name: string): string | undefined {
  const up = cluster.up()
  const kept = up.flatMap((node) => {
    const group = node.kernel?.journals.find((each) => each.name === name)
    return group ? [{ node, group }] : []
  })
  if (kept.every(({ group }) => ended(group, kept, up))) return undefined
  const leading = kept.filter(({ group }) => group.leads)
  const [leader] = leading
  if (!leader || leading.length > 1) {
    const who = kept.map(
      ({ node, group }) => `${node.id.slice(-4)} (term ${group.term}, ${group.config.voters.length} voters)`,
    )
    return `is led by ${leading.length} nodes and kept by ${who.join(', ')}`
  }
  const { voters, learners } = leader.group.config
  const wanted = Math.min(GROUP_SIZE, up.length)
  const keepers = voters.filter(({ witness }) => !witness).map(({ id }) => id)
  if (up.length >= GROUP_SIZE && (keepers.length !== wanted || learners.length > 0)) {
    return `has ${keepers.length} of ${wanted} keepers, ${learners.length} learners`
  }
  const away = keepers.find((id) => !up.some((node) => node.id === id))
  if (away) return `counts on ${away}, which is not here`
  const behind = keepers.find((id) => !leader.group.caughtUp(id))
  if (behind) return `has not reached ${behind}`
  const devices = new Set(keepers.map((id) => up.find((node) => node.id === id)?.device)).size
  const possible = Math.min(wanted, new Set(up.map(({ device }) => device)).size)
  if (up.length >= GROUP_SIZE && devices < possible) return `is on ${devices} of ${possible} devices`
  // A former member that was cut off when another took its place may have a copy until it is reloaded: nobody counts on it.
  return undefined
}

interface Kept {
  node: SimNode
  group: Group
}

/**
 * A journal that ended (its tree was merged) leaves copies at members that were away: nobody counts on them. It has ended
 * where most of its members are here and have forgotten it. Of one without members only the name was ever heard.
 */
function ended({ config }: Group, kept: readonly Kept[], up: readonly SimNode[]): boolean {
  const keeps = (id: string) => kept.some(({ node }) => node.id === id)
  const forgot = config.voters.filter(({ id }) => up.some((node) => node.id === id) && !keeps(id))
  return config.voters.length === 0 || forgot.length > config.voters.length / 2
}

/** Whether it is there to stay: because that node keeps a tree, or was asked to keep it. Others have read or written it. */
function keeps({ disk, kernel }: SimNode, cid: string): boolean {
  if (!disk.blocks.has(cid)) return false
  if (kernel?.journals.some(({ name }) => name.startsWith('tree/'))) return true
  return [...disk.records].some(
    ([name, page]) => name.startsWith('pins ') && new TextDecoder('latin1').decode(page).includes(cid),
  )
}

/** Waits until every block of these files is kept as often as it should be. @throws {Violation} what is not. */
export async function checkBlocks(cluster: Cluster, paths: readonly string[], limitMs = REPAIR_MS): Promise<void> {
  const startMs = cluster.clock.nowMs()
  for (;;) {
    const problem = await firstRare(cluster, paths)
    if (problem === undefined) return
    if (cluster.clock.nowMs() - startMs > limitMs) throw new Violation(problem)
    await cluster.advance(1_000)
  }
}

async function firstRare(cluster: Cluster, paths: readonly string[]): Promise<string | undefined> {
  const up = cluster.up()
  const [reader] = up as [SimNode]
  const wanted = Math.min(GROUP_SIZE, new Set(up.map(({ device }) => device)).size)
  for (const path of paths) {
    const found = await cluster.run(reader.fs.stat(path)).catch((error: unknown) => {
      if (isOsError(error, 'ENOENT')) return undefined
      throw error
    })
    // An older tree whose keepers are back takes the place of a branch, and is merged with it a little later.
    if (!found) return `${path} is not there`
    const { cid, size } = found.info
    if (cid === undefined) continue
    for (const each of await allCids(storedOn(cluster), { cid, size }, {})) {
      const devices = new Set(up.filter((node) => keeps(node, each)).map(({ device }) => device)).size
      if (devices < wanted) return `${path} is kept by ${devices} of ${wanted} devices: ${each}`
    }
  }
  return undefined
}
