// The table of processes: those at home here, and how to reach the others'. Above: dispatch.ts, /proc.
// Below: home.ts, rpc, the journals.
import { encode } from 'cborg'
import { toHex } from '../../base/bytes.ts'
import { errorLine, isOsError, OsError, toOsError } from '../../base/errors.ts'
import { isKidPrefix, type Kid, kidFromHex, type NodeId, shortKid } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { Hasher, Signer } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'
import type { ExitStatus, KernelEvent, ProcessRow } from '../../syscalls/types.ts'
import type { Fs } from '../fs/fs.ts'
import type { Journals } from '../journal/journal.ts'
import * as limits from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { MAX_ROW_ARGS, MAX_ROWS, type TreeOp } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import { encodeData } from './data.ts'
import { type HomeServices, ProcessHome } from './home.ts'
import { decodeEntry, encodeEntry, type ProcessEntry, ProcessState } from './state.ts'

const PREFIX = 'process/'
/** A reload takes a second or two; a home that stays away longer is reported. */
const HOME_ATTEMPTS = 30
const HOME_PAUSE_MS = 500

export interface SpawnOptions {
  program: string
  args: string[]
  cwd: string
  eventMs: number
  signal: AbortSignal
}

export class Processes {
  readonly #services: HomeServices
  readonly #fs: Fs
  readonly #journals: Journals
  readonly #membership: Membership
  readonly #hasher: Hasher
  readonly #signer: Signer
  readonly #random: Random
  readonly #clock: Clock
  readonly #log: LogSink
  readonly #rpc: RpcNode
  readonly #onEvent: (event: KernelEvent) => void
  readonly #publishHome: (kid: Kid) => void
  readonly #onEnded: (kid: Kid) => void
  readonly #homes = new Map<Kid, ProcessHome>()
  /** Where processes of others were last seen. */
  readonly #elsewhere = new Map<Kid, NodeId>()
  readonly #progressTimers = new Map<Kid, Timer>()

  constructor(options: {
    services: HomeServices
    fs: Fs
    journals: Journals
    membership: Membership
    hasher: Hasher
    signer: Signer
    random: Random
    onEvent: (event: KernelEvent) => void
    publishHome: (kid: Kid) => void
    /** A process at home here has ended: its workers here may go. */
    onEnded: (kid: Kid) => void
  }) {
    const { services } = options
    this.#services = services
    this.#rpc = services.rpc
    this.#clock = services.clock
    this.#log = services.log
    this.#fs = options.fs
    this.#journals = options.journals
    this.#membership = options.membership
    this.#hasher = options.hasher
    this.#signer = options.signer
    this.#random = options.random
    this.#onEvent = options.onEvent
    this.#publishHome = options.publishHome
    this.#onEnded = options.onEnded
    this.#serve()
  }

  /** Replays the journals of this node: what ran before a reload goes on. */
  async start(): Promise<void> {
    const names = await this.#journals.list(PREFIX)
    for (const name of names) {
      try {
        await this.#replay(name)
      } catch (error) {
        this.#log.log('error', 'process', `the journal ${name} cannot be replayed: ${errorLine(error)}`)
      }
    }
    await this.#forgetOld()
  }

  /** @throws {OsError} ENOENT, EISDIR, EFBIG for the program. */
  async spawn(options: SpawnOptions): Promise<{ kid: Kid; home: NodeId }> {
    const { program, args, cwd, eventMs, signal } = options
    const file = await this.#fs.programFile(program, { signal })
    const home = this.#services.self
    const atMs = this.#clock.wallMs()
    const nonce = this.#random.bytes(16)
    const genesis = encode({ t: 'process', v: 1, program: file.cid, args, cwd, home, atMs, nonce })
    const kid = kidFromHex(toHex(await this.#hasher.sha256(genesis)))
    const signature = await this.#signer.sign(genesis)
    const data = encodeData({ args, cwd })
    const entry: ProcessEntry = {
      t: 'spawned',
      kid,
      program,
      programCid: file.cid,
      args,
      cwd,
      home,
      atMs,
      eventMs,
      data,
      genesis,
      signature,
    }
    const { journal } = await this.#journals.open(PREFIX + kid)
    await journal.append([encodeEntry(entry)])
    const state = new ProcessState()
    state.apply(entry)
    this.#adopt(new ProcessHome(kid, journal, state, this.#services)).resume()
    this.#publishHome(kid)
    this.#forgetOld().catch((error: unknown) => {
      this.#log.log('warn', 'process', `cannot forget processes that ended long ago: ${errorLine(error)}`)
    })
    return { kid, home }
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
          for (const row of own) this.#remember(row.kid, peer)
          return own.map((row) => ({ ...row, home: peer }))
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
    const matches = (await this.list(signal)).filter((row) => row.kid.startsWith(text))
    const [first, second] = matches
    if (!first) throw new OsError('ESRCH', `there is no process ${text}`)
    if (second)
      throw new OsError('EINVAL', `${text} is ambiguous: ${matches.map((row) => row.kid.slice(0, 14)).join(', ')}`)
    return first.kid
  }

  async wait(kid: Kid, signal: AbortSignal): Promise<ExitStatus> {
    const home = this.#homes.get(kid)
    if (home) return home.waitExit(signal)
    return this.#atHome(kid, signal, (peer) => this.#rpc.call(peer, 'process.wait', { kid }, { signal }))
  }

  async kill(kid: Kid, signal: AbortSignal): Promise<boolean> {
    const home = this.#homes.get(kid)
    if (home) return home.kill()
    return this.#rpc.call(await this.#homeOf(kid, signal), 'process.kill', { kid }, { signal })
  }

  async read(kid: Kid, stream: 1 | 2, offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    const home = this.#homes.get(kid)
    const most = Math.min(length, limits.BLOCK_BYTES)
    if (home) return home.read(stream, offset, most, signal)
    const args = { kid, stream, offset, length: most }
    return this.#atHome(kid, signal, (peer) => this.#rpc.call(peer, 'process.read', args, { signal }))
  }

  close(): void {
    for (const home of this.#homes.values()) home.close()
    for (const timer of this.#progressTimers.values()) timer.cancel()
  }

  /** A node left: where its processes are is looked up anew. */
  forgetNode(node: NodeId): void {
    for (const [kid, home] of this.#elsewhere) if (home === node) this.#elsewhere.delete(kid)
  }

  #remember(kid: Kid, home: NodeId): void {
    this.#elsewhere.delete(kid)
    this.#elsewhere.set(kid, home)
    for (const oldest of this.#elsewhere.keys()) {
      if (this.#elsewhere.size <= limits.MAX_REMEMBERED_HOMES) return
      this.#elsewhere.delete(oldest)
    }
  }

  /** A call that may be repeated, at the process's home; waits for a home whose tab is being reloaded. */
  async #atHome<T>(kid: Kid, signal: AbortSignal, call: (peer: NodeId) => Promise<T>): Promise<T> {
    let reached = false
    for (let attempt = 0; ; attempt++) {
      try {
        const peer = await this.#homeOf(kid, signal)
        reached = true
        return await call(peer)
      } catch (error) {
        signal.throwIfAborted()
        const away = isOsError(error, 'ECONNRESET') || isOsError(error, 'EHOSTUNREACH') || isOsError(error, 'ESRCH')
        if (!away || !reached) throw error
        this.#elsewhere.delete(kid)
        if (attempt === HOME_ATTEMPTS) {
          const message = `the tab that is the home of ${shortKid(kid)} is away: it goes on when that tab is opened again`
          throw new OsError('EHOSTUNREACH', message, { cause: error })
        }
        await this.#pause(HOME_PAUSE_MS, signal)
      }
    }
  }

  #pause(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        timer.cancel()
        reject(toOsError(signal.reason, 'ECANCELED'))
      }
      const done = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const timer = this.#clock.setTimer(done, delayMs, 'home of a process away')
      signal.addEventListener('abort', onAbort, { once: true })
    })
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
    this.#rpc.handle('process.wait', ({ kid }, { signal }) => this.#local(kid).waitExit(signal))
    this.#rpc.handle('process.kill', ({ kid }) => this.#local(kid).kill())
    this.#rpc.handle('process.read', ({ kid, stream, offset, length }, { signal }) =>
      this.#local(kid).read(stream, offset, length, signal),
    )
    this.#rpc.handle('process.input', async ({ kid, event }, context) => {
      const bytes = this.#local(kid).input(event)
      for (let at = 0; at < bytes.byteLength; at += limits.ITEM_BYTES) {
        await context.item(bytes.subarray(at, at + limits.ITEM_BYTES))
      }
      return null
    })
  }

  async #replay(name: string): Promise<void> {
    const { journal, entries } = await this.#journals.open(name)
    const state = new ProcessState()
    const files = new Map<string, TreeOp[]>()
    for (const raw of entries) {
      const entry = decodeEntry(raw)
      state.apply(entry)
      if (entry.t === 'completed' && entry.ops.length > 0) files.set(entry.event, entry.ops)
    }
    if (!state.spawned) return this.#journals.remove(name)
    const home = this.#adopt(new ProcessHome(state.spawned.kid, journal, state, this.#services))
    if (state.ended) return
    this.#log.log(
      'info',
      'process',
      `${shortKid(home.kid)} goes on after a restart: ${state.done} of ${state.total} done`,
    )
    home.resume()
    // Not awaited: the tree's home may be elsewhere, and this node must have started to reach it.
    home.reapply(files).catch((error: unknown) => {
      this.#log.log('error', 'process', `${shortKid(home.kid)} cannot go on: ${errorLine(error)}`)
    })
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
      await this.#journals.remove(PREFIX + home.kid)
    }
  }
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
