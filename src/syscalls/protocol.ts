// Messages between a caller and its kernel over one port. The shell's port carries calls only; a task's port
// also carries the life of the task. Every message from a task is hostile until validated here.
import * as v from 'valibot'
import { type ErrorCode, OsError } from '../base/errors.ts'
import { MAX_CALLS_IN_FLIGHT, MAX_EVENT_BYTES, MAX_PROGRAM_BYTES } from './limits.ts'
import type { Data, Progress, TaskEvent } from './types.ts'

/** A bidirectional message channel with structured-clone semantics: a MessagePort, or a simulated one. */
export interface MessageLink {
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void
  onMessage(listener: (message: unknown) => void): void
  close(): void
}

const id = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const text = (max: number) => v.pipe(v.string(), v.maxLength(max))

/** Caller → kernel. */
export const callerMessage = v.variant('t', [
  /** `progress`: the caller wants to know how far it is. */
  v.strictObject({
    t: v.literal('call'),
    id,
    call: text(32),
    args: v.unknown(),
    progress: v.optional(v.literal(true)),
  }),
  v.strictObject({ t: v.literal('cancel'), id }),
])
export type CallerMessage = v.InferOutput<typeof callerMessage>

/** Kernel → caller. */
export type ReplyMessage =
  | { t: 'reply'; id: number; ok: true; value: unknown }
  | { t: 'reply'; id: number; ok: false; code: ErrorCode; message: string }
/** How far a call is, for a caller that wants to know. */
export type ProgressMessage = { t: 'progress'; id: number; progress: Progress }
type CallMessage = ReplyMessage | ProgressMessage
/** Those that are ready in one turn travel together: to wake a thread costs more than what it is told. */
export type Replies = CallMessage | readonly CallMessage[]

/** What a caller sent at once: one message, or several. @throws {OsError} EPROTO. */
export function messagesOf(raw: unknown): readonly unknown[] {
  if (!Array.isArray(raw)) return [raw]
  if (raw.length > MAX_CALLS_IN_FLIGHT) throw new OsError('EPROTO', `more than ${MAX_CALLS_IN_FLIGHT} messages in one`)
  return raw
}

/** Where in the user's own source something happened; lines and columns from 1. */
const place = {
  line: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  column: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
}

/** Task worker → kernel, beside `callerMessage`. */
export const taskMessage = v.variant('t', [
  /** The runtime is locked down and listening. */
  v.strictObject({ t: v.literal('ready') }),
  /** The program's module ran; its exported functions. */
  v.strictObject({ t: v.literal('loaded'), tasks: v.pipe(v.array(text(128)), v.maxLength(1024)) }),
  v.strictObject({ t: v.literal('load-failed'), message: text(4096), ...place }),
  v.strictObject({ t: v.literal('done'), id: text(256), result: v.custom<Data>(() => true) }),
  v.strictObject({ t: v.literal('failed'), id: text(256), message: text(4096), stack: text(8192), ...place }),
  v.strictObject({ t: v.literal('pong'), n: id }),
  ...callerMessage.options,
])
export type TaskMessage = v.InferOutput<typeof taskMessage>

/** Kernel → task worker. `source` ≤ MAX_PROGRAM_BYTES, `event.data` ≤ MAX_EVENT_BYTES encoded. */
export type TaskCommand =
  | { t: 'load'; name: string; source: string }
  /** They are handled one after the other, behind those that came before. */
  | { t: 'run'; events: readonly TaskEvent[] }
  | { t: 'ping'; n: number }
  | Replies

export const TASK_LIMITS = { MAX_EVENT_BYTES, MAX_PROGRAM_BYTES } as const
