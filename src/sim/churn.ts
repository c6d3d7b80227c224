// Scenario: kernels join, leave, crash and come back at random, with a workload of small files. After the faults
// stop, everything must agree. The checkers say what "agree" means.
import { fromUtf8 } from '../base/bytes.ts'
import { isOsError } from '../base/errors.ts'
import { MAX_MESH_PEERS } from '../kernel/limits.ts'
import { Cluster, type SimNode } from './cluster.ts'
import { Trace } from './trace.ts'

export interface ChurnOptions {
  seed: number
  nodes: number
  /** Virtual time of churn. */
  durationMs: number
  settle: () => Promise<void>
  onLine?: (line: string) => void
}

export interface ChurnReport {
  seed: number
  /** Hash of everything that happened, in order: equal for equal seeds. */
  trace: string
  joins: number
  closes: number
  crashes: number
  writes: number
  /** Longest virtual time until nobody listed a closed, a crashed tab any more. */
  slowestCloseMs: number
  slowestCrashMs: number
  /** Until all live nodes agreed on members and tree, after the last fault. */
  convergedMs: number
  virtualMs: number
}

/** How long the others may take to notice; a little over what is promised, since the checker looks every 100 ms. */
const CRASH_NOTICE_MS = 6_000
const CLOSE_NOTICE_MS = 1_500

/** What nobody may list any more, and since when. */
interface Gone {
  node: SimNode
  atMs: number
  crashed: boolean
}

export async function runChurn(options: ChurnOptions): Promise<ChurnReport> {
  const trace = new Trace(options.onLine)
  const cluster = new Cluster({
    seed: options.seed,
    settle: options.settle,
    split: true,
    latencyMs: [0.5, 20],
    onLog: (line) => trace.add(line),
  })
  const random = cluster.random.fork()
  const counts = { joins: 0, closes: 0, crashes: 0, writes: 0, slowestCloseMs: 0, slowestCrashMs: 0 }
  const gone = new Set<Gone>()
  const lastCrashMs = new Map<SimNode, number>()
  const written = new Map<string, string>()

  const boot = async (node: SimNode) => {
    for (const each of gone) if (each.node === node) gone.delete(each)
    await cluster.run(node.boot())
    counts.joins++
    trace.add(`${cluster.clock.nowMs().toFixed(1)} ${node.id.slice(-4)} boots`)
  }
  const leave = async (node: SimNode, crashed: boolean) => {
    trace.add(`${cluster.clock.nowMs().toFixed(1)} ${node.id.slice(-4)} ${crashed ? 'crashes' : 'closes'}`)
    if (crashed) node.crash()
    else await cluster.run(node.close())
    const atMs = cluster.clock.nowMs()
    if (crashed) lastCrashMs.set(node, atMs)
    // Whoever has not met it again since it crashed a moment ago cannot have heard its goodbye.
    gone.add({ node, atMs, crashed: crashed || atMs - (lastCrashMs.get(node) ?? -Infinity) < CRASH_NOTICE_MS })
    if (crashed) counts.crashes++
    else counts.closes++
  }
  let started = 0
  const writes: Promise<void>[] = []
  const write = async (node: SimNode) => {
    const path = `/tmp/${node.id.slice(-6)}-${started++}`
    const text = `written by ${node.id}`
    try {
      await node.fs.writeFile(path, text)
      counts.writes++
      written.set(path, text)
    } catch (error) {
      trace.add(`${cluster.clock.nowMs().toFixed(1)} write refused: ${String(error)}`)
    }
  }
  /** Checker of detection: how long the gone stay listed. */
  const watchGone = async () => {
    for (const each of gone) {
      const listed = await listedBy(cluster, each.node)
      const sinceMs = cluster.clock.nowMs() - each.atMs
      if (!listed) {
        gone.delete(each)
        if (each.crashed) counts.slowestCrashMs = Math.max(counts.slowestCrashMs, sinceMs)
        else counts.slowestCloseMs = Math.max(counts.slowestCloseMs, sinceMs)
      } else if (sinceMs > (each.crashed ? CRASH_NOTICE_MS : CLOSE_NOTICE_MS)) {
        throw new Error(
          `${each.node.id} is still listed ${sinceMs.toFixed(0)} ms after it ${each.crashed ? 'crashed' : 'closed'}`,
        )
      }
    }
  }

  for (let i = 0; i < options.nodes; i++) {
    await boot(cluster.addNode())
    await cluster.advance(random.below(200))
  }
  const endMs = cluster.clock.nowMs() + options.durationMs
  let nextMs = cluster.clock.nowMs()
  while (cluster.clock.nowMs() < endMs) {
    if (cluster.clock.nowMs() >= nextMs) {
      nextMs = cluster.clock.nowMs() + random.below(1_500)
      const up = cluster.up()
      const down = cluster.nodes.filter((node) => !node.up)
      const dice = random.float()
      if (dice < 0.3 && up.length > 2) await leave(random.pick(up), random.float() < 0.5)
      else if (dice < 0.6 && down.length > 0) await boot(random.pick(down))
      else if (up.length > 0) writes.push(write(random.pick(up)))
    }
    await cluster.advance(100)
    await watchGone()
  }
  await cluster.run(Promise.all(writes), 300_000)
  const convergedMs = await agree(cluster)
  for (const node of cluster.nodes) if (!node.up) await boot(node)
  await agree(cluster)
  await checkFiles(cluster, written)
  return { seed: options.seed, trace: trace.hash(), ...counts, convergedMs, virtualMs: cluster.clock.nowMs() }
}

async function listedBy(cluster: Cluster, gone: SimNode): Promise<boolean> {
  for (const node of cluster.up()) {
    const rows = await cluster.run(node.os.info('peers'))
    if (rows.some((row) => row.id === gone.id)) return true
  }
  return false
}

/** @returns virtual ms until all live nodes agreed. @throws with what each of them thinks. */
async function agree(cluster: Cluster): Promise<number> {
  try {
    return await cluster.until(() => converged(cluster), 'all live nodes agree', 60_000)
  } catch (error) {
    const views: string[] = []
    for (const node of cluster.up()) {
      const { treeHome, nodes } = await cluster.run(node.os.info('node'))
      views.push(`${node.id.slice(-4)} sees ${nodes} nodes, / is kept by ${treeHome?.slice(-4) ?? 'nobody'}`)
    }
    throw new Error(`the live nodes do not agree:\n${views.join('\n')}`, { cause: error })
  }
}

/** Checker: nobody lists the dead; everybody has the neighbours it wants; one tree, one head. */
async function converged(cluster: Cluster): Promise<boolean> {
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

function connected(links: ReadonlyMap<string, string[]>): boolean {
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

/** Checker: with all disks back, all nodes see every file whose write was acknowledged, and read what was written. */
async function checkFiles(cluster: Cluster, written: ReadonlyMap<string, string>): Promise<void> {
  let missing = new Set<string>()
  // An older tree whose keepers are back takes the place of a branch at once, and gets the branch's files a little later.
  const whole = async () => {
    missing = new Set()
    for (const node of cluster.up()) {
      const names = new Set(await cluster.run(node.fs.readdir('/tmp')))
      for (const path of written.keys()) if (!names.has(path.slice('/tmp/'.length))) missing.add(path)
    }
    const [reader] = cluster.up() as [SimNode]
    for (const [path, text] of missing.size === 0 ? written : []) {
      if ((await readOf(cluster, reader, path)) !== text) missing.add(path)
    }
    return missing.size === 0
  }
  try {
    await cluster.until(whole, 'all see every file', 60_000)
  } catch (error) {
    throw new Error(`acknowledged files are lost: ${[...missing].join(', ')}`, { cause: error })
  }
}

async function readOf(cluster: Cluster, reader: SimNode, path: string): Promise<string | undefined> {
  try {
    return fromUtf8(await cluster.run(reader.fs.readFile(path)))
  } catch (error) {
    if (isOsError(error, 'ENOENT')) return undefined
    throw error
  }
}
