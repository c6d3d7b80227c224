// Processes, wherever they are: begun here, asked at their homes, and waited for while those move. Above: dispatch.ts, /proc.
// Below: homes.ts, rpc.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import { isKidPrefix, type Kid, type NodeId, shortKid } from '../../base/ids.ts'
import { Latest } from '../../base/latest.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher, Signer } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'
import type { ExitStatus, HistoryRow, KernelEvent, ProcessRow } from '../../syscalls/types.ts'
import type { Fs } from '../fs/fs.ts'
import type { Groups, JournalOwner } from '../journal/groups.ts'
import * as limits from '../limits.ts'
import { unfit } from '../membership/member.ts'
import type { Membership } from '../membership/membership.ts'
import type { RpcNode } from '../rpc/node.ts'
import { pause } from '../timers.ts'
import type { HomeServices, ProcessHome } from './home.ts'
import { Homes } from './homes.ts'
import { Spawning, type SpawnOptions } from './spawning.ts'

/** A reload takes a second or two; a home that stays away longer is reported. */
const HOME_ATTEMPTS = 30
const HOME_PAUSE_MS = 500

export class Processes {
  readonly #services: HomeServices
  readonly #fs: Fs
  readonly #membership: Membership
  readonly #spawning: Spawning
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #rpc: RpcNode
  readonly #publishHome: (kid: Kid) => void
  readonly #meeting: () => boolean
  readonly #homes: Homes
  /** Where processes of others were last seen. */
  readonly #elsewhere = new Latest<NodeId, Kid>(limits.MAX_REMEMBERED_HOMES)

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
    this.#membership = options.membership
    this.#spawning = new Spawning({ ...options, self: services.self, clock: services.clock })
    this.#publishHome = options.publishHome
    this.#meeting = options.meeting
    this.#homes = new Homes({
      ...options,
      spawning: this.#spawning,
      onElsewhere: (kid, node) => this.#elsewhere.set(kid, node),
    })
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
    this.#homes.forgetOld().catch((error: unknown) => {
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

  /** Processes of the whole cluster, oldest first. Nodes that do not answer are left out. */
  async list(signal?: AbortSignal): Promise<ProcessRow[]> {
    const own = this.#homes.rows()
    const others = await Promise.all(
      this.#membership.answering().map(async (peer) => {
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
    const asked = this.#membership.answering()
    const all = asked.length === this.#membership.linked().length
    const answers = await Promise.allSettled(
      asked.map((peer) => this.#rpc.call(peer, 'process.find', { prefix: text }, { signal })),
    )
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
    const kids = [...new Set([...this.#homes.find(text), ...found.filter((kid) => kid.startsWith(text))])].sort()
    const [first, second] = kids
    if (second) throw new OsError('EINVAL', `${text} is ambiguous: ${kids.map((kid) => kid.slice(0, 14)).join(', ')}`)
    return { kid: first, certain: all && answers.every(({ status }) => status === 'fulfilled') }
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

  /** What the journals of processes mean, and who keeps them. */
  get owner(): JournalOwner {
    return this.#homes.owner
  }

  /** Writes what waits to be written with more. */
  flush(): void {
    this.#homes.flush()
  }

  close(): void {
    this.#homes.close()
  }

  /** A node stands still now, or goes on: what it was given may be late. */
  nodeChanged(): void {
    this.#homes.nodeChanged()
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
}

/** What a node's wall clock has shown, as that of this node: a home may be an hour ahead or behind. */
function ownTime(aheadMs: number): (theirMs: number) => number {
  return (theirMs) => Math.max(0, theirMs - aheadMs)
}
