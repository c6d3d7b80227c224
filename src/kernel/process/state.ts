// A process as its journal tells it: a pure reducer. Replaying the same entries gives the same state on any node.
// Above: home.ts, which decides what to append; fold.ts, which makes snapshots of it. Below: events.ts.
//
// An event: waiting (for others' results) → ready → leased (token) → done. A lease that is lost makes it ready
// again; the next lease has a higher token, and a completion with an older one is refused (fencing).
import type { NodeId } from '../../base/ids.ts'
import { MAX_PENDING_EVENTS } from '../../syscalls/limits.ts'
import type { ProcessState as RunState } from '../../syscalls/types.ts'
import { MAX_EVENTS, MAX_OUTPUT_BYTES, MAX_PROCESS_BYTES } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { foldInput, gatherInput } from './data.ts'
import type { EntryOf, ProcessStep } from './entries.ts'
import { type EventState, Events, type EventsPicture, weightOf } from './events.ts'

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

/** The facts of a process that are no list of many. */
interface Facts {
  spawned: EntryOf<'spawned'> | undefined
  /** No event is started. */
  paused: boolean
  exitCode: number
  exitRequested: boolean
  ended: Ended | undefined
  cpuMs: number
}

export class ProcessState {
  readonly facts: Facts
  readonly events: Events
  readonly output: Record<1 | 2, OutputPiece[]>
  /** Bytes of output taken from each event that is not done, by stream: a re-run's repetition is dropped. */
  readonly taken: Map<string, number>
  readonly nodes: Set<string>
  /** How often each event took its executor with it, and how often an executor failed with it otherwise. */
  readonly deaths: Map<string, number>
  readonly troubles: Map<string, number>
  /** File changes of events that are done, perhaps not in the tree yet; what comes after those events waits for that. */
  readonly unapplied: Map<string, readonly TreeOp[]>

  constructor(picture?: ProcessPicture) {
    this.facts = picture
      ? { ...picture.facts }
      : { spawned: undefined, paused: false, exitCode: 0, exitRequested: false, ended: undefined, cpuMs: 0 }
    this.events = picture ? Events.restore(picture.events) : new Events()
    this.output = { 1: [], 2: [] }
    for (const stream of [1, 2] as const) {
      for (const [length, bytes, cid] of picture?.output[stream] ?? []) {
        this.#piece(stream, { length, bytes: bytes ?? undefined, cid: cid ?? undefined })
      }
    }
    this.taken = new Map(picture?.taken)
    this.nodes = new Set(picture?.nodes)
    this.deaths = new Map(picture?.deaths)
    this.troubles = new Map(picture?.troubles)
    this.unapplied = new Map(picture?.unapplied)
    if (this.facts.ended) this.events.stop()
  }

  /** Everything as plain data, for a snapshot. */
  picture(): ProcessPicture {
    const pieces = (stream: 1 | 2) =>
      this.output[stream].map(({ length, bytes, cid }) => [length, bytes ?? null, cid ?? null] as const)
    return {
      facts: { ...this.facts },
      events: this.events.picture(),
      output: { 1: pieces(1), 2: pieces(2) },
      taken: [...this.taken],
      nodes: [...this.nodes],
      deaths: [...this.deaths],
      troubles: [...this.troubles],
      unapplied: [...this.unapplied],
    }
  }

  get spawned(): EntryOf<'spawned'> | undefined {
    return this.facts.spawned
  }

  get ended(): Ended | undefined {
    return this.facts.ended
  }

  outputLength(which: 1 | 2): number {
    const last = this.output[which].at(-1)
    return last ? last.offset + last.length : 0
  }

  apply(step: ProcessStep): void {
    const { facts } = this
    switch (step.t) {
      case 'spawned':
        facts.spawned = step
        return this.events.first(step.data)
      case 'assigned': {
        const event = this.events.get(step.event)
        if (!event || event.status === 'done') return
        return this.events.lease(event, { token: step.token, node: step.node as NodeId }, step.beside === true)
      }
      case 'lost':
        return this.#lost(step)
      case 'home':
        return
      case 'paused':
        facts.paused = step.paused
        return
      case 'completed':
        return this.#complete(step)
      case 'applied':
        if (this.unapplied.delete(step.event)) this.events.release(step.event)
        return
      case 'output':
        this.#piece(step.stream, step)
        if (this.#isDone(step.event)) return
        return count(this.taken, `${step.event}/${step.stream}`, step.length)
      case 'ended':
        facts.ended = { state: step.state, code: step.code, error: step.error, atMs: step.atMs }
        this.events.stop()
    }
  }

  /** Whether that lease may still complete its event. */
  holds(id: string, token: number): boolean {
    return this.events.get(id)?.leases.some((lease) => lease.token === token) ?? false
  }

  /** Encoded input of an event. @throws {OsError} EFBIG for a gather that is too large. */
  input({ data, after, key }: EventState): Uint8Array {
    if (key !== undefined) return foldInput(data, this.events.folded(key))
    if (!after) return data
    return gatherInput(
      data,
      after.map((each) => this.events.get(each)?.result),
    )
  }

  /** How long about the encoded input of an event is. */
  inputBytes({ data, after, key }: EventState): number {
    const folded = key === undefined ? 0 : (this.events.folded(key)?.byteLength ?? 0)
    return (after ?? []).reduce(
      (sum, id) => sum + (this.events.get(id)?.result?.byteLength ?? 1),
      data.byteLength + folded,
    )
  }

  /** True when nothing is left that could still run. */
  get finished(): boolean {
    return this.events.pending === 0 && this.unapplied.size === 0
  }

  /**
   * Checks a completion against this state before it is journalled.
   * @returns what is wrong with it: the lease's (it is refused), or the program's (it cannot go on); else undefined.
   */
  problem(
    id: string,
    token: number,
    emits: readonly { data: Uint8Array; after: string[] | null }[],
  ): { of: 'lease' | 'program'; what: string } | undefined {
    const event = this.events.get(id)
    const refused = (what: string) => ({ of: 'lease' as const, what })
    if (!event) return refused(this.events.has(id) ? 'already completed' : 'no such event')
    if (event.status === 'done') return refused('already completed')
    if (!this.holds(id, token)) return refused(`fenced: lease ${token} was replaced by ${event.token}`)
    const what = this.#tooMuch(emits) ?? this.#unknownGather(event, emits)
    return what === undefined ? undefined : { of: 'program', what }
  }

  /** What the process has used up of what it was given, if anything. */
  exceeded(): string | undefined {
    const { bounds } = this.spawned ?? {}
    const { events, cpuMs } = this
    if (bounds?.events !== undefined && events.total > bounds.events) {
      return `it needs more than the ${bounds.events} events that it was given`
    }
    if (bounds?.cpuMs !== undefined && cpuMs > bounds.cpuMs) {
      return `its tasks have run for longer than the ${bounds.cpuMs / 1000} s that it was given`
    }
    if (bounds?.memoryBytes !== undefined && events.bytes > bounds.memoryBytes) {
      return `its events and results hold more than the ${bounds.memoryBytes} bytes that it was given`
    }
    return undefined
  }

  /** Output that it may still produce, in bytes. */
  get outputLeft(): number {
    const most = Math.min(this.spawned?.bounds?.outputBytes ?? MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES)
    return most - this.outputLength(1) - this.outputLength(2)
  }

  get cpuMs(): number {
    return this.facts.cpuMs
  }

  #tooMuch(emits: readonly { data: Uint8Array; after: string[] | null }[]): string | undefined {
    if (this.events.total + emits.length > MAX_EVENTS) return `it would have more than ${MAX_EVENTS} events in all`
    if (this.events.pending + emits.length > MAX_PENDING_EVENTS) {
      return `more than ${MAX_PENDING_EVENTS} events would be pending`
    }
    let newBytes = 0
    for (const emit of emits) newBytes += weightOf(emit)
    if (this.events.bytes + newBytes <= MAX_PROCESS_BYTES) return undefined
    return `more than ${MAX_PROCESS_BYTES} bytes of events and results: keep large data in files`
  }

  #unknownGather(event: EventState, emits: readonly { after: string[] | null }[]): string | undefined {
    for (const [i, { after }] of emits.entries()) {
      for (const other of after ?? []) {
        if (this.events.has(other) || this.events.isEarlierSibling(other, event, i)) continue
        return `gather waits for '${other}', which was never emitted`
      }
    }
    return undefined
  }

  #complete(step: EntryOf<'completed'>): void {
    const event = this.events.get(step.event)
    if (!event || event.status === 'done') return
    const { facts } = this
    this.deaths.delete(event.id)
    this.troubles.delete(event.id)
    for (const stream of [1, 2]) this.taken.delete(`${event.id}/${stream}`)
    if (step.ops.length > 0) this.unapplied.set(event.id, step.ops)
    facts.cpuMs += step.ms
    this.nodes.add(step.node)
    if (step.exit !== null) {
      facts.exitRequested = true
      facts.exitCode = step.exit
    }
    this.events.complete(event, step.result, step.emits, step.ops.length > 0)
  }

  #lost({ event: id, token, kind }: EntryOf<'lost'>): void {
    if (this.#isDone(id)) return
    if (kind === 'trouble') count(this.troubles, id, 1)
    else if (kind !== 'link') count(this.deaths, id, 1)
    const event = this.events.get(id)
    if (event) this.events.giveBack(event, token)
  }

  #piece(stream: 1 | 2, { length, bytes, cid }: Pick<EntryOf<'output'>, 'length' | 'bytes' | 'cid'>): void {
    this.output[stream].push({ offset: this.outputLength(stream), length, bytes, cid })
  }

  #isDone(id: string): boolean {
    const event = this.events.get(id)
    return event ? event.status === 'done' : this.events.has(id)
  }
}

export interface ProcessPicture {
  facts: Facts
  events: EventsPicture
  output: Record<1 | 2, (readonly [number, Uint8Array | null, string | null])[]>
  taken: [string, number][]
  nodes: string[]
  deaths: [string, number][]
  troubles: [string, number][]
  unapplied: [string, readonly TreeOp[]][]
}

function count(counts: Map<string, number>, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}
