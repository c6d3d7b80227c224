// A process as lists show it. Pure. Above: home.ts.
import type { Kid, NodeId } from '../../base/ids.ts'
import type { ExitStatus, ProcessRow } from '../../syscalls/types.ts'
import type { ProcessState } from './state.ts'

/** @param working what runs now, and where. */
export function rowOf(kid: Kid, state: ProcessState, home: NodeId, working: ProcessRow['working']): ProcessRow {
  const { spawned, ended, events, facts } = state
  return {
    kid,
    program: spawned?.program ?? '?',
    args: spawned?.args ?? [],
    state: ended?.state ?? (facts.paused ? 'stopped' : 'running'),
    home,
    done: events.done,
    total: events.total,
    nodes: state.nodes.size,
    working,
    startedMs: spawned?.atMs ?? 0,
    endedMs: ended?.atMs ?? null,
    code: ended?.code ?? null,
    error: ended?.error ?? null,
  }
}

/** Undefined while it goes on. */
export function exitOf(kid: Kid, { ended }: ProcessState): ExitStatus | undefined {
  return ended && { kid, state: ended.state, code: ended.code, error: ended.error }
}
