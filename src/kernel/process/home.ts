// The home of one process: keeps its journal, leases its events to executors, takes completions, ends it.
// Above: homes.ts (the table of those here). Below: state.ts (what the journal means), leases.ts, output.ts, effects.ts,
// rpc, the tree.
//
// Order of things: a completion is checked (fencing), its files' blocks are copied here, it is journalled, its
// file changes are applied to the tree, and only then do its successors run. Whatever dies in between, the next home
// continues from the journal, and nothing that was journalled happens twice. The journal is replicated: this node is
// the home while it leads the journal, and a home that no longer does is closed and says nothing more.
import { Emitter, until } from '../../base/emitter.ts'
import { errorLine, isOsError, OsError, toOsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { ExitStatus, HistoryRow, ProcessRow } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { holdFiles } from '../fs/copies.ts'
import type { Namespace } from '../fs/namespace.ts'
import type { Journal } from '../journal/journal.ts'
import * as limits from '../limits.ts'
import { mutated } from '../mutations.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import { Timers } from '../timers.ts'
import { type Attempt, Attempts } from './attempts.ts'
import { decodeCompletion, type Succeeded } from './completion.ts'
import { makeChanges } from './effects.ts'
import { encodeEntry, type ProcessStep } from './entries.ts'
import { EntryQueue } from './entry-queue.ts'
import { Failures } from './failures.ts'
import { tellPast } from './fold.ts'
import { exitOf, rowOf } from './home-row.ts'
import { slim } from './large.ts'
import type { Leases, Lessee } from './leases.ts'
import { ProcessOutput } from './output.ts'
import { graceMs } from './pace.ts'
import { QueueRoom } from './queue-room.ts'
import { Running } from './running.ts'
import type { Placement } from './schedule.ts'
import type { Ended, ProcessState } from './state.ts'

export interface HomeServices {
  self: NodeId
  rpc: RpcNode
  blocks: Blocks
  namespace: Namespace
  clock: Clock
  log: LogSink
  leases: Leases
  /** The node left, and without saying so: its tab or its device died. */
  died(node: NodeId): boolean
  /** This one, or a tab beside it: what takes that one may take this one as well. */
  onThisDevice(node: NodeId): boolean
}

export class ProcessHome implements Lessee {
  readonly kid: Kid
  readonly changed: Emitter<void>
  readonly #services: HomeServices
  readonly #journal: Journal
  readonly #entries: EntryQueue
  readonly #state: ProcessState
  readonly #output: ProcessOutput
  readonly #room: QueueRoom
  readonly #attempts: Attempts
  readonly #failures: Failures
  readonly #running: Running
  /** Completions that are being made durable. */
  #settling = 0
  /** Events of which one was accepted: what else runs of them does not count any more. */
  readonly #accepted = new Set<string>()
  readonly #stop = new AbortController()
  /** Set when the process is no longer at home here. */
  #moved: OsError | undefined
  readonly #timers: Timers
  /** Nothing of it runs any more: it ends, has ended, or is at home elsewhere. */
  #ending: boolean

  constructor(kid: Kid, journal: Journal, state: ProcessState, services: HomeServices) {
    this.kid = kid
    this.#journal = journal
    this.#entries = new EntryQueue(journal, services.clock)
    this.#state = state
    this.#ending = state.ended !== undefined
    this.#services = services
    this.#attempts = new Attempts(
      services.clock,
      () => services.leases.still(),
      (node) => this.#patienceMs(node),
    )
    this.#timers = new Timers(services.clock)
    this.#failures = new Failures({
      ...{ state, clock: services.clock, timers: this.#timers, leases: services.leases },
      died: (node) => services.died(node),
      ending: () => this.#ending,
      counts: ({ event, token }) => !this.#accepted.has(event) && state.holds(event, token),
      record: (step) => this.#record(step),
      end: (how) => this.#end(how),
      log: (level, message) => this.#log(level, message),
    })
    this.#output = new ProcessOutput(state, services.blocks, (step) => this.#kept(step))
    this.#room = new QueueRoom(services.clock, {
      pending: () => state.events.pending,
      othersBusy: (waiting) => state.events.readyCount > 0 || this.#attempts.size > waiting,
    })
    this.#running = new Running({
      ...{ kid, lessee: this, state, attempts: this.#attempts, room: this.#room, stop: this.#stop.signal },
      ...{ leases: services.leases, rpc: services.rpc, clock: services.clock },
      record: (step) => this.#record(step),
      printed: (attempt, stream, bytes) => this.#printed(attempt, stream, bytes),
      completed: (attempt, bytes) => void this.#answered(attempt, bytes),
      failed: (attempt, error) => this.#failures.ofCall(attempt, error),
    })
    this.changed = new Emitter((error) =>
      services.log.log('error', 'process', `a listener failed: ${errorLine(error)}`),
    )
  }

  /** After a start or a replay: gives back lost leases, makes file changes that perhaps were not made, and runs. */
  async resume(): Promise<void> {
    this.#failures.afterMove([...this.#state.events.kept()])
    if (this.#ending) return
    this.#progress()
    // The tree's home may be elsewhere, and this node must have started to reach it.
    const left = mutated('forget-files') ? [] : [...this.#state.unapplied]
    for (const [id, ops] of left) await this.#applyFiles(id, ops, true)
    this.#progress()
  }

  get ended(): Ended | undefined {
    return this.#state.ended
  }

  /** Ready events exist: the leases ask this before offering room. */
  get wantsRoom(): boolean {
    const { events, facts } = this.#state
    const going = !this.#ending && !facts.paused && !facts.exitRequested
    return events.readyCount > 0 && going && this.#settling < limits.MAX_SETTLING
  }

  allows(node: NodeId): boolean {
    return this.#running.allows(node)
  }

  row(): ProcessRow {
    return rowOf(this.kid, this.#state, this.#services.self, this.#attempts.rows())
  }

  async waitExit(signal: AbortSignal): Promise<ExitStatus> {
    await this.#until(() => this.#state.ended !== undefined, signal)
    return exitOf(this.kid, this.#state) as ExitStatus
  }

  /** Output from `offset`; waits for some; empty when the process has ended and there is no more. */
  async read(
    stream: 1 | 2,
    offset: number,
    length: number,
    signal: AbortSignal,
    inTurn = <T>(work: () => Promise<T>) => work(),
  ): Promise<Uint8Array> {
    await this.#until(() => this.#output.has(stream, offset) || this.#state.ended !== undefined, signal)
    if (!this.#output.has(stream, offset)) return new Uint8Array(0)
    return inTurn(() => this.#output.read(stream, offset, length, signal))
  }

  /** The encoded input of a leased event, for an executor that pulls it. @throws {OsError} ENOENT. */
  input(id: string): Uint8Array {
    const event = this.#state.events.get(id)
    if (event?.status !== 'leased') throw new OsError('ENOENT', `event ${id} is not leased`)
    return this.#state.input(event)
  }

  /** Resolves with how many more events a running one may emit, when there is room. @throws {OsError} ENOENT. */
  room(id: string, token: number, signal: AbortSignal): Promise<number> {
    if (!this.#state.holds(id, token)) throw new OsError('ENOENT', `event ${id} is not leased`)
    return this.#room.more(AbortSignal.any([signal, this.#stop.signal]))
  }

  /** @returns false when it had ended already. */
  async kill(): Promise<boolean> {
    if (this.#state.ended) return false
    await this.#end({ state: 'killed', code: 130, error: null })
    if (this.#moved) throw this.#moved
    return true
  }

  /** Starts no more events, or goes on. @returns false when it has ended, or did so already. */
  async pause(paused: boolean): Promise<boolean> {
    if (this.#ending || this.#state.facts.paused === paused) return false
    const entry: ProcessStep = { t: 'paused', paused, atMs: this.#services.clock.wallMs() }
    // At once, so that whoever asks for the opposite meanwhile comes after it; a home that cannot journal it is none.
    this.#state.apply(entry)
    this.#progress()
    if (!(await this.#journalled(entry))) throw this.#moved
    return true
  }

  /** This node goes on with what another began. */
  took(why: string): void {
    const { self, clock } = this.#services
    this.#record({ t: 'home', node: self, why, atMs: clock.wallMs() })
  }

  /** What the journal tells after its entry `after`, some of it. @throws {OsError} EIO. */
  history(after: number): Promise<HistoryRow[]> {
    const page = { after, most: limits.MAX_HISTORY_ROWS }
    return tellPast(this.#journal.committed(), page, this.#services.blocks)
  }

  lease(placement: Placement): void {
    if (!this.#ending) this.#running.lease(placement)
  }

  /** A node stands still now, or goes on. */
  nodeChanged(): void {
    this.#running.nodeChanged()
  }

  /** Stops work without an end: the journal continues elsewhere, or after a reload. Whoever waits here is told. */
  close(): void {
    this.#moved ??= new OsError('ECONNRESET', `process ${shortKid(this.kid)} is no longer at home on this node`)
    this.#halt(this.#moved)
    this.#entries.close(this.#moved)
    this.changed.emit()
  }

  /** This tab is about to close: what waits is written while it still leads. */
  flush(): void {
    this.#entries.flush()
  }

  #halt(reason: OsError): void {
    this.#ending = true
    this.#stop.abort(reason)
    this.#attempts.abortAll(reason)
    this.#timers.cancelAll()
    this.#room.close()
  }

  /** An honest node would have ended an endless loop by then; one that has completed nothing yet may not be one. */
  #patienceMs(node: NodeId): number | undefined {
    const { spawned } = this.#state
    if (!spawned || node === this.#services.self || this.#services.leases.hasCompleted(node)) return undefined
    return spawned.eventMs + graceMs(spawned.eventMs)
  }

  // --- what has run ----------------------------------------------------------------------------------------

  async #answered(attempt: Attempt, bytes: Uint8Array): Promise<void> {
    this.#attempts.answered(attempt)
    this.#settling++
    try {
      await this.#completed(attempt, bytes)
    } catch (error) {
      await this.#failures.ofCall(attempt, toOsError(error))
    } finally {
      this.#settling--
      this.#attempts.end(attempt)
      if (this.wantsRoom) this.#services.leases.pump()
      this.#running.watchLate()
    }
  }

  async #completed(attempt: Attempt, bytes: Uint8Array): Promise<void> {
    const completion = decodeCompletion(bytes)
    if (this.#ending) return
    if (!completion.ok) return this.#failures.ofTask(attempt, completion.kind, completion.message)
    if (await this.#refused(attempt, completion)) return
    // What is here for it now has to be here when it is journalled.
    const release = this.#services.blocks.pin()
    try {
      await this.#take(attempt, completion)
    } finally {
      release()
    }
  }

  async #take(attempt: Attempt, completion: Succeeded): Promise<void> {
    const { event: id, of: event, token, node } = attempt
    this.#attempts.ran(attempt, completion.ms)
    await this.#holdFiles(completion, node)
    // Much may have happened meanwhile.
    if (this.#ending || this.#accepted.has(id) || (await this.#refused(attempt, completion))) return
    const { task } = event
    const { result, emits, ops, exit, ms } = completion
    const atMs = this.#services.clock.wallMs()
    const entry = { t: 'completed' as const, event: id, task, token, node, result, emits, ops, exit, ms, atMs }
    this.#accepted.add(id)
    try {
      const slimmed = await slim(entry, this.#services.blocks)
      if (!(await this.#journalled(slimmed, { soon: this.#isUnnoticed(attempt, completion) }))) return
      this.#state.apply(entry)
    } finally {
      this.#accepted.delete(id)
    }
    await this.#settled(attempt, completion)
  }

  /** Nothing follows from it before another event is done: it may as well be journalled with that one. */
  #isUnnoticed({ event: id, of: { key, leases } }: Attempt, { emits, ops, exit, ms }: Succeeded): boolean {
    if (emits.length > 0 || ops.length > 0 || exit !== null || key !== undefined) return false
    // What took long would take long again; and where it runs twice, the other tab is told to stop.
    if (ms > limits.LONG_EVENT_MS || leases.length > 1) return false
    return this.#attempts.working && this.#state.events.opensNothing(id, this.#settling)
  }

  /** Whether it does not count, or is more than the process may have, which ends it. */
  async #refused({ event: id, of: event, token, node }: Attempt, { emits }: Succeeded): Promise<boolean> {
    const problem = this.#state.problem(id, token, emits)
    if (problem?.of === 'program') await this.#fail(`task ${event.task}: ${problem.what}`)
    else if (problem) this.#log('info', `refused a completion of ${id} from ${shortNode(node)}: ${problem.what}`)
    return problem !== undefined
  }

  /** The event is done: whoever else ran it is told, its files are made, and the process goes on. */
  async #settled(attempt: Attempt, { ops }: Succeeded): Promise<void> {
    const { event: id } = attempt
    this.#attempts.completed(attempt)
    const exceeded = this.#state.exceeded()
    if (exceeded !== undefined && !this.#state.facts.exitRequested) return this.#fail(exceeded)
    if (ops.length > 0) await this.#applyFiles(id, ops)
    this.#room.changed()
    this.#progress()
  }

  /** Blocks of files that the event wrote: a completion counts only when they are here as well. */
  async #holdFiles(completion: Succeeded, node: NodeId): Promise<void> {
    if (node === this.#services.self) return
    await holdFiles(this.#services.blocks, completion.ops, { hints: [node], signal: this.#stop.signal })
  }

  async #applyFiles(event: string, ops: readonly TreeOp[], perhapsMade = false): Promise<void> {
    try {
      await makeChanges(this.#services.namespace, ops, { perhapsMade, signal: this.#stop.signal })
      this.#record({ t: 'applied', event })
    } catch (error) {
      if (!this.#ending) await this.#fail(`the files of event ${event}: ${errorLine(error)}`)
    }
  }

  async #printed(attempt: Attempt, stream: 1 | 2, bytes: Uint8Array): Promise<void> {
    if (this.#ending || (await this.#output.take(attempt, stream, bytes))) return
    const given = this.#state.spawned?.bounds?.outputBytes
    if (given !== undefined) return this.#fail(`it prints more than the ${given} bytes that it was given`)
    await this.#fail(`more than ${limits.MAX_OUTPUT_BYTES} bytes of output: write a file instead`)
  }

  // --- going on, and the end -------------------------------------------------------------------------------

  /** After any step: end when nothing is left, else ask for room. */
  #progress(): void {
    if (this.#ending) return
    this.changed.emit()
    const { facts } = this.#state
    if (facts.exitRequested && this.#state.unapplied.size === 0) {
      void this.#end({ state: 'exited', code: facts.exitCode, error: null })
    } else if (this.#state.finished) void this.#end({ state: 'exited', code: 0, error: null })
    else {
      this.#services.leases.pump()
      this.#running.watchLate()
    }
  }

  #fail(error: string): Promise<void> {
    return this.#end({ state: 'failed', code: 1, error })
  }

  async #end(how: Omit<Ended, 'atMs'>): Promise<void> {
    if (this.#ending) return
    this.#halt(new OsError('ECANCELED', `process ${shortKid(this.kid)} has ended`))
    const entry: ProcessStep = { t: 'ended', ...how, atMs: this.#services.clock.wallMs() }
    try {
      if (!(await this.#journalled(entry))) return
    } catch (error) {
      this.#log('error', `the end of the process could not be journalled: ${errorLine(error)}`)
    }
    this.#state.apply(entry)
    this.#services.rpc.noteAll('process.ended', { kid: this.kid })
    this.changed.emit()
    this.#services.leases.pump()
  }

  /** @returns false when this node is no longer the home: then nothing may follow from it. @throws {OsError} EIO, ENOSPC. */
  async #journalled(entry: ProcessStep, { soon = false } = {}): Promise<boolean> {
    try {
      await this.#entries.add(encodeEntry(entry), { soon })
      return this.#moved === undefined
    } catch (error) {
      const moved = isOsError(error, 'EAGAIN') || isOsError(error, 'ECONNRESET') || isOsError(error, 'ECANCELED')
      if (!moved) throw error
      if (!this.#moved) this.#log('info', `it goes on elsewhere: ${errorLine(error)}`)
      this.close()
      return false
    }
  }

  /** Journals, applies and tells. @returns false when this node is no longer the home. */
  async #kept(step: ProcessStep): Promise<boolean> {
    if (!(await this.#journalled(step))) return false
    this.#state.apply(step)
    this.changed.emit()
    return true
  }

  /** Journals and applies at once: for what does no harm when it is lost. A completion counts only after it. */
  #record(entry: ProcessStep): void {
    this.#state.apply(entry)
    // An event that takes this tab with it must be known to the next home; one that takes another is known here.
    const soon = entry.t === 'assigned' && !this.#services.onThisDevice(entry.node as NodeId)
    this.#journalled(entry, { soon }).catch((error: unknown) => {
      void this.#fail(`its journal cannot be written: ${errorLine(error)}`)
    })
    if (entry.t === 'applied') this.changed.emit()
  }

  async #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    try {
      await until(this.changed, condition, () => this.#moved, signal)
    } catch (error) {
      throw toOsError(error, 'ECANCELED')
    }
  }

  #log(level: 'info' | 'warn' | 'error', message: string): void {
    this.#services.log.log(level, 'process', `${shortKid(this.kid)}: ${message}`)
  }
}
