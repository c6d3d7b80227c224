// Whole kernels for tests of the kernel's services: a simulated cluster, booted and meshed.
import { isOsError } from '../base/errors.ts'
import type { Kid } from '../base/ids.ts'
import { Cluster, type ClusterOptions, type SimNode } from '../sim/cluster.ts'
import { programLoader } from '../sim/programs.ts'
import { MOUNTS } from '../syscalls/mounts.ts'
import type { HistoryRow, KernelEvent } from '../syscalls/types.ts'

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

export interface TestCluster extends Cluster {
  lines: string[]
}

export function newCluster(options: Partial<ClusterOptions> & { programs?: boolean } = {}): TestCluster {
  const lines: string[] = []
  const { programs, ...rest } = options
  const cluster = new Cluster({
    seed: 1,
    settle: turn,
    onLog: (line) => lines.push(line),
    ...(programs ? programLoader(turn) : {}),
    ...rest,
  })
  return Object.assign(cluster, { lines })
}

export async function boot<N extends SimNode[]>(cluster: Cluster, count: N['length']): Promise<N> {
  const nodes = Array.from({ length: count }, () => cluster.addNode())
  for (const node of nodes) await cluster.run(node.boot())
  await meshed(cluster, nodes)
  return nodes as N
}

/** A cluster whose tasks may sleep in virtual time: `testSleep(ms)`. To be ended by `endSleepers` after each test. */
export async function bootSleepers(count: number, seed: number): Promise<{ cluster: TestCluster; nodes: SimNode[] }> {
  const cluster = newCluster({ programs: true, seed, slots: 2 })
  letTasksSleep(cluster)
  const nodes = await boot(cluster, count)
  await oneHome(cluster)
  return { cluster, nodes }
}

export function letTasksSleep(cluster: Cluster): void {
  const sleep = (ms: number) => new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'task sleeps'))
  Object.assign(globalThis, { testSleep: sleep })
}

export function endSleepers(): void {
  Reflect.deleteProperty(globalThis, 'testSleep')
}

export async function meshed(cluster: Cluster, nodes: readonly SimNode[] = cluster.up()): Promise<void> {
  await cluster.until(async () => {
    const counts = await Promise.all(nodes.map(async (node) => (await node.os.info('peers')).length))
    return counts.every((count) => count === nodes.length - 1)
  }, `full mesh of ${nodes.length}`)
}

export const homeOf = async (cluster: Cluster, node: SimNode) => (await cluster.run(node.os.info('node'))).treeHome

/** Waits until all see the same home of the tree. */
export async function oneHome(cluster: Cluster, nodes: readonly SimNode[] = cluster.up()): Promise<string> {
  let homes: (string | null)[] = []
  await cluster.until(async () => {
    homes = await Promise.all(nodes.map(async (node) => (await node.os.info('node')).treeHome))
    return homes[0] !== null && homes.every((home) => home === homes[0])
  }, 'one home')
  return homes[0] as string
}

/** Whoever leads the tree, once all see the same, and the others. */
export async function homeAndOthers(cluster: TestCluster, nodes: SimNode[]): Promise<[SimNode, SimNode[]]> {
  await cluster.until(async () => {
    const [first] = nodes as [SimNode]
    const home = (await first.os.info('node')).treeHome
    return nodes.some((node) => node.id === home)
  }, 'a home among them')
  const home = await oneHome(cluster, nodes)
  return [nodes.find(({ id }) => id === home) as SimNode, nodes.filter(({ id }) => id !== home)]
}

export async function codeOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'ok'
  } catch (error) {
    if (!isOsError(error)) throw error
    return error.code
  }
}

/** Kernel events of a node so far. */
export async function eventsOf(cluster: Cluster, node: SimNode): Promise<KernelEvent[]> {
  return (await cluster.run(node.os.call('wait', { for: 'events', since: 0 }))).events ?? []
}

/** What the journal of a process tells, all of it. */
export async function historyOf(cluster: Cluster, node: SimNode, kid: Kid): Promise<HistoryRow[]> {
  const rows: HistoryRow[] = []
  for (let after: number | undefined; ; after = rows.at(-1)?.n) {
    const args = { topic: 'history', kid, ...(after === undefined ? {} : { after }) } as const
    const page = (await cluster.run(node.os.call('info', args), 60_000)) as HistoryRow[]
    if (page.length === 0) return rows
    rows.push(...page)
  }
}

/** A whole tree as a plain object: path to text; directories end with a slash. */
export async function snapshot(cluster: Cluster, node: SimNode, at = '/'): Promise<Record<string, string>> {
  const out: Record<string, string> = {}
  for (const entry of await cluster.run(node.fs.readdir(at, { withFileTypes: true }))) {
    const path = `${at === '/' ? '' : at}/${entry.name}`
    if (at === '/' && MOUNTS.includes(entry.name as (typeof MOUNTS)[number])) continue
    if (entry.isDirectory()) Object.assign(out, { [`${path}/`]: '' }, await snapshot(cluster, node, path))
    else out[path] = await cluster.run(node.fs.readFile(path, 'utf8'))
  }
  return out
}
