// What running one event gave: encoded by the executor, validated by the home. Both sides of the wire in one file.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { MAX_EMITS_PER_EVENT, MAX_EVENT_BYTES, MAX_KEY_LENGTH } from '../../syscalls/limits.ts'
import { MAX_COMPLETION_BYTES } from '../limits.ts'
import { treeOp } from '../rpc/methods.ts'
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
  /** `threw`: the user's code; `program`: it cannot be loaded; `killed`: endless loop, flood; `crashed`: its worker died. */
  kind: v.picklist(['threw', 'program', 'killed', 'crashed']),
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

/** Items of `process.execute`: a piece of output (stream 1 or 2), or a piece of the encoded completion. */
const outputItem = v.strictTuple([
  v.literal('o'),
  v.picklist([1, 2]),
  v.custom<Uint8Array>((x) => x instanceof Uint8Array),
])
const completionItem = v.strictTuple([v.literal('c'), v.custom<Uint8Array>((x) => x instanceof Uint8Array)])
const anyItem = v.union([outputItem, completionItem])
export type ExecutionItem = v.InferOutput<typeof anyItem>

/** @throws {OsError} EPROTO. */
export function parseExecutionItem(value: unknown): ExecutionItem {
  const parsed = v.safeParse(anyItem, value)
  if (!parsed.success) throw new OsError('EPROTO', 'an executor sent a malformed item')
  return parsed.output
}
