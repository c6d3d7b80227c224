// Scenario: a process with many events runs while tabs are killed, closed and opened again at random. In the end it
// must have given the result that it gives undisturbed: every line of output once, every file whole.
import type { Kid } from '../base/ids.ts'
import { checkProcess, PROGRAM } from './checkers/processes.ts'
import { Cluster, type SimNode } from './cluster.ts'
import { programLoader, withSleep } from './programs.ts'
import { Steps } from './steps.ts'
import { Trace } from './trace.ts'

export interface ProcessesOptions {
  seed: number
  nodes: number
  /** Virtual time of killing. */
  seconds: number
  settle: () => Promise<void>
  onLine?: (line: string) => void
  steps?: Steps
}

export interface ProcessesReport {
  seed: number
  trace: string
  /** Tabs killed or closed; events whose effects were each seen once in the end. */
  killed: number
  events: number
  virtualMs: number
}

const EVENTS = 60
/** Its files are in /out/lines. */
const NAME = 'lines'

/** @throws {Violation} with what is lost or doubled. */
export async function runProcesses(options: ProcessesOptions): Promise<ProcessesReport> {
  const trace = new Trace(options.onLine)
  const cluster = new Cluster({
    seed: options.seed,
    latencyMs: [0.5, 5],
    slots: 2,
    onLog: (line) => trace.add(line),
    ...programLoader(options.settle),
  })
  return withSleep(cluster.clock, () => disturb(cluster, trace, options))
}

async function disturb(cluster: Cluster, trace: Trace, options: ProcessesOptions) {
  const { seed, nodes, seconds, steps = new Steps() } = options
  const random = cluster.random.fork()
  for (let i = 0; i < nodes; i++) await cluster.run(cluster.addNode().boot())
  const all = () => cluster.up().length
  await cluster.until(() => meshed(cluster, all()), 'full mesh')
  const shell = cluster.nodes[0] as SimNode
  const kid = await spawn(cluster, cluster.nodes[random.below(nodes)] as SimNode)
  const endMs = cluster.clock.nowMs() + seconds * 1000
  let killed = 0
  while (cluster.clock.nowMs() < endMs) {
    await cluster.advance(300 + random.below(2_500))
    for (const node of cluster.nodes) if (!node.up) await cluster.run(node.boot())
    const own = random.fork()
    if (!steps.next()) continue
    const victim = own.pick(cluster.up().filter((node) => node !== shell))
    const crashes = own.float() < 0.7
    const what = `${victim.id.slice(-4)} ${crashes ? 'crashes' : 'closes'}`
    steps.tell(what)
    trace.add(`${cluster.clock.nowMs().toFixed(1)} ${what}`)
    if (crashes) victim.crash()
    else await cluster.run(victim.close())
    killed++
  }
  await checkProcess(cluster, shell, { kid, events: EVENTS, name: NAME })
  return { seed, trace: trace.hash(), killed, events: EVENTS, virtualMs: cluster.clock.nowMs() }
}

async function meshed(cluster: Cluster, count: number): Promise<boolean> {
  for (const node of cluster.up()) if ((await cluster.run(node.os.info('peers'))).length !== count - 1) return false
  return true
}

async function spawn(cluster: Cluster, node: SimNode): Promise<Kid> {
  await cluster.run(node.fs.writeFile('/lines.js', PROGRAM))
  return (await cluster.run(node.os.call('run', { program: '/lines.js', args: [String(EVENTS), NAME], cwd: '/' }))).kid
}
