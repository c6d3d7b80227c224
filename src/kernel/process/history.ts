// The journal of a process as people read it: what happened to which event, where and why. Pure. Above: home.ts,
// fold.ts, which keeps the rows of entries that it replaces.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import type { HistoryRow } from '../../syscalls/types.ts'
import { MAX_ROW_CHARS } from '../limits.ts'
import type { ProcessEntry } from './entries.ts'

/**
 * @param entries of the journal; no more of them are taken than it needs. @param first the place of the first of them.
 * @returns what they tell, in order; output is not among it.
 */
export function historyOf(
  entries: Iterable<ProcessEntry>,
  { first, most }: { first: number; most: number },
): HistoryRow[] {
  const rows: HistoryRow[] = []
  let n = first
  for (const entry of entries) {
    if (rows.length === most) break
    const told = tell(entry)
    const event = 'event' in entry ? entry.event : null
    const task = ('task' in entry ? entry.task : undefined) ?? null
    if (told) rows.push({ n, event, task, ...told, detail: told.detail.slice(0, MAX_ROW_CHARS) })
    n++
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
      const emitted = entry.emitted ?? entry.emits.length
      const detail = `${Math.round(entry.ms)} ms, ${emitted} events emitted${files}`
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
    case 'folded':
      return undefined
  }
}

// --- rows for keeping ----------------------------------------------------------------------------------------

const kinds = ['spawned', 'home', 'assigned', 'lost', 'completed', 'stopped', 'continued', 'ended'] as const
const place = v.pipe(v.number(), v.integer(), v.minValue(-1))
const packed = v.strictObject({
  /** Every text once: nodes, tasks and reasons repeat. */
  texts: v.array(v.pipe(v.string(), v.maxLength(MAX_ROW_CHARS))),
  /** n, kind, time, event, task, node, detail; -1 for a text that is not there. */
  rows: v.array(v.strictTuple([place, place, v.nullable(v.number()), place, place, place, place])),
})

export function packRows(rows: readonly HistoryRow[]): Uint8Array {
  const places = new Map<string, number>()
  const placeOf = (text: string | null) => {
    if (text === null) return -1
    const known = places.get(text) ?? places.size
    places.set(text, known)
    return known
  }
  const tuples = rows.map(({ n, what, atMs, event, task, node, detail }) => {
    return [n, kinds.indexOf(what), atMs, placeOf(event), placeOf(task), placeOf(node), placeOf(detail)]
  })
  return encode({ texts: [...places.keys()], rows: tuples })
}

/** @throws {OsError} EIO for what `packRows` has not made. */
export function unpackRows(bytes: Uint8Array): HistoryRow[] {
  try {
    const { texts, rows } = v.parse(packed, decode(bytes))
    const textAt = (at: number) => texts[at] ?? null
    return rows.map(([n, kind, atMs, event, task, node, detail]) => {
      const what = kinds[kind] ?? 'ended'
      return {
        n,
        what,
        atMs,
        event: textAt(event),
        task: textAt(task),
        node: textAt(node),
        detail: textAt(detail) ?? '',
      }
    })
  } catch (error) {
    throw new OsError('EIO', 'what is kept of a process’s journal cannot be read', { cause: error })
  }
}
