// Scenario: files and processes together, under every fault that a schedule may hold: links, disks, clocks, tabs. After
// each round the faults stop and everything has to be whole again; in the end all that was acknowledged has to be there.
import { errorLine } from '../base/errors.ts'
import { agree } from './checkers/agreement.ts'
import { checkFiles } from './checkers/files.ts'
import { checkHashes } from './checkers/hashes.ts'
import { JournalWatch } from './checkers/journals.ts'
import { checkProcess } from './checkers/processes.ts'
import { checkBlocks, repaired } from './checkers/replicas.ts'
import { checkVersions, forgetVersions } from './checkers/versions.ts'
import { Cluster, type SimNode } from './cluster.ts'
import { Faults } from './faults.ts'
import type { Profile } from './generate.ts'
import { programLoader, withSleep } from './programs.ts'
import type { Round, Schedule, Step, Work } from './schedule.ts'
import { Trace } from './trace.ts'
import { Violation } from './violation.ts'
import { Workload } from './workload.ts'

export interface StormOptions {
  schedule: Schedule
  settle: () => Promise<void>
  onLine?: (line: string) => void
}

export interface StormReport {
  seed: number
  trace: string
  steps: number
  /** Files and lines acknowledged, all of which were there in the end. */
  acknowledged: number
  /** Of the tree, remembered in the end. */
  versions: number
  processes: number
  /** Of those, how many ended before their time, because of too many deaths or a full disk, and said so. */
  failed: number
  disksLost: number
  /** Elections won, over all journals. */
  terms: number
  /** Longest virtual time until everything was back at its replica target. */
  slowestRepairMs: number
  virtualMs: number
}

/** What `npm run sim` and the tests run. */
export const STORM: Profile = { seats: 5, rounds: 2, roundMs: 15_000 }
/** Several times what five tabs do at work. */
const BUSIEST = 30_000
/** How often the journals are looked at. */
const LOOK_MS = 50

/** @throws {Violation} */
export async function runStorm(options: StormOptions): Promise<StormReport> {
  const storm = new Storm(options)
  return withSleep(storm.cluster.clock, () => storm.run())
}

class Storm {
  readonly cluster: Cluster
  readonly #schedule: Schedule
  readonly #trace: Trace
  readonly #faults: Faults
  readonly #work: Workload
  readonly #journals = new JournalWatch()
  #slowestRepairMs = 0
  #versions = 0

  constructor({ schedule, settle, onLine }: StormOptions) {
    this.#schedule = schedule
    this.#trace = new Trace(onLine)
    this.cluster = new Cluster({
      seed: schedule.seed,
      latencyMs: [0.5, 10],
      flushMs: [0.1, 4],
      split: true,
      busiest: BUSIEST,
      onLog: (line) => this.#trace.add(line),
      ...programLoader(settle),
    })
    const note = (line: string) => this.#trace.add(`${this.cluster.clock.nowMs().toFixed(1)} ${line}`)
    this.#faults = new Faults(this.cluster, note)
    this.#work = new Workload(this.cluster, this.#faults, note)
  }

  async run(): Promise<StormReport> {
    const { rounds, devices, seed, keg = false } = this.#schedule
    await this.#faults.open(devices)
    await agree(this.cluster)
    await this.#work.prepare(keg)
    await repaired(this.cluster)
    for (const round of rounds) await this.#round(round)
    const failed = await this.#judge()
    // What nobody logged is in the hash as well: how long it took, and what was sent.
    this.#trace.add(`${this.cluster.clock.nowMs()} ${JSON.stringify(this.cluster.hub.traffic)}`)
    return {
      seed,
      trace: this.#trace.hash(),
      steps: rounds.reduce((sum, { steps }) => sum + steps.length, 0),
      acknowledged: this.#work.acknowledged,
      versions: this.#versions,
      processes: this.#work.started.length,
      failed,
      disksLost: this.#faults.lost.length,
      terms: this.#journals.leaders.terms,
      slowestRepairMs: Math.round(this.#slowestRepairMs),
      virtualMs: Math.round(this.cluster.clock.nowMs()),
    }
  }

  async #round({ steps, ms }: Round): Promise<void> {
    const startMs = this.cluster.clock.nowMs()
    const waiting = [...steps]
    while (this.cluster.clock.nowMs() < startMs + ms) {
      await this.#faults.expire()
      for (let next = waiting[0]; next && startMs + next.atMs <= this.cluster.clock.nowMs(); next = waiting[0]) {
        waiting.shift()
        await this.#begin(next)
      }
      await this.cluster.advance(LOOK_MS)
      this.#look()
    }
    await this.#faults.stop()
    await this.#work.finish()
    this.#look()
    await agree(this.cluster)
    this.#slowestRepairMs = Math.max(this.#slowestRepairMs, await repaired(this.cluster))
    this.#look()
  }

  async #begin(step: Step): Promise<void> {
    if (isWork(step)) this.#work.begin(step)
    else await this.#faults.begin(step)
  }

  #look(): void {
    this.#journals.look(this.cluster)
    if (this.#work.failure) throw this.#work.failure
  }

  /** @returns processes that were ended before their time. */
  async #judge(): Promise<number> {
    const claims = this.#work.claims()
    const paths = claims.map(({ path }) => path)
    // Before anybody reads them: whoever has read one has a copy.
    await checkBlocks(this.cluster, paths)
    await checkFiles(this.cluster, claims)
    const kegs = this.#schedule.keg ? ['/', '/work'] : ['/']
    this.#versions = await checkVersions(this.cluster, kegs)
    await forgetVersions(this.cluster, kegs)
    // And nothing that is needed went with them.
    await checkVersions(this.cluster, kegs)
    await checkFiles(this.cluster, claims)
    await checkBlocks(this.cluster, paths)
    checkHashes(this.cluster)
    let failed = 0
    const excuses = { deaths: this.#faults.deaths > 2, full: this.#faults.full > 0 }
    const [reader] = this.cluster.up()
    for (const started of reader ? this.#work.started : []) {
      // Where too few nodes were here for more than one copy, it went with the one disk.
      if (this.#faults.lost.some(({ node, atMs }) => node === started.node && atMs >= started.startMs)) continue
      try {
        const how = await checkProcess(this.cluster, reader as SimNode, started, excuses)
        if (how === 'failed') failed++
      } catch (error) {
        if (error instanceof Violation) throw error
        throw new Violation(`process ${started.name} cannot be judged: ${errorLine(error)}`, { cause: error })
      }
    }
    this.#look()
    return failed
  }
}

function isWork(step: Step): step is { atMs: number } & Work {
  return ['write', 'append', 'restore', 'run'].includes(step.do)
}
