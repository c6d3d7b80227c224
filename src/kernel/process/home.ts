// The home of one process: keeps its journal, leases its events to executors, takes completions, ends it.
// Above: processes.ts (the table of them). Below: state.ts (what the journal means), schedule.ts, rpc, the tree.
//
// Order of things: a completion is checked (fencing), its files' blocks are copied here, it is journalled, its
// file changes are applied to the tree, and only then do its successors run. Whatever dies in between, the next home
// continues from the journal, and nothing that was journalled happens twice. The journal is replicated: this node is
// the home while it leads the journal, and a home that no longer does is closed and says nothing more.
import { concat } from '../../base/bytes.ts'
import { Emitter } from '../../base/emitter.ts'
import { errorLine, isOsError, OsError, toOsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { ExitStatus, HistoryRow, ProcessRow } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { RAW } from '../blocks/cid.ts'
import { holdFiles } from '../fs/copies.ts'
import type { SharedTree } from '../fs/shared-tree.ts'
import type { Journal } from '../journal/journal.ts'
import * as limits from '../limits.ts'
import { mutated } from '../mutations.ts'
import type { Lease, TreeOp } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import { decodeCompletion, parseExecutionItem, type Succeeded } from './completion.ts'
import { historyOf } from './history.ts'
import type { Leases } from './leases.ts'
import type { Placement } from './schedule.ts'
import { type Ended, type EventState, encodeEntry, type ProcessEntry, type ProcessState } from './state.ts'

type Lost = Extract<ProcessEntry, { t: 'lost' }>

/** Output longer than this is kept as a block instead of in memory. */
const INLINE_OUTPUT_BYTES = 4 * 1024
/** An event that took this many workers or tabs with it ends the process: it would take every tab down in turn. */
const MAX_DEATHS = 3
/** Trouble of executors (not of links) with one event before the process fails with it. */
const MAX_TROUBLES = 6
const TROUBLE_PAUSE_MS = 250
/** Characters of a reason that the journal keeps. */
const MAX_WHY = 300
/** Homes of the tree that may vanish under one set of file changes before the process gives up. */
const MAX_APPLY_REPEATS = 5

export interface HomeServices {
  self: NodeId
  rpc: RpcNode
  blocks: Blocks
  tree: SharedTree
  clock: Clock
  log: LogSink
  leases: Leases
  /** The node left, and without saying so: its tab or its device died. */
  died(node: NodeId): boolean
}

export class ProcessHome {
  readonly kid: Kid
  readonly changed: Emitter<void>
  readonly #services: HomeServices
  readonly #journal: Journal
  readonly #state: ProcessState
  readonly #stop = new AbortController()
  /** Set when the process is no longer at home here. */
  #moved: OsError | undefined
  readonly #timers = new Set<Timer>()
  #ending = false

  constructor(kid: Kid, journal: Journal, state: ProcessState, services: HomeServices) {
    this.kid = kid
    this.#journal = journal
    this.#state = state
    this.#services = services
    this.changed = new Emitter((error) =>
      services.log.log('error', 'process', `a listener failed: ${errorLine(error)}`),
    )
  }

  /** After a start or a replay: gives back lost leases, and runs. */
  resume(): void {
    for (const event of [...this.#state.events.values()]) {
      const { status, node, token } = event
      if (status !== 'leased' || node === undefined || this.#ending) continue
      // Only its former home could have taken the completion.
      const kind = this.#services.died(node) ? 'died' : 'link'
      if (!this.#lost(event, node, token, kind, 'the process moved to another home')) void this.#giveUp(event, node)
    }
    this.#progress()
  }

  get ended(): Ended | undefined {
    return this.#state.ended
  }

  /** Ready events exist: the leases ask this before offering room. */
  get wantsRoom(): boolean {
    return this.#state.ready.length > 0 && !this.#ending && !this.#state.paused
  }

  row(): ProcessRow {
    const { spawned, ended } = this.#state
    return {
      kid: this.kid,
      program: spawned?.program ?? '?',
      args: spawned?.args ?? [],
      state: ended?.state ?? (this.#state.paused ? 'stopped' : 'running'),
      home: this.#services.self,
      done: this.#state.done,
      total: this.#state.total,
      nodes: this.#state.nodes.size,
      startedMs: spawned?.atMs ?? 0,
      endedMs: ended?.atMs ?? null,
      code: ended?.code ?? null,
      error: ended?.error ?? null,
    }
  }

  exit(): ExitStatus | undefined {
    const { ended } = this.#state
    return ended && { kid: this.kid, state: ended.state, code: ended.code, error: ended.error }
  }

  async waitExit(signal: AbortSignal): Promise<ExitStatus> {
    await this.#until(() => this.#state.ended !== undefined, signal)
    return this.exit() as ExitStatus
  }

  /** Output from `offset`; waits for some; empty when the process has ended and there is no more. */
  async read(stream: 1 | 2, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const available = () => this.#state.outputLength(stream) > offset
    await this.#until(() => available() || this.#state.ended !== undefined, signal)
    if (!available()) return new Uint8Array(0)
    const pieces = this.#state.output[stream]
    const parts: Uint8Array[] = []
    let at = offset
    for (let i = findPiece(pieces, offset); i < pieces.length && at < offset + length; i++) {
      const piece = pieces[i]
      if (!piece) break
      const bytes = piece.bytes ?? (await this.#services.blocks.get(piece.cid as string, { signal }))
      const part = bytes.subarray(at - piece.offset, Math.min(piece.length, offset + length - piece.offset))
      parts.push(part)
      at += part.byteLength
    }
    return concat(parts)
  }

  /** The encoded input of a leased event, for an executor that pulls it. @throws {OsError} ENOENT. */
  input(event: string): Uint8Array {
    if (this.#state.events.get(event)?.status !== 'leased') throw new OsError('ENOENT', `event ${event} is not leased`)
    return this.#state.input(event)
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
    if (this.#ending || this.#state.paused === paused) return false
    const entry: ProcessEntry = { t: 'paused', paused, atMs: this.#services.clock.wallMs() }
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

  /** What the journal tells after its entry `after`, some of it. */
  history(after: number): HistoryRow[] {
    const { snapshot, entries } = this.#journal.committed()
    const taskOf = (event: string) => this.#state.events.get(event)?.task ?? null
    return historyOf([snapshot, ...entries], after + 1, { taskOf, most: limits.MAX_HISTORY_ROWS })
  }

  /** Takes room offered by the leases: starts the next ready event there. */
  lease({ node, reason }: Placement): void {
    const id = this.#state.ready[0]
    const event = id === undefined ? undefined : this.#state.events.get(id)
    if (!event || this.#ending) return
    const token = event.token + 1
    const atMs = this.#services.clock.wallMs()
    this.#record({ t: 'assigned', event: event.id, token, node, why: reason, atMs })
    void this.#execute(event, node, token)
  }

  /** Stops work without an end: the journal continues elsewhere, or after a reload. Whoever waits here is told. */
  close(): void {
    this.#moved ??= new OsError('ECONNRESET', `process ${shortKid(this.kid)} is no longer at home on this node`)
    this.#ending = true
    this.#stop.abort(this.#moved)
    for (const timer of this.#timers) timer.cancel()
    this.changed.emit()
  }

  async #execute(event: EventState, node: NodeId, token: number): Promise<void> {
    const { rpc, leases } = this.#services
    const { id } = event
    leases.took(node)
    const parts: Uint8Array[] = []
    let size = 0
    const taken = { 1: 0, 2: 0 }
    try {
      await rpc.call(node, 'process.execute', this.#leaseOf(event, token), {
        signal: this.#stop.signal,
        onItem: async (item) => {
          const parsed = parseExecutionItem(item)
          if (parsed[0] === 'o') return this.#output(id, token, parsed[1], parsed[2], taken)
          size += parsed[1].byteLength
          if (size > limits.MAX_COMPLETION_BYTES) throw new OsError('EPROTO', 'a completion is too large')
          parts.push(parsed[1])
        },
      })
      await this.#completed(event, node, token, concat(parts))
    } catch (error) {
      await this.#failedToRun(event, node, token, toOsError(error))
    } finally {
      leases.gaveBack(node)
    }
  }

  #leaseOf(event: EventState, token: number): Lease {
    const spawned = this.#state.spawned
    if (!spawned) throw new OsError('EIO', 'a process without a beginning')
    const input = this.#state.input(event.id)
    const { program, programCid, cwd, eventMs } = spawned
    return {
      kid: this.kid,
      program,
      programCid,
      cwd,
      event: { id: event.id, task: event.task },
      ...(input.byteLength <= limits.INLINE_INPUT_BYTES ? { input } : {}),
      token,
      eventMs,
    }
  }

  async #completed(event: EventState, node: NodeId, token: number, bytes: Uint8Array): Promise<void> {
    const completion = decodeCompletion(bytes)
    if (this.#ending) return
    if (!completion.ok) return this.#taskFailed(event, node, token, completion.kind, completion.message)
    const problem = this.#state.problem(event.id, token, completion.emits)
    if (problem?.startsWith('gather') || problem?.startsWith('more than')) {
      return this.#end({ state: 'failed', code: 1, error: `task ${event.task}: ${problem}` })
    }
    if (problem) return this.#log('info', `refused a completion of ${event.id} from ${shortNode(node)}: ${problem}`)
    await this.#holdFiles(completion, node)
    if (this.#ending || this.#state.problem(event.id, token, completion.emits)) return
    const { result, emits, ops, exit, ms } = completion
    const atMs = this.#services.clock.wallMs()
    const entry: ProcessEntry = { t: 'completed', event: event.id, token, node, result, emits, ops, exit, ms, atMs }
    if (!(await this.#journalled(entry))) return
    this.#state.apply(entry)
    if (ops.length > 0) await this.#applyFiles(event.id, ops)
    this.#progress()
  }

  /** Blocks of files that the event wrote: a completion counts only when they are here as well. */
  async #holdFiles(completion: Succeeded, node: NodeId): Promise<void> {
    if (node === this.#services.self) return
    await holdFiles(this.#services.blocks, completion.ops, { hints: [node], signal: this.#stop.signal })
  }

  /** @param perhapsMade they may be in the tree already: a restart came between the two. */
  async #applyFiles(event: string, ops: readonly TreeOp[], perhapsMade = false): Promise<void> {
    const { tree } = this.#services
    const { signal } = this.#stop
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          if (!perhapsMade) await tree.apply({ ops }, signal)
          else if (!(await this.#wereMade(ops))) await tree.apply({ ops: ops.map(repeatable) }, signal)
          break
        } catch (error) {
          // Perhaps made, perhaps not: repeated in a form that has the same effect twice.
          perhapsMade = true
          const unanswered = isOsError(error, 'ECONNRESET') || isOsError(error, 'ETIMEDOUT')
          if (!unanswered || attempt === MAX_APPLY_REPEATS) throw error
        }
      }
      this.#record({ t: 'applied', event })
    } catch (error) {
      if (this.#ending) return
      await this.#end({ state: 'failed', code: 1, error: `the files of event ${event}: ${errorLine(error)}` })
    }
  }

  /** Changes are made all or none: one that cannot be repeated tells whether they were. */
  async #wereMade(ops: readonly TreeOp[]): Promise<boolean> {
    for (const [i, op] of ops.entries()) {
      const path = op.op === 'move' ? op.to : op.path
      const telling = op.op === 'move' || (op.op === 'put' && op.exclusive)
      if (!telling || ops.slice(i + 1).some((later) => touches(later, path))) continue
      const there = await this.#lookup(path)
      if (op.op === 'put') return there?.cid === op.cid
      return there !== undefined && (await this.#lookup(op.from)) === undefined
    }
    return false
  }

  async #lookup(path: string) {
    try {
      return await this.#services.tree.lookup(path, this.#stop.signal)
    } catch (error) {
      if (isOsError(error, 'ENOENT') || isOsError(error, 'ENOTDIR')) return undefined
      throw error
    }
  }

  /** `taken` counts what this attempt has sent: what an earlier attempt sent already is dropped. */
  async #output(
    id: string,
    token: number,
    stream: 1 | 2,
    bytes: Uint8Array,
    taken: Record<1 | 2, number>,
  ): Promise<void> {
    if (this.#ending || this.#state.events.get(id)?.token !== token) return
    const before = mutated('repeat-output') ? 0 : (this.#state.taken.get(`${id}/${stream}`) ?? 0)
    const fresh = bytes.subarray(Math.min(bytes.byteLength, Math.max(0, before - taken[stream])))
    taken[stream] += bytes.byteLength
    if (fresh.byteLength === 0) return
    if (this.#state.outputLength(1) + this.#state.outputLength(2) + fresh.byteLength > limits.MAX_OUTPUT_BYTES) {
      const error = `more than ${limits.MAX_OUTPUT_BYTES} bytes of output: write a file instead`
      return this.#end({ state: 'failed', code: 1, error })
    }
    const length = fresh.byteLength
    const entry = { t: 'output' as const, event: id, stream, length }
    const piece: ProcessEntry = { ...entry, ...(await this.#keepOutput(fresh)) }
    // Shown only once it cannot be lost: another home would have to show the same.
    if (!(await this.#journalled(piece))) return
    this.#state.apply(piece)
    this.changed.emit()
  }

  async #keepOutput(bytes: Uint8Array): Promise<{ bytes: Uint8Array } | { cid: string }> {
    if (bytes.byteLength <= INLINE_OUTPUT_BYTES) return { bytes: bytes.slice() }
    const { blocks } = this.#services
    const cid = await blocks.cidOf(RAW, bytes)
    await blocks.putMany([[cid, bytes.slice()]])
    return { cid }
  }

  async #taskFailed(event: EventState, node: NodeId, token: number, kind: string, message: string): Promise<void> {
    if (kind === 'crashed' && this.#lost(event, node, token, 'crashed', message)) return
    await this.#end({ state: 'failed', code: kind === 'program' ? 126 : 1, error: message })
  }

  /** The link or the executor failed, not the task: the event runs again, elsewhere if possible. */
  async #failedToRun(event: EventState, node: NodeId, token: number, error: OsError): Promise<void> {
    if (this.#ending || event.token !== token || event.status !== 'leased') return
    const why = errorLine(error)
    if (error.code === 'ECONNRESET' || error.code === 'EHOSTUNREACH') {
      if (this.#lost(event, node, token, this.#services.died(node) ? 'died' : 'link', why)) return
      return this.#giveUp(event, node)
    }
    if (error.code === 'EFBIG') return this.#end({ state: 'failed', code: 1, error: error.message })
    if ((this.#state.troubles.get(event.id) ?? 0) + 1 >= MAX_TROUBLES) {
      return this.#end({ state: 'failed', code: 1, error: `no node could run task ${event.task}: ${why}` })
    }
    const pauseMs = TROUBLE_PAUSE_MS * ((this.#state.troubles.get(event.id) ?? 0) + 1)
    this.#services.leases.avoid(node, pauseMs)
    const timer = this.#services.clock.setTimer(
      () => {
        this.#timers.delete(timer)
        this.#lost(event, node, token, 'trouble', why)
      },
      pauseMs,
      'event retry',
    )
    this.#timers.add(timer)
  }

  #giveUp(event: EventState, node: NodeId): Promise<void> {
    const message = `task ${event.task} took ${MAX_DEATHS} tabs with it, the last one ${shortNode(node)}`
    return this.#end({ state: 'failed', code: 1, error: `${message}: it is not tried again` })
  }

  /** The event runs again. @returns false when it has taken too many with it: then it must not. */
  #lost(event: EventState, node: NodeId, token: number, kind: Lost['kind'], why: string): boolean {
    const { clock, leases } = this.#services
    const deaths = (this.#state.deaths.get(event.id) ?? 0) + (kind === 'died' || kind === 'crashed' ? 1 : 0)
    this.#log(kind === 'crashed' ? 'warn' : 'info', `event ${event.id} is lost on ${shortNode(node)} (${kind}): ${why}`)
    if (deaths >= MAX_DEATHS) return false
    this.#record({ t: 'lost', event: event.id, token, node, kind, why: why.slice(0, MAX_WHY), atMs: clock.wallMs() })
    leases.pump()
    return true
  }

  /** After any step: repeat unapplied files (replay), end when nothing is left, else ask for room. */
  #progress(): void {
    if (this.#ending) return
    this.changed.emit()
    if (this.#state.exitRequested && !this.#state.ended) {
      void this.#end({ state: 'exited', code: this.#state.exitCode, error: null })
    } else if (this.#state.finished) void this.#end({ state: 'exited', code: 0, error: null })
    else this.#services.leases.pump()
  }

  /** Repeats file changes that were journalled but perhaps not applied before a restart. */
  async reapply(entries: ReadonlyMap<string, readonly TreeOp[]>): Promise<void> {
    for (const id of [...this.#state.unapplied]) await this.#applyFiles(id, entries.get(id) ?? [], true)
    this.#progress()
  }

  async #end(how: Omit<Ended, 'atMs'>): Promise<void> {
    if (this.#ending) return
    this.#ending = true
    const entry: ProcessEntry = { t: 'ended', ...how, atMs: this.#services.clock.wallMs() }
    this.#stop.abort(new OsError('ECANCELED', `process ${shortKid(this.kid)} has ended`))
    for (const timer of this.#timers) timer.cancel()
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
  async #journalled(entry: ProcessEntry): Promise<boolean> {
    try {
      await this.#journal.append([encodeEntry(entry)])
      return this.#moved === undefined
    } catch (error) {
      const moved = isOsError(error, 'EAGAIN') || isOsError(error, 'ECONNRESET') || isOsError(error, 'ECANCELED')
      if (!moved) throw error
      if (!this.#moved) this.#log('info', `it goes on elsewhere: ${errorLine(error)}`)
      this.close()
      return false
    }
  }

  /** Journals and applies at once: for what does no harm when it is lost. A completion counts only after it. */
  #record(entry: ProcessEntry): void {
    this.#state.apply(entry)
    this.#journalled(entry).catch((error: unknown) => {
      void this.#end({ state: 'failed', code: 1, error: `its journal cannot be written: ${errorLine(error)}` })
    })
    if (entry.t === 'applied') this.changed.emit()
  }

  #until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    if (condition()) return Promise.resolve()
    if (this.#moved) return Promise.reject(this.#moved)
    return new Promise((resolve, reject) => {
      const off = this.changed.on(() => {
        if (!condition() && !this.#moved) return
        off()
        signal.removeEventListener('abort', onAbort)
        if (condition()) resolve()
        else reject(this.#moved)
      })
      const onAbort = () => {
        off()
        reject(toOsError(signal.reason, 'ECANCELED'))
      }
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  #log(level: 'info' | 'warn' | 'error', message: string): void {
    this.#services.log.log(level, 'process', `${shortKid(this.kid)}: ${message}`)
  }
}

/** The same change in a form that may have been made already. */
function repeatable(op: TreeOp): TreeOp {
  if (op.op === 'remove') return { ...op, force: true }
  return op.op === 'mkdir' ? { ...op, recursive: true } : op
}

/** Whether the change may alter what stands at `path`. */
function touches(op: TreeOp, path: string): boolean {
  const paths = op.op === 'move' ? [op.from, op.to] : [op.path]
  return paths.some((each) => each === path || path.startsWith(`${each}/`))
}

function findPiece(pieces: readonly { offset: number; length: number }[], offset: number): number {
  let low = 0
  let high = pieces.length - 1
  while (low < high) {
    const middle = (low + high + 1) >>> 1
    if ((pieces[middle]?.offset ?? 0) <= offset) low = middle
    else high = middle - 1
  }
  return low
}
