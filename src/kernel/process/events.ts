// The events of a process: which exist, what each waits for, and whose turn it is. Part of its state (state.ts).
//
// An event has a number, in the order in which events became known, and an id: its parent's number and its place among
// those that the parent emitted. A replay makes the same ids, a re-run emits the same ones, and ids stay short however
// long a chain of events becomes. An event that is done and has nothing to hand on is forgotten but for how many it
// emitted, which says whether an id was ever given.
import type { NodeId } from '../../base/ids.ts'
import { mutated } from '../mutations.ts'
import type { Emitted } from './completion.ts'

export interface EventLease {
  token: number
  node: NodeId
}

export interface EventState {
  readonly id: string
  readonly number: number
  readonly task: string
  /** Of the fold that it is a step of, if any: steps of one key run one after the other, in the order of their numbers. */
  readonly key: string | undefined
  /** Encoded; for a gather, what is delivered beside the results. */
  data: Uint8Array
  after: readonly string[] | null
  /** Results still missing. */
  missing: number
  status: 'waiting' | 'ready' | 'leased' | 'done'
  /** Of the latest lease. */
  token: number
  /** Whoever may complete it: mostly one, two where a slow one has got a second chance elsewhere. */
  leases: EventLease[]
  result: Uint8Array | undefined
}

/** What the steps of one key have made together. */
interface Fold {
  /** Its latest step. */
  last: string
  /** What the latest step that is done returned. */
  state: Uint8Array | undefined
}

export const FIRST_EVENT = '0'
/** Memory that a fold takes beside its key and state, roughly. */
const FOLD_BYTES = 128
/** What a task that returns nothing hands on, encoded. */
const NOTHING = 0xf6

export class Events {
  /** Those that are not done, and those whose results may be asked for. */
  readonly #kept = new Map<string, EventState>()
  /** How many events each has emitted, by number. */
  readonly #emitted: number[] = []
  /** Ids in the order in which they became ready; some of them are so no longer. */
  #queue: string[] = []
  #head = 0
  /** Given back: before all others, the latest first. */
  readonly #again: string[] = []
  #readyCount = 0
  /** By event: those that wait for it. */
  readonly #waiters = new Map<string, string[]>()
  readonly #folds = new Map<string, Fold>()
  /** Done, but what they did is not visible yet: nobody goes on from them. */
  readonly #held = new Map<string, number>()
  #done = 0
  #stopped = false
  /** Data of events and results kept. */
  #bytes = 0

  /** Events known so far. */
  get total(): number {
    return this.#emitted.length
  }

  get done(): number {
    return this.#done
  }

  get pending(): number {
    return this.total - this.#done
  }

  get bytes(): number {
    return this.#bytes
  }

  get readyCount(): number {
    return this.#stopped ? 0 : this.#readyCount
  }

  get(id: string): EventState | undefined {
    return this.#kept.get(id)
  }

  kept(): IterableIterator<EventState> {
    return this.#kept.values()
  }

  /** Whether that id was ever given to an event. */
  has(id: string): boolean {
    if (id === FIRST_EVENT) return this.total > 0
    const parts = /^(0|[1-9]\d{0,14})\.(0|[1-9]\d{0,7})$/.exec(id)
    return parts !== null && Number(parts[2]) < (this.#emitted[Number(parts[1])] ?? 0)
  }

  /** Whether nobody could go on from it, nor the process end, if `count` events were done, this one among them. */
  opensNothing(id: string, count: number): boolean {
    const waiters = this.#waiters.get(id) ?? []
    return this.pending > count && waiters.every((each) => (this.#kept.get(each)?.missing ?? 0) > count)
  }

  /** What the fold of that key is now; undefined before its first step is done. */
  folded(key: string): Uint8Array | undefined {
    return this.#folds.get(key)?.state
  }

  /** The next to run. */
  firstReady(): EventState | undefined {
    if (this.#stopped) return undefined
    for (; this.#again.length > 0; this.#again.pop()) {
      const event = this.#kept.get(this.#again.at(-1) as string)
      if (event?.status === 'ready') return event
    }
    for (; this.#head < this.#queue.length; this.#head++) {
      const event = this.#kept.get(this.#queue[this.#head] as string)
      if (event?.status === 'ready') return event
    }
    this.#queue = []
    this.#head = 0
    return undefined
  }

  /** All that are ready, the next first. */
  ready(): string[] {
    if (this.#stopped) return []
    const queued = [...[...this.#again].reverse(), ...this.#queue.slice(this.#head)]
    return [...new Set(queued)].filter((id) => this.#kept.get(id)?.status === 'ready')
  }

  first(data: Uint8Array): void {
    this.#add(FIRST_EVENT, { task: 'start', data, after: null })
  }

  /** @param beside its earlier lease stays good. */
  lease(event: EventState, lease: EventLease, beside: boolean): void {
    if (event.status === 'ready') this.#readyCount--
    event.status = 'leased'
    event.token = Math.max(event.token, lease.token)
    if (!beside) event.leases = []
    event.leases.push(lease)
  }

  /** A lease was lost: without another one, the event can be leased again. */
  giveBack(event: EventState, token: number): void {
    if (event.status !== 'leased') return
    event.leases = event.leases.filter((lease) => lease.token !== token)
    if (event.leases.length > 0) return
    event.status = 'ready'
    this.#readyCount++
    this.#again.push(event.id)
  }

  /** @param hold nobody goes on from it before `release`. */
  complete(event: EventState, result: Uint8Array, emits: readonly Emitted[], hold: boolean): void {
    if (event.status === 'ready') this.#readyCount--
    this.#bytes += result.byteLength - weightOf(event)
    event.status = 'done'
    event.leases = []
    event.data = new Uint8Array(0)
    event.after = null
    event.result = event.key === undefined ? result : this.#fold(event.key, result)
    this.#emitted[event.number] = emits.length
    this.#done++
    if (hold) this.#held.set(event.id, event.number)
    for (const [i, emit] of emits.entries()) {
      const index = mutated('reuse-event-id') ? i % 16 : i
      this.#add(`${event.number}.${index}`, emit, hold ? event.id : undefined)
    }
    if (!hold) this.#settled(event)
  }

  /** The result of a step is the state of its fold, and none of its own. */
  #fold(key: string, state: Uint8Array): Uint8Array {
    const fold = this.#folds.get(key) as Fold
    this.#bytes += 1 - (fold.state?.byteLength ?? 0)
    fold.state = state
    return Uint8Array.of(NOTHING)
  }

  /** What a completed event did is visible: whatever waits for it may run. */
  release(id: string): void {
    const event = this.#kept.get(id)
    if (event && this.#held.delete(id)) this.#settled(event)
  }

  /** Nothing is started any more. */
  stop(): void {
    this.#stopped = true
  }

  /** Whether `other` names one of the events that `parent` emits before its `index`th. */
  isEarlierSibling(other: string, parent: EventState, index: number): boolean {
    const place = other.startsWith(`${parent.number}.`) ? other.slice(`${parent.number}.`.length) : ''
    return /^(0|[1-9]\d{0,7})$/.test(place) && Number(place) < index
  }

  #add(id: string, { task, data, after, key }: Emitted, parent?: string): void {
    const number = this.#emitted.push(0) - 1
    this.#bytes += weightOf({ data, after, key })
    const before = key === undefined ? undefined : this.#step(key, id)
    this.#enter({ id, number, task, key, data, after, token: 0 }, parent, before)
  }

  /** The event is the latest step of that fold. @returns the one before it, if that is not settled. */
  #step(key: string, id: string): string | undefined {
    const fold = this.#folds.get(key)
    if (!fold) this.#bytes += FOLD_BYTES + 2 * key.length
    this.#folds.set(key, { last: id, state: fold?.state })
    return fold && !this.#isSettled(fold.last) ? fold.last : undefined
  }

  /** @param before of the same fold. */
  #enter(
    known: Pick<EventState, 'id' | 'number' | 'task' | 'key' | 'data' | 'after' | 'token'>,
    parent?: string,
    before?: string,
  ): void {
    const missing = new Set((known.after ?? []).filter((other) => !this.#isSettled(other)))
    // A child may read what its parent wrote: it waits until that is visible.
    if (parent !== undefined) missing.add(parent)
    if (before !== undefined) missing.add(before)
    const status = missing.size > 0 ? 'waiting' : 'ready'
    this.#kept.set(known.id, { ...known, missing: missing.size, status, leases: [], result: undefined })
    for (const other of missing) {
      const waiters = this.#waiters.get(other)
      if (waiters) waiters.push(known.id)
      else this.#waiters.set(other, [known.id])
    }
    if (status === 'ready') this.#enqueue(known.id)
  }

  #enqueue(id: string): void {
    this.#readyCount++
    this.#queue.push(id)
    if (this.#head < 4096 || this.#head < this.#queue.length / 2) return
    this.#queue = this.#queue.slice(this.#head)
    this.#head = 0
  }

  #isSettled(id: string): boolean {
    const event = this.#kept.get(id)
    return event ? event.status === 'done' && !this.#held.has(id) : this.has(id)
  }

  #settled(event: EventState): void {
    const { id, result } = event
    for (const each of this.#waiters.get(id) ?? []) {
      const waiter = this.#kept.get(each)
      if (!waiter || --waiter.missing > 0) continue
      waiter.status = 'ready'
      this.#enqueue(each)
    }
    this.#waiters.delete(id)
    if (result?.byteLength !== 1 || result[0] !== NOTHING) return
    this.#bytes -= result.byteLength
    this.#kept.delete(id)
  }

  // --- as a snapshot ---------------------------------------------------------------------------------------

  /** Everything as plain data. */
  picture(): EventsPicture {
    const toRun = this.ready().map((id) => this.#kept.get(id) as EventState)
    const ready = new Set(toRun)
    const open = [...this.#kept.values()].filter((event) => event.status !== 'done' && !ready.has(event))
    return {
      emitted: runsOf(this.#emitted),
      open: [...toRun, ...open].map(({ id, number, task, data, after, token, leases }) => {
        return [id, number, task, data, after && [...after], token, leases.map((lease) => [lease.token, lease.node])]
      }),
      results: [...this.#kept.values()].flatMap(({ id, number, status, result }) =>
        status === 'done' ? [[id, number, result ?? Uint8Array.of(NOTHING)] as const] : [],
      ),
      held: [...this.#held.keys()],
      steps: [...this.#kept.values()].flatMap(({ id, key }) => (key === undefined ? [] : [[id, key] as const])),
      folds: [...this.#folds].map(([key, { last, state }]) => [key, last, state ?? null] as const),
    }
  }

  static restore({ emitted, open, results, held, steps = [], folds = [] }: EventsPicture): Events {
    const events = new Events()
    const keys = new Map(steps)
    const unsettled = [...open, ...results.filter(([id]) => held.includes(id))]
    const before = stepsBefore(unsettled, keys)
    for (const [key, last, state] of folds) {
      events.#folds.set(key, { last, state: state ?? undefined })
      events.#bytes += FOLD_BYTES + 2 * key.length + (state?.byteLength ?? 0)
    }
    for (const [length, count] of emitted) for (let i = 0; i < length; i++) events.#emitted.push(count)
    const withheld = new Set(held)
    for (const [id, number, result] of results) {
      const done = { task: '', data: new Uint8Array(0), after: null, missing: 0, token: 0, leases: [] }
      events.#kept.set(id, { ...done, id, number, key: keys.get(id), status: 'done', result })
      events.#bytes += result.byteLength
      if (withheld.has(id)) events.#held.set(id, number)
    }
    const parents = new Map([...events.#held].map(([id, number]) => [String(number), id]))
    for (const [id, number, task, data, after, token, leases] of open) {
      events.#bytes += weightOf({ data, after, key: keys.get(id) })
      const parent = parents.get(id.split('.')[0] as string)
      events.#enter({ id, number, task, key: keys.get(id), data, after, token }, parent, before.get(id))
      const event = events.#kept.get(id) as EventState
      for (const [number, node] of leases) events.lease(event, { token: number, node: node as NodeId }, true)
    }
    events.#done = events.total - open.length
    return events
  }
}

/** Of those events, by step, the one before it of the same fold. */
function stepsBefore(
  events: readonly (readonly [string, number, ...unknown[]])[],
  keys: ReadonlyMap<string, string>,
): Map<string, string> {
  const before = new Map<string, string>()
  const last = new Map<string, string>()
  for (const [id] of [...events].sort(([, a], [, b]) => a - b)) {
    const key = keys.get(id)
    if (key === undefined) continue
    const earlier = last.get(key)
    if (earlier !== undefined) before.set(id, earlier)
    last.set(key, id)
  }
  return before
}

export interface EventsPicture {
  /** Runs of events that emitted as many: how many, and how many each. */
  emitted: (readonly [number, number])[]
  /** Not done, those that are ready first: id, number, task, data, after, token, leases. */
  open: (readonly [string, number, string, Uint8Array, string[] | null, number, (readonly [number, string])[]])[]
  /** Done, with what they hand on. */
  results: (readonly [string, number, Uint8Array])[]
  /** Of those, the ones from which nobody goes on yet. */
  held: string[]
  /** Of all these, the ones that are steps of folds: id, key. */
  steps?: (readonly [string, string])[]
  /** Key, latest step, state. */
  folds?: (readonly [string, string, Uint8Array | null])[]
}

function runsOf(values: readonly number[]): [number, number][] {
  const runs: [number, number][] = []
  for (const value of values) {
    const last = runs.at(-1)
    if (last?.[1] === value) last[0]++
    else runs.push([1, value])
  }
  return runs
}

/** Bytes of memory, roughly, that a waiting event takes: its data, its key, and the ids for which it waits, twice. */
export function weightOf({
  data,
  after,
  key = '',
}: Pick<EventState, 'data' | 'after'> & { key?: string | undefined }): number {
  return (after ?? []).reduce((sum, id) => sum + 2 * id.length, data.byteLength + 2 * key.length)
}
