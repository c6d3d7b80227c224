// Scenario: kernels join, leave, crash and come back at random, with a workload of small files. After the faults
// stop, everything must agree. The checkers say what "agree" means.
import type { SeededRandom } from '../adapters/memory/random.ts'
import { agree } from './checkers/agreement.ts'
import { checkFiles } from './checkers/files.ts'
import { GoneWatch } from './checkers/gone.ts'
import { Cluster, type SimNode } from './cluster.ts'
import { Steps } from './steps.ts'
import { Trace } from './trace.ts'

export interface ChurnOptions {
  seed: number
  nodes: number
  /** Virtual time of churn. */
  durationMs: number
  settle: () => Promise<void>
  onLine?: (line: string) => void
  steps?: Steps
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
  const steps = options.steps ?? new Steps()
  const counts = { joins: 0, closes: 0, crashes: 0, writes: 0 }
  const gone = new GoneWatch(cluster)
  const written = new Map<string, string>()

  const boot = async (node: SimNode) => {
    gone.back(node)
    await cluster.run(node.boot())
    counts.joins++
    trace.add(`${cluster.clock.nowMs().toFixed(1)} ${node.id.slice(-4)} boots`)
  }
  const leave = async (node: SimNode, crashed: boolean) => {
    trace.add(`${cluster.clock.nowMs().toFixed(1)} ${node.id.slice(-4)} ${crashed ? 'crashes' : 'closes'}`)
    if (crashed) node.crash()
    else await cluster.run(node.close())
    gone.left(node, crashed)
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
  const step = async (own: SeededRandom) => {
    const up = cluster.up()
    const down = cluster.nodes.filter((node) => !node.up)
    const dice = own.float()
    const tell = (node: SimNode, what: string) => {
      steps.tell(`${node.id.slice(-4)} ${what}`)
      return node
    }
    if (dice < 0.3 && up.length > 2) {
      const crashes = own.float() < 0.5
      await leave(tell(own.pick(up), crashes ? 'crashes' : 'closes'), crashes)
    } else if (dice < 0.6 && down.length > 0) await boot(tell(own.pick(down), 'comes back'))
    else if (up.length > 0) writes.push(write(tell(own.pick(up), 'writes')))
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
      const own = random.fork()
      if (steps.next()) await step(own)
    }
    await cluster.advance(100)
    await gone.look()
  }
  await cluster.run(Promise.all(writes), 300_000)
  const convergedMs = await agree(cluster)
  for (const node of cluster.nodes) if (!node.up) await boot(node)
  await agree(cluster)
  const claims = [...written].map(([path, text]) => ({ path, allows: ([found]: readonly string[]) => found === text }))
  await checkFiles(cluster, claims)
  const { slowestCloseMs, slowestCrashMs } = gone
  const virtualMs = cluster.clock.nowMs()
  return { seed: options.seed, trace: trace.hash(), ...counts, slowestCloseMs, slowestCrashMs, convergedMs, virtualMs }
}
