// What running one event gave: encoded by the executor, validated by the home. Both sides of the wire in one file.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { MAX_EMITS_PER_EVENT, MAX_EVENT_BYTES, MAX_KEY_LENGTH } from '../../syscalls/limits.ts'
import { MAX_COMPLETION_BYTES, MAX_LEASED_TOGETHER } from '../limits.ts'
import { treeOp } from '../rpc/bodies.ts'
import { holdsData } from './data.ts'

const text = (max: number) => v.pipe(v.string(), v.maxLength(max))
const data = v.pipe(
  v.custom<Uint8Array>((value) => value instanceof Uint8Array),
  v.check((bytes) => bytes.byteLength <= MAX_EVENT_BYTES, 'event data too large'),
  v.check(holdsData, 'not event data'),
)

const emitted = v.strictObject({
  task: text(128),
  data,
  after: v.nullable(v.pipe(v.array(text(256)), v.maxLength(MAX_EMITS_PER_EVENT))),
  key: v.exactOptional(text(MAX_KEY_LENGTH)),
})
export type Emitted = v.InferOutput<typeof emitted>

const succeeded = v.strictObject({
  ok: v.literal(true),
  result: data,
  emits: v.pipe(v.array(emitted), v.maxLength(MAX_EMITS_PER_EVENT)),
  ops: v.pipe(v.array(treeOp), v.maxLength(65_536)),
  /** The program asked to end with this code. */
  exit: v.nullable(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))),
  ms: v.pipe(v.number(), v.minValue(0)),
})
const failed = v.strictObject({
  ok: v.literal(false),
  /**
   * `threw`: the user's code; `away`: the same, because of what did not answer; `program`: it cannot be loaded; `killed`:
   * endless loop, flood; `crashed`: its worker died.
   */
  kind: v.picklist(['threw', 'away', 'program', 'killed', 'crashed']),
  message: text(8192),
})
const completion = v.variant('ok', [succeeded, failed])
export type Completion = v.InferOutput<typeof completion>
export type Succeeded = v.InferOutput<typeof succeeded>

export function encodeCompletion(value: Completion): Uint8Array {
  return encode(value)
}

/** @throws {OsError} EPROTO. */
export function decodeCompletion(bytes: Uint8Array): Completion {
  if (bytes.byteLength > MAX_COMPLETION_BYTES) throw new OsError('EPROTO', 'a completion is too large')
  try {
    return v.parse(completion, decode(bytes))
  } catch (error) {
    throw new OsError('EPROTO', 'an executor sent a malformed completion', { cause: error })
  }
}

const piece = v.custom<Uint8Array>((value) => value instanceof Uint8Array)
/** Of the events of a lease, which one. */
const index = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_LEASED_TOGETHER - 1))
/** Items of `process.execute`: output of an event, on stream 1 or 2; */
const outputItem = v.strictTuple([v.literal('o'), index, v.picklist([1, 2]), piece])
/** a piece of an encoded completion, of which there is more; */
const pieceItem = v.strictTuple([v.literal('p'), index, piece])
/** events and their completions, or what is left of those, by turns. */
const completedItem = v.pipe(
  v.tupleWithRest([v.literal('c'), index, piece], v.union([index, piece])),
  v.maxLength(1 + 2 * MAX_LEASED_TOGETHER),
  v.check((item) => item.every((part, i) => i === 0 || (typeof part === 'number') === (i % 2 === 1))),
  v.check((item) => item.length % 2 === 1),
)
const anyItem = v.union([outputItem, pieceItem, completedItem])
export type ExecutionItem = v.InferOutput<typeof anyItem>

/** @throws {OsError} EPROTO. */
export function parseExecutionItem(value: unknown): ExecutionItem {
  const parsed = v.safeParse(anyItem, value)
  if (!parsed.success) throw new OsError('EPROTO', 'an executor sent a malformed item')
  return parsed.output
}
