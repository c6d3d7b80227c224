// The scenarios by name, as `npm run sim` and the tests run them.
import { runChurn } from './churn.ts'
import { runProcesses } from './processes.ts'
import { runRaftModel } from './raft-model.ts'

export interface ScenarioOptions {
  seed: number
  nodes: number
  seconds: number
  /** Everything that is not a timer run to its end; supplied by the host. */
  settle: () => Promise<void>
  onLine?: ((line: string) => void) | undefined
}

export interface Scenario {
  summary: string
  /** @throws what does not hold. @returns figures of the run, among them the hash of its trace. */
  run(options: ScenarioOptions): Promise<{ seed: number; trace: string }>
}

export const scenarios: Readonly<Record<string, Scenario>> = {
  churn: {
    summary: 'kernels join, leave, crash and come back; members and files agree in the end',
    run: ({ seed, nodes, seconds, settle, onLine }) =>
      runChurn({ seed, nodes, durationMs: seconds * 1000, settle, ...(onLine ? { onLine } : {}) }),
  },
  processes: {
    summary: 'a process runs while tabs are killed and opened again; nothing is lost, nothing doubled',
    run: ({ onLine, ...options }) => runProcesses({ ...options, ...(onLine ? { onLine } : {}) }),
  },
  raft: {
    summary: 'one journal, five members, faults of links, disks and nodes; nothing acknowledged is lost',
    run: ({ seed, seconds, onLine }) => runRaftModel({ seed, steps: seconds * 5, ...(onLine ? { onLine } : {}) }),
  },
}

/** The command that shows a run again. */
export function replay(name: string, { seed, nodes, seconds }: Omit<ScenarioOptions, 'settle' | 'onLine'>): string {
  return `npm run sim -- --scenario=${name} --seed=${seed} --nodes=${nodes} --seconds=${seconds}`
}
