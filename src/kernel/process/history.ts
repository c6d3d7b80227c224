// The journal of a process as people read it: what happened to which event, where and why. Pure. Above: home.ts.
import type { HistoryRow } from '../../syscalls/types.ts'
import { MAX_ROW_CHARS } from '../limits.ts'
import { decodeEntry, type ProcessEntry } from './state.ts'

/**
 * @param raw the journal from its beginning. @param from its entry to begin with: only what is told is decoded.
 * @returns what it tells, in order; output is not among it.
 */
export function historyOf(
  raw: readonly Uint8Array[],
  from: number,
  { taskOf, most }: { taskOf: (event: string) => string | null; most: number },
): HistoryRow[] {
  const rows: HistoryRow[] = []
  for (let n = from; n < raw.length && rows.length < most; n++) {
    const entry = decodeEntry(raw[n] as Uint8Array)
    const told = tell(entry)
    if (!told) continue
    const event = 'event' in entry ? entry.event : null
    const detail = told.detail.slice(0, MAX_ROW_CHARS)
    rows.push({ n, event, task: event === null ? null : taskOf(event), ...told, detail })
  }
  return rows
}

function tell(entry: ProcessEntry): Omit<HistoryRow, 'n' | 'event' | 'task'> | undefined {
  switch (entry.t) {
    case 'spawned': {
      const detail = [entry.program, ...entry.args].join(' ')
      return { what: 'spawned', atMs: entry.atMs, node: entry.home, detail }
    }
    case 'home':
      return { what: 'home', atMs: entry.atMs, node: entry.node, detail: entry.why }
    case 'assigned':
      return { what: 'assigned', atMs: entry.atMs ?? null, node: entry.node, detail: entry.why ?? '' }
    case 'lost':
      return { what: 'lost', atMs: entry.atMs, node: entry.node, detail: entry.why }
    case 'completed': {
      const files = entry.ops.length > 0 ? `, ${entry.ops.length} files changed` : ''
      const detail = `${Math.round(entry.ms)} ms, ${entry.emits.length} events emitted${files}`
      return { what: 'completed', atMs: entry.atMs ?? null, node: entry.node, detail }
    }
    case 'paused':
      return { what: entry.paused ? 'stopped' : 'continued', atMs: entry.atMs, node: null, detail: '' }
    case 'ended': {
      const detail = `${entry.state} (${entry.code})${entry.error === null ? '' : `: ${entry.error}`}`
      return { what: 'ended', atMs: entry.atMs, node: null, detail }
    }
    case 'applied':
    case 'output':
      return undefined
  }
}
