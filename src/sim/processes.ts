// Scenario: a process with many events runs while tabs are killed, closed and opened again at random. In the end it
// must have given the result that it gives undisturbed: every line of output once, every file whole.
import { fromUtf8 } from '../base/bytes.ts'
import type { Kid } from '../base/ids.ts'
import { Cluster, type SimNode } from './cluster.ts'
import { programLoader } from './programs.ts'
import { Trace } from './trace.ts'
import { Violation } from './violation.ts'

export interface ProcessesOptions {
  seed: number
  nodes: number
  /** Virtual time of killing. */
  seconds: number
  settle: () => Promise<void>
  onLine?: (line: string) => void
}

export interface ProcessesReport {
  seed: number
  trace: string
  /** Tabs killed or closed; what was journalled, done and seen in the end. */
  killed: number
  events: number
  lost: number
  doubled: number
  virtualMs: number
}

const EVENTS = 60
/** Longer than what a home keeps inline: lines of every third event travel as blocks. */
const LONG = 6_000

/** Waits in virtual time: the task gets a clock from the host that loads it. */
const PROGRAM = `
  export async function start(event, os) {
    const ids = []
    for (let i = 0; i < ${EVENTS}; i++) ids.push(await os.emit('line', i))
    await os.gather(ids, 'sum')
  }
  export async function line({ data }, os) {
    await os.print('line ' + data + (data % 3 === 0 ? ' ' + 'x'.repeat(${LONG}) : ''))
    await globalThis.brittlestarSim.sleep(200)
    return data
  }
  export const sum = ({ data }, os) => os.print('sum ' + data.results.reduce((a, b) => a + b, 0))`

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
  const sleep = (ms: number) => new Promise<void>((resolve) => cluster.clock.setTimer(resolve, ms, 'task sleeps'))
  Object.assign(globalThis, { brittlestarSim: { sleep } })
  try {
    return await disturb(cluster, trace, options)
  } finally {
    Reflect.deleteProperty(globalThis, 'brittlestarSim')
  }
}

async function disturb(cluster: Cluster, trace: Trace, { seed, nodes, seconds }: ProcessesOptions) {
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
    const victim = random.pick(cluster.up().filter((node) => node !== shell))
    trace.add(`${cluster.clock.nowMs().toFixed(1)} ${victim.id.slice(-4)} goes`)
    if (random.float() < 0.7) victim.crash()
    else await cluster.run(victim.close())
    killed++
  }
  const { lost, doubled } = await judge(cluster, shell, kid)
  return { seed, trace: trace.hash(), killed, events: EVENTS, lost, doubled, virtualMs: cluster.clock.nowMs() }
}

async function meshed(cluster: Cluster, count: number): Promise<boolean> {
  for (const node of cluster.up()) if ((await cluster.run(node.os.info('peers'))).length !== count - 1) return false
  return true
}

async function spawn(cluster: Cluster, node: SimNode): Promise<Kid> {
  await cluster.run(node.fs.writeFile('/lines.js', PROGRAM))
  return (await cluster.run(node.os.call('run', { program: '/lines.js', args: [], cwd: '/' }))).kid
}

/** Checker: each event's effects appear exactly once. */
async function judge(cluster: Cluster, shell: SimNode, kid: Kid): Promise<{ lost: number; doubled: number }> {
  const { exits } = await cluster.run(shell.os.call('wait', { for: 'exit', kids: [kid] }), 600_000)
  const [exit] = exits ?? []
  if (exit?.state !== 'exited' || exit.code !== 0) throw new Violation(`the process ended as ${JSON.stringify(exit)}`)
  const text = fromUtf8(await cluster.run(shell.fs.readFile(`/proc/${kid}/stdout`)))
  const lines = text.trimEnd().split('\n')
  const times = new Map<string, number>()
  for (const line of lines) times.set(line.slice(0, 20).trimEnd(), (times.get(line.slice(0, 20).trimEnd()) ?? 0) + 1)
  const names = Array.from({ length: EVENTS }, (_, i) =>
    `line ${i}${i % 3 === 0 ? ' xxxxxxxxxxxxxxxxxxxx' : ''}`.slice(0, 20),
  )
  const lost = names.filter((name) => !times.has(name)).length
  const doubled = [...times.values()].filter((count) => count > 1).length
  const sum = `sum ${(EVENTS * (EVENTS - 1)) / 2}`
  if (lost + doubled > 0 || lines.at(-1) !== sum || lines.length !== EVENTS + 1) {
    throw new Violation(
      `lost ${lost}, doubled ${doubled}, ${lines.length} lines, the last one '${lines.at(-1)?.slice(0, 40)}'`,
    )
  }
  return { lost, doubled }
}
