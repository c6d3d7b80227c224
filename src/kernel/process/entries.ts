// What the journal of a process is written in. Above: state.ts (what it means), history.ts (how people read it),
// home.ts (what is journalled when). Below: nothing.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { isKid, type Kid, type NodeId } from '../../base/ids.ts'
import { processLimits } from '../../syscalls/table.ts'
import { treeOp } from '../rpc/bodies.ts'

export const text = v.pipe(v.string(), v.maxLength(65_536))
export const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
export const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array)
const stream = v.picklist([1, 2])
const kid = v.custom<Kid>((value) => typeof value === 'string' && isKid(value))

/** Bounds that whoever started the process has set; absent: the kernel's own. */
const processBounds = v.omit(processLimits, ['eventMs'])
export type ProcessBounds = v.InferOutput<typeof processBounds>

/** What an event did. */
export const completedContent = v.strictObject({
  result: bytes,
  emits: v.array(
    v.strictObject({ task: text, data: bytes, after: v.nullable(v.array(text)), key: v.exactOptional(text) }),
  ),
  ops: v.array(treeOp),
})

/** Journal entries, version 1. Read back from disk, so validated like anything else that comes from outside. */
const entry = v.variant('t', [
  v.strictObject({
    t: v.literal('spawned'),
    kid,
    program: text,
    programCid: text,
    args: v.array(text),
    cwd: text,
    home: v.custom<NodeId>((value) => typeof value === 'string'),
    atMs: v.number(),
    eventMs: int,
    bounds: v.optional(processBounds),
    data: bytes,
    /** The signed genesis record whose hash is the KID. */
    genesis: bytes,
    signature: bytes,
  }),
  v.strictObject({
    t: v.literal('assigned'),
    event: text,
    task: v.optional(text),
    token: int,
    node: text,
    /** The lease that it had is still good: the first completion wins. */
    beside: v.optional(v.boolean()),
    /** Why there. */
    why: v.optional(text),
    atMs: v.optional(v.number()),
  }),
  /** A lease ended without a completion: the event runs again. */
  v.strictObject({
    t: v.literal('lost'),
    event: text,
    task: v.optional(text),
    token: int,
    node: text,
    /** `link`: its node went away; `died`: it went without a word; `crashed`: its worker did; `trouble`: anything else. */
    kind: v.picklist(['link', 'died', 'crashed', 'trouble']),
    why: text,
    atMs: v.number(),
  }),
  /** Another node goes on with the process. */
  v.strictObject({ t: v.literal('home'), node: text, why: text, atMs: v.number() }),
  v.strictObject({ t: v.literal('paused'), paused: v.boolean(), atMs: v.number() }),
  v.strictObject({
    t: v.literal('completed'),
    event: text,
    task: v.optional(text),
    token: int,
    node: text,
    ...completedContent.entries,
    /** Where that is when it is large, and how many events it emitted; see large.ts. */
    parts: v.optional(v.array(text)),
    emitted: v.optional(int),
    exit: v.nullable(int),
    ms: v.number(),
    atMs: v.optional(v.number()),
  }),
  /** The file changes of a completed event are in the tree. */
  v.strictObject({ t: v.literal('applied'), event: text }),
  /** Output: inline bytes, or a block of that length. */
  v.strictObject({
    t: v.literal('output'),
    event: text,
    stream,
    length: int,
    bytes: v.optional(bytes),
    cid: v.optional(text),
  }),
  v.strictObject({
    t: v.literal('ended'),
    state: v.picklist(['exited', 'failed', 'killed']),
    code: int,
    error: v.nullable(text),
    atMs: v.number(),
  }),
  /** What replaces all entries before it when the journal is compacted; see fold.ts. */
  v.strictObject({
    t: v.literal('folded'),
    kid,
    programCid: text,
    /** Entries that it replaces. */
    count: int,
    /** An encoded `Folded`, whole or as blocks. */
    body: v.union([bytes, v.array(text)]),
  }),
])
export type ProcessEntry = v.InferOutput<typeof entry>
export type EntryOf<T extends ProcessEntry['t']> = Extract<ProcessEntry, { t: T }>
/** What changes a process: everything but a snapshot. */
export type ProcessStep = Exclude<ProcessEntry, { t: 'folded' }>

export function encodeEntry(value: ProcessEntry): Uint8Array {
  return encode(value)
}

/** @throws {OsError} EIO for a journal that is not ours. */
export function decodeEntry(raw: Uint8Array): ProcessEntry {
  let value: unknown
  try {
    value = decode(raw)
  } catch (error) {
    throw new OsError('EIO', 'a process journal has an entry that is not CBOR', { cause: error })
  }
  const parsed = v.safeParse(entry, value)
  if (!parsed.success) throw new OsError('EIO', `a process journal has a malformed entry: ${parsed.issues[0].message}`)
  return parsed.output
}

/** The same where only changes may stand. @throws {OsError} EIO. */
export function decodeStep(raw: Uint8Array): ProcessStep {
  const step = decodeEntry(raw)
  if (step.t === 'folded') throw new OsError('EIO', 'a process journal has a snapshot among its entries')
  return step
}
