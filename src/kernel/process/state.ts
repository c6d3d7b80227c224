// A process as its journal tells it: a pure reducer. Replaying the same entries gives the same state on any node.
// Above: home.ts, which decides what to append. Below: nothing.
//
// An event: waiting (for others' results) → ready → leased (token) → done. A lease that is lost makes it ready
// again; the next lease has a higher token, and a completion with an older one is refused (fencing).
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { isKid, type Kid, type NodeId } from '../../base/ids.ts'
import type { ProcessState as RunState } from '../../syscalls/types.ts'
import { MAX_PENDING_EVENTS, MAX_PROCESS_BYTES } from '../limits.ts'
import { treeOp } from '../rpc/methods.ts'
import { gatherInput } from './data.ts'

const text = v.pipe(v.string(), v.maxLength(65_536))
const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const bytes = v.custom<Uint8Array>((value) => value instanceof Uint8Array)
const stream = v.picklist([1, 2])

/** Journal entries, version 1. Read back from disk, so validated like anything else that comes from outside. */
const entry = v.variant('t', [
  v.strictObject({
    t: v.literal('spawned'),
    kid: v.custom<Kid>((value) => typeof value === 'string' && isKid(value)),
    program: text,
    programCid: text,
    args: v.array(text),
    cwd: text,
    home: v.custom<NodeId>((value) => typeof value === 'string'),
    atMs: v.number(),
    eventMs: int,
    data: bytes,
    /** The signed genesis record whose hash is the KID. */
    genesis: bytes,
    signature: bytes,
  }),
  v.strictObject({
    t: v.literal('assigned'),
    event: text,
    token: int,
    node: text,
    /** Why there. */
    why: v.optional(text),
    atMs: v.optional(v.number()),
  }),
  /** A lease ended without a completion: the event runs again. */
  v.strictObject({
    t: v.literal('lost'),
    event: text,
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
    token: int,
    node: text,
    result: bytes,
    emits: v.array(v.strictObject({ task: text, data: bytes, after: v.nullable(v.array(text)) })),
    ops: v.array(treeOp),
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
])
export type ProcessEntry = v.InferOutput<typeof entry>
type Entry<T extends ProcessEntry['t']> = Extract<ProcessEntry, { t: T }>

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

export interface EventState {
  id: string
  task: string
  /** Encoded; for a gather, what is delivered beside the results. */
  data: Uint8Array
  after: string[] | null
  /** Results still missing. */
  missing: number
  status: 'waiting' | 'ready' | 'leased' | 'done'
  token: number
  node: NodeId | undefined
  result: Uint8Array | undefined
}

export interface OutputPiece {
  offset: number
  length: number
  bytes: Uint8Array | undefined
  cid: string | undefined
}

export interface Ended {
  state: Exclude<RunState, 'running' | 'stopped'>
  code: number
  error: string | null
  atMs: number
}

export class ProcessState {
  spawned: Entry<'spawned'> | undefined
  readonly events = new Map<string, EventState>()
  /** Ids in the order in which they became ready. */
  readonly ready: string[] = []
  readonly output: Record<1 | 2, OutputPiece[]> = { 1: [], 2: [] }
  /** Bytes of output taken from each event, by stream: a re-run's repetition is dropped. */
  readonly taken = new Map<string, number>()
  readonly nodes = new Set<string>()
  /** How often each event took its executor with it, and how often an executor failed with it otherwise. */
  readonly deaths = new Map<string, number>()
  readonly troubles = new Map<string, number>()
  /** No event is started. */
  paused = false
  readonly #waiters = new Map<string, string[]>()
  /** Events completed whose file changes may not be in the tree yet; their successors wait for that. */
  readonly unapplied = new Set<string>()
  done = 0
  exitCode = 0
  exitRequested = false
  ended: Ended | undefined
  cpuMs = 0
  /** Data of events and results in memory. */
  heldBytes = 0

  get total(): number {
    return this.events.size
  }

  outputLength(which: 1 | 2): number {
    const last = this.output[which].at(-1)
    return last ? last.offset + last.length : 0
  }

  apply(value: ProcessEntry): void {
    switch (value.t) {
      case 'spawned':
        this.spawned = value
        this.#add('0', 'start', value.data, null)
        return
      case 'assigned': {
        const event = this.events.get(value.event)
        if (!event || event.status === 'done') return
        this.#unready(event)
        event.status = 'leased'
        event.token = value.token
        event.node = value.node as NodeId
        return
      }
      case 'lost': {
        if (value.kind === 'trouble') this.troubles.set(value.event, (this.troubles.get(value.event) ?? 0) + 1)
        else if (value.kind !== 'link') this.deaths.set(value.event, (this.deaths.get(value.event) ?? 0) + 1)
        if (this.events.get(value.event)?.token === value.token) this.giveBack(value.event)
        return
      }
      case 'home':
        return
      case 'paused':
        this.paused = value.paused
        return
      case 'completed':
        return this.#complete(value)
      case 'applied': {
        const event = this.events.get(value.event)
        if (event && this.unapplied.delete(event.id)) this.#release(event)
        return
      }
      case 'output': {
        const pieces = this.output[value.stream]
        const offset = this.outputLength(value.stream)
        pieces.push({ offset, length: value.length, bytes: value.bytes, cid: value.cid })
        const key = `${value.event}/${value.stream}`
        this.taken.set(key, (this.taken.get(key) ?? 0) + value.length)
        return
      }
      case 'ended':
        this.ended = { state: value.state, code: value.code, error: value.error, atMs: value.atMs }
        this.ready.length = 0
    }
  }

  /** A lease was lost: the event can be leased again. */
  giveBack(id: string): void {
    const event = this.events.get(id)
    if (event?.status !== 'leased') return
    event.status = 'ready'
    event.node = undefined
    this.ready.unshift(id)
  }

  /** Encoded input of an event. @throws {OsError} EFBIG for a gather that is too large. */
  input(id: string): Uint8Array {
    const event = this.events.get(id) as EventState
    if (!event.after) return event.data
    return gatherInput(
      event.data,
      event.after.map((each) => this.events.get(each)?.result),
    )
  }

  /** True when nothing is left that could still run. */
  get finished(): boolean {
    return this.done === this.events.size && this.unapplied.size === 0
  }

  /**
   * Checks a completion against this state before it is journalled.
   * @returns what is wrong with it, or undefined.
   */
  problem(
    id: string,
    token: number,
    emits: readonly { data: Uint8Array; after: string[] | null }[],
  ): string | undefined {
    const event = this.events.get(id)
    if (!event) return 'no such event'
    if (event.status === 'done') return 'already completed'
    if (event.token !== token) return `fenced: lease ${token} was replaced by ${event.token}`
    if (this.events.size - this.done + emits.length > MAX_PENDING_EVENTS) {
      return `more than ${MAX_PENDING_EVENTS} events would be pending`
    }
    let newBytes = 0
    for (const { data } of emits) newBytes += data.byteLength
    if (this.heldBytes + newBytes > MAX_PROCESS_BYTES) {
      return `more than ${MAX_PROCESS_BYTES} bytes of events and results: keep large data in files`
    }
    for (const [i, { after }] of emits.entries()) {
      for (const other of after ?? []) {
        if (!this.events.has(other) && !isEarlierSibling(other, id, i))
          return `gather waits for '${other}', which was never emitted`
      }
    }
    return undefined
  }

  #complete(value: Entry<'completed'>): void {
    const event = this.events.get(value.event)
    if (!event || event.status === 'done') return
    this.#unready(event)
    event.status = 'done'
    this.deaths.delete(event.id)
    this.troubles.delete(event.id)
    this.heldBytes += value.result.byteLength - event.data.byteLength
    event.result = value.result
    event.data = new Uint8Array(0)
    if (value.ops.length > 0) this.unapplied.add(event.id)
    this.done++
    this.cpuMs += value.ms
    this.nodes.add(value.node)
    if (value.exit !== null) {
      this.exitRequested = true
      this.exitCode = value.exit
    }
    for (const [i, emit] of value.emits.entries()) {
      this.#add(`${value.event}.${i}`, emit.task, emit.data, emit.after, event.id)
    }
    if (value.ops.length === 0) this.#release(event)
  }

  #add(id: string, task: string, data: Uint8Array, after: string[] | null, parent?: string): void {
    const missing = new Set((after ?? []).filter((other) => !this.#settled(other)))
    // A child may read what its parent wrote: it waits until that is in the tree.
    if (parent !== undefined && this.unapplied.has(parent)) missing.add(parent)
    const status = missing.size > 0 ? 'waiting' : 'ready'
    const event: EventState = {
      id,
      task,
      data,
      after,
      missing: missing.size,
      status,
      token: 0,
      node: undefined,
      result: undefined,
    }
    this.events.set(id, event)
    this.heldBytes += data.byteLength
    for (const other of missing) {
      const waiters = this.#waiters.get(other)
      if (waiters) waiters.push(id)
      else this.#waiters.set(other, [id])
    }
    if (status === 'ready') this.ready.push(id)
  }

  #settled(id: string): boolean {
    return this.events.get(id)?.status === 'done' && !this.unapplied.has(id)
  }

  #release(event: EventState): void {
    for (const id of this.#waiters.get(event.id) ?? []) {
      const waiter = this.events.get(id)
      if (!waiter || --waiter.missing > 0) continue
      waiter.status = 'ready'
      this.ready.push(id)
    }
    this.#waiters.delete(event.id)
  }

  #unready(event: EventState): void {
    if (event.status !== 'ready') return
    const at = this.ready.indexOf(event.id)
    if (at >= 0) this.ready.splice(at, 1)
  }
}

/** Whether `other` is the id of one of the events that `parent` emits before its `index`th. */
function isEarlierSibling(other: string, parent: string, index: number): boolean {
  if (!other.startsWith(`${parent}.`)) return false
  const number = other.slice(parent.length + 1)
  return /^(0|[1-9][0-9]{0,7})$/.test(number) && Number(number) < index
}
