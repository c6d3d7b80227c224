// The scenarios by name, as `npm run sim` and the tests run them.
import { runChurn } from './churn.ts'
import { generate } from './generate.ts'
import { runProcesses } from './processes.ts'
import { runRaftModel } from './raft-model.ts'
import { runScale } from './scale.ts'
import type { Schedule } from './schedule.ts'
import type { Steps } from './steps.ts'
import { runStorm, STORM } from './storm.ts'

export interface ScenarioOptions {
  seed: number
  nodes: number
  /** Virtual time of faults. */
  seconds: number
  /** Instead of the one that the seed makes. */
  schedule?: Schedule | undefined
  /** Counts the disturbances of a scenario without schedules, and says which of them happen. */
  steps?: Steps | undefined
  /** Everything that is not a timer run to its end; supplied by the host. */
  settle: () => Promise<void>
  onLine?: ((line: string) => void) | undefined
}

export interface Report {
  seed: number
  trace: string
  virtualMs: number
}

export interface Scenario {
  summary: string
  /** Unless told otherwise. */
  usual: { nodes: number; seconds: number }
  /** Its faults and its work as data: then a failure is shrunk to few of them. */
  schedule?: (options: Pick<ScenarioOptions, 'seed' | 'nodes' | 'seconds'>) => Schedule
  /** @throws what does not hold. @returns figures of the run, among them the hash of its trace. */
  run(options: ScenarioOptions): Promise<Report>
}

const listened = ({ onLine }: ScenarioOptions) => (onLine ? { onLine } : {})
const stepped = ({ steps }: ScenarioOptions) => (steps ? { steps } : {})

export const STORM_USUAL = { nodes: STORM.seats, seconds: (STORM.rounds * STORM.roundMs) / 1000 }

const stormSchedule = ({ seed, nodes, seconds }: Pick<ScenarioOptions, 'seed' | 'nodes' | 'seconds'>) =>
  generate(seed, { seats: nodes, rounds: STORM.rounds, roundMs: (seconds * 1000) / STORM.rounds })

export const scenarios: Readonly<Record<string, Scenario>> = {
  storm: {
    summary:
      'files and processes under all faults of links, disks, clocks and tabs; all that was acknowledged is there',
    usual: STORM_USUAL,
    schedule: stormSchedule,
    run: (options) => {
      const schedule = options.schedule ?? stormSchedule(options)
      return runStorm({ schedule, settle: options.settle, ...listened(options) })
    },
  },
  churn: {
    summary: 'kernels join, leave, crash and come back; members and files agree in the end',
    usual: { nodes: 50, seconds: 60 },
    run: (options) => {
      const { seed, nodes, seconds, settle } = options
      return runChurn({ seed, nodes, durationMs: seconds * 1000, settle, ...listened(options), ...stepped(options) })
    },
  },
  processes: {
    summary: 'a process runs while tabs are killed and opened again; nothing is lost, nothing doubled',
    usual: { nodes: 6, seconds: 15 },
    run: (options) => {
      const { seed, nodes, seconds, settle } = options
      return runProcesses({ seed, nodes, seconds, settle, ...listened(options), ...stepped(options) })
    },
  },
  scale: {
    summary:
      'many tabs, a fifth of them replaced per hour: what it costs each node, and journals get their members back',
    usual: { nodes: 100, seconds: 600 },
    run: (options) => {
      const { seed, nodes, seconds, settle } = options
      return runScale({ seed, nodes, seconds, settle, ...listened(options), ...stepped(options) })
    },
  },
  raft: {
    summary: 'one journal, five members, faults of links, disks and nodes; nothing acknowledged is lost',
    usual: { nodes: 5, seconds: 40 },
    run: async (options) => {
      const { seed, seconds, steps } = options
      return runRaftModel({ seed, steps: seconds * 5, ...listened(options), ...(steps ? { only: steps } : {}) })
    },
  },
}

/** The command that shows a run again. */
export function replay(name: string, { seed, nodes, seconds }: Pick<ScenarioOptions, 'seed' | 'nodes' | 'seconds'>) {
  return `npm run sim -- --scenario=${name} --seed=${seed} --nodes=${nodes} --seconds=${seconds}`
}
