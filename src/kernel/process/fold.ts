// Snapshots of processes: what replaces the entries of a journal that has grown long, so that a process of any number
// of events has a bounded one. A snapshot stands for the state, for all output, and for what people may still ask
// about the past; what is large of it is in blocks, which whoever keeps the journal holds like files.
// Above: homes.ts. Below: state.ts, history.ts, blocks.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { concat } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { HistoryRow } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { holdFiles } from '../fs/copies.ts'
import type { Journalled } from '../journal/journal.ts'
import * as limits from '../limits.ts'
import { treeOp } from '../rpc/bodies.ts'
import {
  bytes,
  decodeEntry,
  decodeStep,
  type EntryOf,
  encodeEntry,
  int,
  type ProcessEntry,
  type ProcessStep,
  text,
} from './entries.ts'
import { historyOf, packRows, unpackRows } from './history.ts'
import { readParts, storeParts, whole } from './large.ts'
import { holdProgram } from './program.ts'
import { type OutputPiece, ProcessState } from './state.ts'

/** A snapshot up to this size travels and is stored as one piece; what is beyond goes into blocks. */
const MAX_INLINE_BYTES = 48 * 1024
/** Short pieces of output are joined until they make a block of this size; what is left over stays in the snapshot. */
const OUTPUT_BLOCK_BYTES = 256 * 1024
const OUTPUT_REST_BYTES = 8 * 1024
/** A body is what a process may hold, and some. */
const MAX_BODY_BYTES = 2 * limits.MAX_PROCESS_BYTES
/** Rows in one block of the past: some 60 KiB. */
const ROWS_PER_BLOCK = 2_048

/** What a process's journal says: its state, and where its past is kept. */
export interface Unfolded {
  state: ProcessState
  past: Past
}

/** Rows about entries that are gone: in blocks, and the latest ones here. */
interface Past {
  /** Of the rows in each block, the place of the last one, and where they are. */
  blocks: [number, string][]
  rows: HistoryRow[]
  /** Entries gone. */
  count: number
}

const piece = v.strictTuple([int, v.nullable(bytes), v.nullable(text)])
const counts = v.array(v.strictTuple([text, int]))
const lease = v.strictTuple([int, text])
const body = v.strictObject({
  /** Encoded entries, as they were journalled. */
  spawned: bytes,
  ended: v.nullable(bytes),
  paused: v.boolean(),
  exitCode: int,
  exitRequested: v.boolean(),
  cpuMs: v.number(),
  events: v.strictObject({
    emitted: v.array(v.strictTuple([int, int])),
    open: v.array(v.strictTuple([text, int, text, bytes, v.nullable(v.array(text)), int, v.array(lease)])),
    results: v.array(v.strictTuple([text, int, bytes])),
    held: v.array(text),
    steps: v.exactOptional(v.array(v.strictTuple([text, text]))),
    folds: v.exactOptional(v.array(v.strictTuple([text, text, v.nullable(bytes)]))),
  }),
  output: v.strictTuple([v.array(piece), v.array(piece)]),
  taken: counts,
  nodes: v.array(text),
  deaths: counts,
  troubles: counts,
  unapplied: v.array(v.strictTuple([text, v.array(treeOp)])),
  past: v.strictObject({ blocks: v.array(v.strictTuple([int, text])), rows: bytes }),
})
type Body = v.InferOutput<typeof body>
type Piece = v.InferOutput<typeof piece>

/** @throws {OsError} EIO for a journal that is not ours, or whose blocks cannot be had. */
export async function unfold({ snapshot, entries }: Journalled, blocks: Blocks): Promise<Unfolded> {
  return unfolded(decodeEntry(snapshot), entries.map(decodeStep), blocks)
}

/** Where the past of a snapshot is: people read it page by page, and a body is as large as the process. */
const pasts = new WeakMap<Uint8Array, Body['past']>()

/** A snapshot of all that, and how many bytes it stands for. @throws {OsError} EIO, ENOSPC. */
export async function fold(before: Journalled, blocks: Blocks): Promise<{ snapshot: Uint8Array; bytes: number }> {
  const first = decodeEntry(before.snapshot)
  const steps = before.entries.map(decodeStep)
  const { state, past } = await unfolded(first, steps, blocks)
  const told = first.t === 'folded' ? steps : [first, ...steps]
  const rows = historyOf(told, { first: past.count, most: told.length })
  const later = await archived({ ...past, rows: [...past.rows, ...rows], count: past.count + told.length }, blocks)
  const encoded = encode(await bodyOf(state, later, blocks))
  const parts = encoded.byteLength > MAX_INLINE_BYTES ? await storeParts(blocks, encoded) : []
  const { kid, programCid } = state.spawned as EntryOf<'spawned'>
  const entry: ProcessEntry = {
    t: 'folded',
    kid,
    programCid,
    count: later.count,
    body: parts.length > 0 ? parts : encoded,
  }
  return { snapshot: encodeEntry(entry), bytes: encoded.byteLength }
}

/** Fetches all that a snapshot stands for. @throws {OsError} EIO, ENOSPC. */
export async function holdFolded(folded: EntryOf<'folded'>, blocks: Blocks, from: NodeId): Promise<void> {
  const options = { hints: [from] }
  if (Array.isArray(folded.body)) await blocks.hold(folded.body, options)
  const { output, past, unapplied } = await bodyFrom(folded, blocks)
  const cids = output.flatMap((pieces) => pieces.flatMap(([, , cid]) => cid ?? []))
  await blocks.hold([...cids, ...past.blocks.map(([, cid]) => cid)], options)
  for (const [, ops] of unapplied) await holdFiles(blocks, ops, options)
  await holdProgram(blocks, folded.programCid, from)
}

/** What the journal tells after its entry `after`, some of it. @throws {OsError} EIO. */
export async function tellPast(
  { snapshot, entries }: Journalled,
  { after, most }: { after: number; most: number },
  blocks: Blocks,
): Promise<HistoryRow[]> {
  const begin = decodeEntry(snapshot)
  if (begin.t !== 'folded') return historyOf(later([snapshot, ...entries], 0, after), { first: after + 1, most })
  const { count } = begin
  const recent = () => historyOf(later(entries, count, after), { first: Math.max(count, after + 1), most })
  if (after >= count - 1) return recent()
  const past = pasts.get(snapshot) ?? (await bodyFrom(begin, blocks)).past
  pasts.set(snapshot, past)
  const page = (rows: HistoryRow[]) => rows.filter(({ n }) => n > after).slice(0, most)
  const block = past.blocks.find(([last]) => last > after)
  if (block) return page(unpackRows(await blocks.get(block[1])))
  const rest = page(unpackRows(past.rows))
  return rest.length > 0 ? rest : recent()
}

/** Those after the entry `after`, where the first of them is entry `first`; decoded as they are taken. */
function* later(raw: readonly Uint8Array[], first: number, after: number): Iterable<ProcessEntry> {
  for (let i = Math.max(0, after + 1 - first); i < raw.length; i++) yield decodeEntry(raw[i] as Uint8Array)
}

async function unfolded(first: ProcessEntry, steps: readonly ProcessStep[], blocks: Blocks): Promise<Unfolded> {
  const { state, past } = first.t === 'folded' ? await restore(first, blocks) : begun(first)
  for (const step of steps) state.apply(await whole(step, blocks))
  return { state, past }
}

function begun(first: ProcessEntry): Unfolded {
  const state = new ProcessState()
  if (first.t !== 'spawned') throw new OsError('EIO', 'the journal of a process does not begin with it')
  state.apply(first)
  return { state, past: { blocks: [], rows: [], count: 0 } }
}

async function restore(folded: EntryOf<'folded'>, blocks: Blocks): Promise<Unfolded> {
  const { spawned, ended, past, output, events, ...facts } = await bodyFrom(folded, blocks)
  const { paused, exitCode, exitRequested, cpuMs, ...lists } = facts
  const first = decodeEntry(spawned)
  const last = ended && decodeEntry(ended)
  if (first.t !== 'spawned' || (last && last.t !== 'ended')) throw new OsError('EIO', 'a malformed snapshot')
  const end = last && { state: last.state, code: last.code, error: last.error, atMs: last.atMs }
  const state = new ProcessState({
    ...lists,
    facts: { spawned: first, ended: end ?? undefined, paused, exitCode, exitRequested, cpuMs },
    events,
    output: { 1: output[0], 2: output[1] },
  })
  return { state, past: { blocks: past.blocks, rows: unpackRows(past.rows), count: folded.count } }
}

/** What no honest member says would take this tab's memory, or make no process. @throws {OsError} EIO. */
function checked(given: Body): Body {
  const { emitted, open, results, held, steps = [], folds = [] } = given.events
  const demand = (holds: boolean, what: string) => {
    if (!holds) throw new OsError('EIO', `a snapshot of a process ${what}`)
  }
  const total = emitted.reduce((sum, [length]) => sum + length, 0)
  const known = 1 + emitted.reduce((sum, [length, each]) => sum + length * each, 0)
  demand(total === known && total <= limits.MAX_EVENTS, 'has events from nowhere')
  const numbers = new Set([...open, ...results].map(([, number]) => number))
  demand(numbers.size === open.length + results.length, 'has events twice')
  demand(
    [...numbers].every((number) => number < total),
    'has events without a number',
  )
  const done = new Set(results.map(([id]) => id))
  demand(
    held.every((id) => done.has(id)),
    'holds events back that are not done',
  )
  const ids = new Set([...open, ...results].map(([id]) => id))
  const keys = new Set(folds.map(([key]) => key))
  demand(keys.size === folds.length && new Set(steps.map(([id]) => id)).size === steps.length, 'has a fold twice')
  demand(
    steps.every(([id, key]) => ids.has(id) && keys.has(key)),
    'has steps of no fold',
  )
  for (const [length, inline, cid] of given.output.flat()) {
    demand((inline === null) !== (cid === null) && (inline?.byteLength ?? length) === length, 'has output from nowhere')
  }
  demand(given.past.blocks.length <= limits.MAX_PAST_BLOCKS, 'has too long a past')
  return given
}

async function bodyOf(state: ProcessState, past: Past, blocks: Blocks): Promise<Body> {
  const { facts, output: _, ...lists } = state.picture()
  const { spawned, ended, ...flags } = facts
  return {
    ...flags,
    ...lists,
    unapplied: lists.unapplied.map(([event, ops]) => [event, [...ops]]),
    events: lists.events as Body['events'],
    spawned: encodeEntry(spawned as EntryOf<'spawned'>),
    ended: ended ? encodeEntry({ t: 'ended', ...ended }) : null,
    output: [await joined(state.output[1], blocks), await joined(state.output[2], blocks)],
    past: { blocks: past.blocks, rows: packRows(past.rows) },
  }
}

async function bodyFrom(folded: EntryOf<'folded'>, blocks: Blocks): Promise<Body> {
  try {
    const encoded = Array.isArray(folded.body) ? await readParts(blocks, folded.body, MAX_BODY_BYTES) : folded.body
    return checked(v.parse(body, decode(encoded)))
  } catch (error) {
    throw new OsError('EIO', 'a snapshot of a process cannot be read', { cause: error })
  }
}

/** Moves rows into blocks once there are enough for one; of a past beyond all bounds the oldest go. */
async function archived({ blocks: before, rows, count }: Past, blocks: Blocks): Promise<Past> {
  const made = [...before]
  let at = 0
  for (; rows.length - at >= ROWS_PER_BLOCK; at += ROWS_PER_BLOCK) {
    const some = rows.slice(at, at + ROWS_PER_BLOCK)
    made.push([(some.at(-1) as HistoryRow).n, await blocks.put(RAW, packRows(some))])
  }
  return { blocks: made.slice(-limits.MAX_PAST_BLOCKS), rows: rows.slice(at), count }
}

/** Output with its short pieces joined: a process that prints a word at a time has few blocks, not many pieces. */
async function joined(pieces: readonly OutputPiece[], blocks: Blocks): Promise<Piece[]> {
  const made: Piece[] = []
  let short: Uint8Array[] = []
  let length = 0
  const flush = async (mostInline: number) => {
    if (length === 0) return
    const all = concat(short)
    made.push(length <= mostInline ? [length, all, null] : [length, null, await blocks.put(RAW, all)])
    short = []
    length = 0
  }
  for (const { length: size, bytes: inline, cid } of pieces) {
    if (inline) {
      short.push(inline)
      length += size
      if (length >= OUTPUT_BLOCK_BYTES) await flush(0)
    } else {
      await flush(OUTPUT_REST_BYTES)
      made.push([size, null, cid as string])
    }
  }
  await flush(OUTPUT_REST_BYTES)
  return made
}
