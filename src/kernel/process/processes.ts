// The table of processes: those at home here, and how to reach the others'. Above: dispatch.ts, /proc.
// Below: home.ts, rpc, the journals.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import { isKidPrefix, type Kid, type NodeId, shortKid } from '../../base/ids.ts'
import { Latest } from '../../base/latest.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Hasher, Signer } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'
import type { ExitStatus, HistoryRow, KernelEvent, ProcessRow } from '../../syscalls/types.ts'
import type { Fs } from '../fs/fs.ts'
import type { Groups, JournalOwner } from '../journal/groups.ts'
import type { Journal, Journalled } from '../journal/journal.ts'
import { unfit } from '../journal/liveness.ts'
import * as limits from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { mutated } from '../mutations.ts'
import { MAX_FOUND, MAX_ROW_ARGS, MAX_ROWS } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { ServeContext } from '../rpc/session.ts'
import { Turns } from '../rpc/turns.ts'
import { pause } from '../timers.ts'
import { decodeEntry } from './entries.ts'
import { fold, holdFolded, unfold } from './fold.ts'
import { type HomeServices, ProcessHome } from './home.ts'
import { holdCompleted } from './large.ts'
import { holdProgram } from './program.ts'
import { PREFIX, Spawning, type SpawnOptions } from './spawning.ts'

/** A reload takes a second or two; a home that stays away longer is reported. */
const HOME_ATTEMPTS = 30
const HOME_PAUSE_MS = 500

export class Processes {
  readonly #services: HomeServices
  readonly #fs: Fs
  readonly #journals: Groups
  readonly #membership: Membership
  readonly #spawning: Spawning
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #rpc: RpcNode
  readonly #onEvent: (event: KernelEvent) => void
  readonly #publishHome: (kid: Kid) => void
  readonly #onEnded: (kid: Kid) => void
  readonly #meeting: () => boolean
  readonly #homes = new Map<Kid, ProcessHome>()
  /** Where processes of others were last seen. */
  readonly #elsewhere = new Latest<NodeId, Kid>(limits.MAX_REMEMBERED_HOMES)
  readonly #progressTimers = new Map<Kid, Timer>()
  readonly #reads = new Turns(limits.MAX_PEER_PIECES)
  readonly #inputs = new Turns(limits.MAX_PEER_PIECES)
  /** Which time this node became the home of a process, while it is. */
  readonly #leading = new Map<Kid, object>()

  constructor(options: {
    services: HomeServices
    fs: Fs
    journals: Groups
    membership: Membership
    hasher: Hasher
    signer: Signer
    random: Random
    onEvent: (event: KernelEvent) => void
    publishHome: (kid: Kid) => void
    /** A process at home here has ended: its workers here may go. */
    onEnded: (kid: Kid) => void
    /** This node has just come and does not know yet everybody who may keep a process. */
    meeting: () => boolean
  }) {
    const { services } = options
    this.#services = services
    this.#rpc = services.rpc
    this.#clock = services.clock
    this.#log = services.log
    this.#fs = options.fs
    this.#journals = options.journals
    this.#membership = options.membership
    this.#spawning = new Spawning({ ...options, self: services.self, clock: services.clock })
    this.#onEvent = options.onEvent
    this.#publishHome = options.publishHome
    this.#onEnded = options.onEnded
    this.#meeting = options.meeting
    this.#serve()
  }

  /** @throws {OsError} ENOENT, EISDIR, EFBIG for the program. */
  async spawn(options: SpawnOptions): Promise<{ kid: Kid; home: NodeId }> {
    const { program, args, signal } = options
    if (args.reduce((sum, arg) => sum + 3 * arg.length, 0) > limits.MAX_ARGS_BYTES) {
      throw new OsError('EFBIG', `the arguments are too long together (${limits.MAX_ARGS_BYTES} bytes): use a file`)
    }
    const { cid: programCid } = await this.#fs.programFile(program, { signal })
    const { kid, problem } = await this.#spawning.spawn(options, programCid)
    const home = problem === undefined ? this.#services.self : await this.#elsewhereAfter(kid, problem, signal)
    if (signal.aborted) {
      await this.kill(kid, new AbortController().signal)
      signal.throwIfAborted()
    }
    if (home === this.#services.self) this.#publishHome(kid)
    this.#forgetOld().catch((error: unknown) => {
      this.#log.log('warn', 'process', `cannot forget processes that ended long ago: ${errorLine(error)}`)
    })
    return { kid, home }
  }

  /** Its beginning could not be written here: perhaps it was elsewhere. @throws {OsError} `problem`, if nobody says so. */
  async #elsewhereAfter(kid: Kid, problem: unknown, signal: AbortSignal): Promise<NodeId> {
    const there = (peer: NodeId, until: AbortSignal) =>
      this.#rpc.call(peer, 'process.history', { kid, after: 0 }, { signal: until })
    try {
      await this.#atHome(kid, signal, (home) => home.history(0), there)
    } catch {
      if (signal.aborted) this.#killWhereverItIs(kid)
      signal.throwIfAborted()
      if (!isOsError(problem, 'ECONNRESET')) throw problem
      throw new OsError('ECONNRESET', 'perhaps it runs, at tabs that cannot be reached now: ps tells when they can')
    }
    return this.#elsewhere.get(kid) ?? this.#services.self
  }

  /** Whoever asked for it has given up before anybody could say whether it runs. */
  #killWhereverItIs(kid: Kid): void {
    this.kill(kid, new AbortController().signal).catch((error: unknown) => {
      this.#log.log('info', 'process', `perhaps ${shortKid(kid)} runs, though it was cancelled: ${errorLine(error)}`)
    })
  }

  /** Processes of the whole cluster, oldest first. Nodes that do not answer in time are left out. */
  async list(signal?: AbortSignal): Promise<ProcessRow[]> {
    const own = [...this.#homes.values()].map((home) => home.row())
    const others = await Promise.all(
      this.#membership.linked().map(async (peer) => {
        try {
          const rows = await this.#rpc.call(peer, 'process.list', null, { signal })
          // A row is about the answering node's own processes, whatever it says.
          const own = rows.filter((row) => !this.#homes.has(row.kid))
          for (const row of own) this.#elsewhere.set(row.kid, peer)
          const here = ownTime(this.#membership.row(peer)?.clockMs ?? 0)
          return own.map((row) => {
            const endedMs = row.endedMs === null ? null : here(row.endedMs)
            return { ...row, home: peer, startedMs: here(row.startedMs), endedMs }
          })
        } catch (error) {
          signal?.throwIfAborted()
          this.#log.log('debug', 'process', `no process list from ${peer}: ${errorLine(error)}`)
          return []
        }
      }),
    )
    return [...own, ...others.flat()].sort((a, b) => a.startedMs - b.startedMs || (a.kid < b.kid ? -1 : 1))
  }

  /** The full KID for what a user typed. @throws {OsError} ESRCH, EINVAL when ambiguous. */
  async resolve(text: string, signal?: AbortSignal): Promise<Kid> {
    if (this.#homes.has(text as Kid) || this.#elsewhere.has(text as Kid)) return text as Kid
    if (!isKidPrefix(text)) throw new OsError('EINVAL', `'${text}' is not a KID: K- and at least four hex digits`)
    const giveUpMs = this.#clock.nowMs() + limits.MEET_MS
    for (;;) {
      const meeting = this.#meeting() // asked first: whoever links during the look has not been asked
      const { kid, certain } = await this.#lookFor(text, signal)
      if (kid) return kid
      const wait = meeting || (!certain && this.#clock.nowMs() < giveUpMs)
      if (!wait) throw new OsError('ESRCH', `there is no process ${text}`)
      await pause(this.#clock, HOME_PAUSE_MS, 'home of a process away', signal)
    }
  }

  /** @returns `certain`: everybody who is linked has answered. */
  async #lookFor(text: string, signal?: AbortSignal): Promise<{ kid: Kid | undefined; certain: boolean }> {
    // Whoever keeps its journal knows it, also while it has no home for a moment.
    const answers = await Promise.allSettled(
      this.#membership.linked().map((peer) => this.#rpc.call(peer, 'process.find', { prefix: text }, { signal })),
    )
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    const kids = [...new Set([...this.#find(text), ...found.filter((kid) => kid.startsWith(text))])].sort()
    const [first, second] = kids
    if (second) throw new OsError('EINVAL', `${text} is ambiguous: ${kids.map((kid) => kid.slice(0, 14)).join(', ')}`)
    return { kid: first, certain: answers.every(({ status }) => status === 'fulfilled') }
  }

  /** Processes whose journal is kept here. */
  #find(prefix: string): Kid[] {
    const names = this.#journals.names(PREFIX + prefix)
    return names.slice(0, MAX_FOUND).map((name) => name.slice(PREFIX.length) as Kid)
  }

  wait(kid: Kid, signal: AbortSignal): Promise<ExitStatus> {
    return this.#atHome(
      kid,
      signal,
      (home) => home.waitExit(signal),
      (peer, until) => this.#rpc.call(peer, 'process.wait', { kid }, { signal: until }),
    )
  }

  kill(kid: Kid, signal: AbortSignal): Promise<boolean> {
    return this.#atHome(
      kid,
      signal,
      (home) => home.kill(),
      (peer, until) => this.#rpc.call(peer, 'process.kill', { kid }, { signal: until }),
    )
  }

  /** Lets it start no more events, or go on. @returns false when it has ended, or did so already. */
  pause(kid: Kid, paused: boolean, signal: AbortSignal): Promise<boolean> {
    return this.#atHome(
      kid,
      signal,
      (home) => home.pause(paused),
      (peer, until) => this.#rpc.call(peer, 'process.pause', { kid, paused }, { signal: until }),
    )
  }

  /** What the journal tells after its entry `after`, some of it; nothing when there is no more. */
  history(kid: Kid, after: number, signal: AbortSignal): Promise<HistoryRow[]> {
    return this.#atHome(
      kid,
      signal,
      (home) => home.history(after),
      (peer, until) => this.#rpc.call(peer, 'process.history', { kid, after }, { signal: until }),
    )
  }

  read(kid: Kid, stream: 1 | 2, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const args = { kid, stream, offset, length: Math.min(length, limits.BLOCK_BYTES) }
    return this.#atHome(
      kid,
      signal,
      (home) => home.read(stream, offset, args.length, signal),
      (peer, until) => this.#rpc.call(peer, 'process.read', args, { signal: until }),
    )
  }

  /** Writes what waits to be written with more. */
  flush(): void {
    for (const home of this.#homes.values()) home.flush()
  }

  close(): void {
    for (const home of this.#homes.values()) home.close()
    for (const timer of this.#progressTimers.values()) timer.cancel()
  }

  /** A node stands still now, or goes on: what it was given may be late. */
  nodeChanged(): void {
    for (const home of this.#homes.values()) home.nodeChanged()
  }

  /** A node left: where its processes are is looked up anew. */
  forgetNode(node: NodeId): void {
    for (const [kid, home] of this.#elsewhere.entries()) if (home === node) this.#elsewhere.delete(kid)
  }

  /** A call that may be repeated, at the process's home; waits while it moves, or its tab is being reloaded. */
  async #atHome<T>(
    kid: Kid,
    signal: AbortSignal,
    here: (home: ProcessHome) => Promise<T>,
    there: (peer: NodeId, until: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      let asked: NodeId | undefined
      try {
        const home = this.#homes.get(kid)
        if (home) return await here(home)
        asked = await this.#homeOf(kid, signal)
        return await this.#whileHome(kid, asked, signal, there)
      } catch (error) {
        signal.throwIfAborted()
        const away = isOsError(error, 'ECONNRESET') || isOsError(error, 'EHOSTUNREACH') || isOsError(error, 'ESRCH')
        if (!away) throw error
        if (this.#elsewhere.get(kid) === asked) this.#elsewhere.delete(kid)
        if (attempt === HOME_ATTEMPTS) {
          const message = `the tabs that keep ${shortKid(kid)} are away: it goes on when they are opened again`
          throw new OsError('EHOSTUNREACH', message, { cause: error })
        }
        await pause(this.#clock, HOME_PAUSE_MS, 'home of a process away', signal)
      }
    }
  }

  /** A node that is frozen or hangs keeps its links and answers nobody: a call there ends when another is the home. */
  async #whileHome<T>(
    kid: Kid,
    peer: NodeId,
    signal: AbortSignal,
    there: (peer: NodeId, until: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const moved = new AbortController()
    const answered = new AbortController()
    const look = async () => {
      const state = this.#membership.row(peer)?.state
      if (state && unfit(state)) await this.list(answered.signal)
      const goesOn = this.#homes.has(kid) || (this.#elsewhere.get(kid) ?? peer) !== peer
      if (goesOn) moved.abort(new OsError('ECONNRESET', `${shortKid(kid)} goes on at another tab`))
      else if (!answered.signal.aborted) timer = this.#clock.setTimer(again, limits.SILENT_MS, 'home answers')
    }
    const again = () => void look().catch(() => undefined) // it has been answered
    let timer = this.#clock.setTimer(again, limits.SILENT_MS, 'home answers')
    try {
      return await there(peer, AbortSignal.any([signal, moved.signal]))
    } catch (error) {
      throw moved.signal.aborted ? moved.signal.reason : error
    } finally {
      answered.abort()
      timer.cancel()
    }
  }

  async #homeOf(kid: Kid, signal: AbortSignal): Promise<NodeId> {
    if (!this.#elsewhere.has(kid)) await this.list(signal)
    const peer = this.#elsewhere.get(kid)
    if (!peer) throw new OsError('ESRCH', `there is no process ${shortKid(kid)}, or the tab that is its home is away`)
    return peer
  }

  #local(kid: Kid): ProcessHome {
    const home = this.#homes.get(kid)
    if (!home) throw new OsError('ESRCH', `process ${shortKid(kid)} is not at home here`)
    return home
  }

  #serve(): void {
    this.#rpc.handle('process.list', async () => shownRows([...this.#homes.values()].map((home) => home.row())))
    this.#rpc.handle('process.find', async ({ prefix }) => this.#find(prefix))
    this.#rpc.handle('process.wait', ({ kid }, { signal }) => this.#local(kid).waitExit(signal))
    this.#rpc.handle('process.kill', ({ kid }) => this.#local(kid).kill())
    this.#rpc.handle('process.pause', ({ kid, paused }) => this.#local(kid).pause(paused))
    this.#rpc.handle('process.history', ({ kid, after }) => this.#local(kid).history(after))
    this.#rpc.handle('process.room', ({ kid, event, token }, { signal }) => this.#local(kid).room(event, token, signal))
    this.#rpc.handle('process.read', ({ kid, stream, offset, length }, { peer, signal }) => {
      const inTurn = <T>(work: () => Promise<T>) => this.#reads.take(peer, signal, work)
      return this.#local(kid).read(stream, offset, length, signal, inTurn)
    })
    this.#rpc.handle('process.input', async ({ kid, event }, context) => {
      await this.#inputs.take(context.peer, context.signal, () => this.#sendInput(kid, event, context))
      return null
    })
  }

  async #sendInput(kid: Kid, event: string, { item }: ServeContext): Promise<void> {
    const bytes = this.#local(kid).input(event)
    for (let at = 0; at < bytes.byteLength; at += limits.ITEM_BYTES) {
      await item(bytes.subarray(at, at + limits.ITEM_BYTES))
    }
  }

  /** What the journals of processes mean, and who keeps them; see JournalOwner. */
  get owner(): JournalOwner {
    return {
      lead: (name, journal, before) => {
        const kid = name.slice(PREFIX.length) as Kid
        this.#lead(kid, journal, before).catch((error: unknown) => {
          this.#log.log('error', 'process', `the journal ${name} cannot be replayed: ${errorLine(error)}`)
          // Another member may have what this one lacks.
          this.#journals.find(name)?.handOver()
        })
      },
      follow: (name, leader) => this.#follow(name.slice(PREFIX.length) as Kid, leader),
      hold: (_kind, bytes, from) => this.#hold(bytes, from),
      fold: (before) => fold(before, this.#services.blocks),
    }
  }

  async #lead(kid: Kid, journal: Journal, before: Journalled): Promise<void> {
    const name = PREFIX + kid
    const led = {}
    this.#leading.set(kid, led)
    const beginning = this.#spawning.first(kid, journal)
    const { state } = await unfold(before, this.#services.blocks)
    // Nothing of it runs before it is certain that it begins.
    if (beginning && !(await beginning.written)) return this.#unlead(kid, led)
    // Another node may have taken over meanwhile.
    if (this.#leading.get(kid) !== led) return
    if (state.spawned?.kid !== kid) throw new OsError('EIO', 'it does not begin with the process')
    if (beginning) state.apply(beginning.step)
    else if (before.entries.length === 0 && decodeEntry(before.snapshot).t === 'spawned') {
      // Whoever began it may have done so again under another name.
      this.#log.log('info', 'process', `${shortKid(kid)} has not begun: nobody was told of it`)
      this.#unlead(kid, led)
      return await this.#journals.retire(name)
    }
    const home = this.#adopt(new ProcessHome(kid, journal, state, this.#services))
    if (state.ended) return
    const { done, total } = state.events
    if (!beginning) {
      this.#log.log('info', 'process', `${shortKid(kid)} goes on here: ${done} of ${total} events are done`)
      home.took('the node that was its home is away')
    }
    await home.resume()
  }

  #unlead(kid: Kid, led: object): void {
    if (this.#leading.get(kid) === led) this.#leading.delete(kid)
  }

  #follow(kid: Kid, leader: NodeId | undefined): void {
    if (leader !== undefined && leader !== this.#services.self) this.#elsewhere.set(kid, leader)
    this.#leading.delete(kid)
    const home = this.#homes.get(kid)
    if (!home) return
    this.#homes.delete(kid)
    this.#services.leases.remove(home)
    this.#progressTimers.get(kid)?.cancel()
    this.#progressTimers.delete(kid)
    this.#onEnded(kid)
    home.close()
  }

  /** A process survives its home only with its program, its output and the files that its events wrote. */
  #hold(bytes: Uint8Array, from: NodeId): Promise<void> | undefined {
    const entry = decodeEntry(bytes)
    const { blocks } = this.#services
    if (mutated('skip-hold')) return undefined
    if (entry.t === 'output' && entry.cid !== undefined) return blocks.hold([entry.cid], { hints: [from] })
    if (entry.t === 'completed' && (entry.parts || entry.ops.some(({ op }) => op === 'put')))
      return holdCompleted(entry, blocks, from)
    if (entry.t === 'folded') return holdFolded(entry, blocks, from)
    if (entry.t !== 'spawned') return undefined
    return holdProgram(blocks, entry.programCid, from)
  }

  #adopt(home: ProcessHome): ProcessHome {
    this.#homes.set(home.kid, home)
    this.#services.leases.add(home)
    home.changed.on(() => this.#progressed(home))
    return home
  }

  /** Progress for people: the first and the last at once, others at most every PROGRESS_MS. */
  #progressed(home: ProcessHome): void {
    const { kid } = home
    const send = () => {
      this.#progressTimers.get(kid)?.cancel()
      this.#progressTimers.delete(kid)
      const { state, done, total } = home.row()
      this.#onEvent({ type: 'process', kid, state, done, total })
    }
    if (home.ended) {
      this.#services.leases.remove(home)
      this.#onEnded(kid)
      send()
    } else if (!this.#progressTimers.has(kid)) {
      this.#progressTimers.set(kid, this.#clock.setTimer(send, limits.PROGRESS_MS, 'progress'))
    }
  }

  async #forgetOld(): Promise<void> {
    const ended = [...this.#homes.values()].filter((home) => home.ended)
    ended.sort((a, b) => (a.ended?.atMs ?? 0) - (b.ended?.atMs ?? 0))
    for (const home of ended.slice(0, Math.max(0, ended.length - limits.MAX_ENDED_PROCESSES))) {
      this.#homes.delete(home.kid)
      this.#leading.delete(home.kid)
      await this.#journals.retire(PREFIX + home.kid)
    }
  }
}

/** What a node's wall clock has shown, as that of this node: a home may be an hour ahead or behind. */
function ownTime(aheadMs: number): (theirMs: number) => number {
  return (theirMs) => Math.max(0, theirMs - aheadMs)
}

/** The newest rows that fit one answer, with long arguments and errors cut. */
function shownRows(rows: readonly ProcessRow[]): ProcessRow[] {
  const shown: ProcessRow[] = []
  let bytes = 0
  for (const row of [...rows].reverse()) {
    const args: string[] = []
    let chars = 0
    for (const arg of row.args) {
      if (chars + arg.length > limits.MAX_ROW_CHARS || args.length === MAX_ROW_ARGS) {
        args.push('…')
        break
      }
      chars += arg.length
      args.push(arg)
    }
    const error = row.error?.slice(0, limits.MAX_ROW_CHARS) ?? null
    // At most three bytes a character in UTF-8, and some room for the rest of the row.
    bytes += 3 * (chars + row.program.length + (error?.length ?? 0)) + 8 * args.length + 500
    if (bytes > limits.MAX_ROWS_BYTES || shown.length === MAX_ROWS) break
    shown.push({ ...row, args, error })
  }
  return shown.reverse()
}
