// Scenario: many tabs, of which a fifth is replaced per hour, with journals spread over them. What it costs each node,
// how long it takes to agree, and whether every journal gets its members back. docs/scale.md shows the figures.
import type { SeededRandom } from '../adapters/memory/random.ts'
import type { Kid } from '../base/ids.ts'
import { agree } from './checkers/agreement.ts'
import { JournalWatch } from './checkers/journals.ts'
import { Repairs } from './checkers/repairs.ts'
import { Cluster, type SimNode } from './cluster.ts'
import { programLoader } from './programs.ts'
import { Steps } from './steps.ts'
import { Trace } from './trace.ts'
import { Violation } from './violation.ts'

export interface ScaleOptions {
  seed: number
  nodes: number
  /** Virtual time of churn. */
  seconds: number
  /** Share of the tabs that is replaced in an hour; 0.2 unless told. */
  perHour?: number
  settle: () => Promise<void>
  onLine?: (line: string) => void
  steps?: Steps
}

export interface ScaleReport {
  seed: number
  trace: string
  nodes: number
  /** Virtual ms from when the relay told everybody of everybody until all agreed; and after the churn. */
  convergedMs: number
  reconvergedMs: number
  /** Links of one node, on average and at most. */
  links: number
  mostLinks: number
  /** Per node and minute: while nothing happens, and under churn. */
  idleMessages: number
  idleBytes: number
  churnMessages: number
  churnBytes: number
  replaced: number
  journals: number
  /** Members that journals lost by tabs that went, all of which were replaced; the slowest. */
  repaired: number
  slowestRepairMs: number
  /** Journals that the busiest node keeps. */
  mostJournals: number
  virtualMs: number
}

const REPLACED_PER_HOUR = 0.2
const IDLE_MS = 30_000
/** A new tab comes in the place of one that went. */
const REPLACE_MS = 5_000
/** One of the tabs writes a small file every so often: what a change of the tree costs every node does not depend on N. */
const WRITE_EVERY_MS = 10_000
/** One journal for so many tabs, beside the tree. */
const TABS_PER_JOURNAL = 5
const LOOK_MS = 1_000
/** By then nobody lists a tab that died: a little over the promised five seconds. */
const NOTICED_MS = 7_000
/** Tabs die without a word in this share of cases. */
const CRASHES = 0.7
const PROGRAM = `export const start = (event, os) => os.print('hello')`

/** @throws {Violation} */
export async function runScale(options: ScaleOptions): Promise<ScaleReport> {
  return new Scale(options).run()
}

class Scale {
  readonly #options: ScaleOptions
  readonly #trace: Trace
  readonly #cluster: Cluster
  readonly #journals = new JournalWatch()
  readonly #repairs: Repairs
  /** Tabs that died, and when nobody may list them any more. */
  readonly #gone: { node: SimNode; byMs: number }[] = []
  readonly #writes: Promise<unknown>[] = []
  readonly #steps: Steps

  constructor(options: ScaleOptions) {
    this.#options = options
    this.#steps = options.steps ?? new Steps()
    this.#trace = new Trace(options.onLine)
    this.#cluster = new Cluster({
      seed: options.seed,
      latencyMs: [1, 30],
      slots: 1,
      onLog: (line) => this.#trace.add(line),
      ...programLoader(options.settle),
    })
    this.#repairs = new Repairs(this.#cluster)
  }

  async run(): Promise<ScaleReport> {
    const { nodes, seed } = this.#options
    const cluster = this.#cluster
    cluster.hub.setRelay(false)
    for (let i = 0; i < nodes; i++) await cluster.run(cluster.addNode().boot())
    cluster.hub.setRelay(true)
    const convergedMs = await agree(cluster, 300_000, 500)
    const journals = await this.#begin(Math.max(2, Math.round(nodes / TABS_PER_JOURNAL)))
    const idle = await this.#traffic(() => cluster.advance(IDLE_MS), IDLE_MS)
    const churnMs = this.#options.seconds * 1000
    let replaced = 0
    const churn = await this.#traffic(async () => {
      replaced = await this.#churn(churnMs)
    }, churnMs)
    await cluster.run(Promise.all(this.#writes), 300_000)
    const reconvergedMs = await agree(cluster, 300_000, 500)
    await this.#repairs.finish()
    this.#journals.look(cluster)
    const links = cluster.up().map((node) => cluster.hub.neighbours(node.id).length)
    const kept = cluster.up().map((node) => node.kernel?.journals.length ?? 0)
    this.#trace.add(`${cluster.clock.nowMs()} ${JSON.stringify(cluster.hub.traffic)}`)
    return {
      seed,
      trace: this.#trace.hash(),
      nodes,
      convergedMs: Math.round(convergedMs),
      reconvergedMs: Math.round(reconvergedMs),
      links: Math.round(links.reduce((sum, count) => sum + count, 0) / links.length),
      mostLinks: Math.max(...links),
      idleMessages: idle.messages,
      idleBytes: idle.bytes,
      churnMessages: churn.messages,
      churnBytes: churn.bytes,
      replaced,
      journals,
      repaired: this.#repairs.repaired,
      slowestRepairMs: Math.round(this.#repairs.slowestMs),
      mostJournals: Math.max(...kept),
      virtualMs: Math.round(cluster.clock.nowMs()),
    }
  }

  /** Processes that end at once: their journals stay. @returns journals in all. */
  async #begin(count: number): Promise<number> {
    const cluster = this.#cluster
    await cluster.run(cluster.random.pick(cluster.up()).fs.writeFile('/p.js', PROGRAM))
    const kids: Kid[] = []
    for (let i = 0; i < count; i++) {
      const node = cluster.random.pick(cluster.up())
      const { kid } = await cluster.run(node.os.call('run', { program: '/p.js', args: [], cwd: '/' }))
      kids.push(kid as Kid)
    }
    await cluster.advance(5_000)
    return new Set(cluster.up().flatMap((node) => node.kernel?.journals.map(({ name }) => name) ?? [])).size
  }

  /** @returns what it cost each node per minute. */
  async #traffic(action: () => Promise<void>, ms: number): Promise<{ messages: number; bytes: number }> {
    const before = { ...this.#cluster.hub.traffic }
    await action()
    const after = this.#cluster.hub.traffic
    const share = (amount: number) => Math.round(amount / this.#options.nodes / (ms / 60_000))
    return { messages: share(after.messages - before.messages), bytes: share(after.bytes - before.bytes) }
  }

  async #churn(ms: number): Promise<number> {
    const cluster = this.#cluster
    const { nodes, perHour = REPLACED_PER_HOUR } = this.#options
    const everyMs = 3_600_000 / (perHour * nodes)
    const endMs = cluster.clock.nowMs() + ms
    let [nextMs, nextWriteMs] = [cluster.clock.nowMs() + everyMs / 2, cluster.clock.nowMs()]
    const opens: number[] = []
    let replaced = 0
    while (cluster.clock.nowMs() < endMs) {
      const nowMs = cluster.clock.nowMs()
      for (; nextMs <= nowMs; nextMs += everyMs) {
        const random = cluster.random.fork()
        if (!this.#steps.next()) continue
        await this.#leave(random.pick(cluster.up()), random)
        opens.push(nowMs + REPLACE_MS)
        replaced++
      }
      for (; nextWriteMs <= nowMs; nextWriteMs += WRITE_EVERY_MS) {
        const random = cluster.random.fork()
        if (this.#steps.next()) this.#write(random.pick(cluster.up()))
      }
      for (; opens[0] !== undefined && opens[0] <= nowMs; opens.shift()) await cluster.run(cluster.addNode().boot())
      await cluster.advance(LOOK_MS)
      await this.#look()
    }
    for (; opens.length > 0; opens.shift()) await cluster.run(cluster.addNode().boot())
    return replaced
  }

  async #leave(node: SimNode, random: SeededRandom): Promise<void> {
    const cluster = this.#cluster
    const crashes = random.float() < CRASHES
    this.#steps.tell(`${node.id.slice(-4)} ${crashes ? 'dies' : 'closes'} for good`)
    this.#trace.add(`${cluster.clock.nowMs().toFixed(1)} ${node.id.slice(-4)} ${crashes ? 'dies' : 'closes'} for good`)
    this.#repairs.lost(node)
    if (crashes) node.crash()
    else await cluster.run(node.close())
    cluster.forget(node)
    this.#gone.push({ node, byMs: cluster.clock.nowMs() + NOTICED_MS })
  }

  #write(node: SimNode): void {
    const path = `/tmp/${node.id.slice(-6)}-${this.#writes.length}`
    this.#steps.tell(`${node.id.slice(-4)} writes ${path}`)
    const writing = node.fs.writeFile(path, path).catch((error: unknown) => {
      this.#trace.add(`${this.#cluster.clock.nowMs().toFixed(1)} ${path} was not written: ${String(error)}`)
    })
    this.#writes.push(writing)
  }

  async #look(): Promise<void> {
    const cluster = this.#cluster
    this.#journals.look(cluster)
    this.#repairs.look()
    for (; this.#gone[0] && this.#gone[0].byMs <= cluster.clock.nowMs(); this.#gone.shift()) {
      const { id } = this.#gone[0].node
      for (const node of cluster.up()) {
        const rows = await cluster.run(node.os.info('peers'))
        if (rows.some((row) => row.id === id))
          throw new Violation(`${node.id} still lists ${id} after ${NOTICED_MS} ms`)
      }
    }
  }
}
