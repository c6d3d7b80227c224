// The processes that are at home here: whose journals this node leads. What their journals mean, what they tell of themselves, and
// what others may ask of them. Above: processes.ts. Below: home.ts, the journals, rpc.
import { errorLine, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid } from '../../base/ids.ts'
import type { Timer } from '../../ports/clock.ts'
import type { KernelEvent, ProcessRow } from '../../syscalls/types.ts'
import type { Groups, JournalOwner } from '../journal/groups.ts'
import type { Journal, Journalled } from '../journal/journal.ts'
import * as limits from '../limits.ts'
import { mutated } from '../mutations.ts'
import { MAX_FOUND, MAX_ROW_ARGS, MAX_ROWS } from '../rpc/bodies.ts'
import type { ServeContext } from '../rpc/session.ts'
import { Turns } from '../rpc/turns.ts'
import { decodeEntry } from './entries.ts'
import { fold, holdFolded, unfold } from './fold.ts'
import { type HomeServices, ProcessHome } from './home.ts'
import { holdCompleted } from './large.ts'
import { holdProgram } from './program.ts'
import { PREFIX, type Spawning } from './spawning.ts'

export interface HomesOptions {
  services: HomeServices
  journals: Groups
  /** Those that begin here. */
  spawning: Spawning
  onEvent: (event: KernelEvent) => void
  /** A process at home here has ended: its workers here may go. */
  onEnded: (kid: Kid) => void
  /** Another node is the home of a process. */
  onElsewhere: (kid: Kid, node: NodeId) => void
}

export class Homes {
  readonly #options: HomesOptions
  readonly #services: HomeServices
  readonly #homes = new Map<Kid, ProcessHome>()
  /** Which time this node became the home of a process, while it is. */
  readonly #leading = new Map<Kid, object>()
  readonly #progressTimers = new Map<Kid, Timer>()
  readonly #reads = new Turns(limits.MAX_PEER_PIECES)
  readonly #inputs = new Turns(limits.MAX_PEER_PIECES)

  constructor(options: HomesOptions) {
    this.#options = options
    this.#services = options.services
    this.#serve()
  }

  has(kid: Kid): boolean {
    return this.#homes.has(kid)
  }

  get(kid: Kid): ProcessHome | undefined {
    return this.#homes.get(kid)
  }

  rows(): ProcessRow[] {
    return [...this.#homes.values()].map((home) => home.row())
  }

  /** Processes whose journal is kept here, also by another home. */
  find(prefix: string): Kid[] {
    const names = this.#options.journals.names(PREFIX + prefix)
    return names.slice(0, MAX_FOUND).map((name) => name.slice(PREFIX.length) as Kid)
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

  /** The newest that have ended are kept. */
  async forgetOld(): Promise<void> {
    const ended = [...this.#homes.values()].filter((home) => home.ended)
    ended.sort((a, b) => (a.ended?.atMs ?? 0) - (b.ended?.atMs ?? 0))
    for (const home of ended.slice(0, Math.max(0, ended.length - limits.MAX_ENDED_PROCESSES))) {
      this.#homes.delete(home.kid)
      this.#leading.delete(home.kid)
      await this.#options.journals.retire(PREFIX + home.kid)
    }
  }

  /** What the journals of processes mean, and who keeps them; see JournalOwner. */
  get owner(): JournalOwner {
    return {
      lead: (name, journal, before) => {
        const kid = name.slice(PREFIX.length) as Kid
        this.#lead(kid, journal, before).catch((error: unknown) => {
          this.#services.log.log('error', 'process', `the journal ${name} cannot be replayed: ${errorLine(error)}`)
          // Another member may have what this one lacks.
          this.#options.journals.find(name)?.handOver()
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
    const beginning = this.#options.spawning.first(kid, journal)
    const { state } = await unfold(before, this.#services.blocks)
    // Nothing of it runs before it is certain that it begins.
    if (beginning && !(await beginning.written)) return this.#unlead(kid, led)
    // Another node may have taken over meanwhile.
    if (this.#leading.get(kid) !== led) return
    if (state.spawned?.kid !== kid) throw new OsError('EIO', 'it does not begin with the process')
    if (beginning) state.apply(beginning.step)
    else if (before.entries.length === 0 && decodeEntry(before.snapshot).t === 'spawned') {
      // Whoever began it may have done so again under another name.
      this.#services.log.log('info', 'process', `${shortKid(kid)} has not begun: nobody was told of it`)
      this.#unlead(kid, led)
      return await this.#options.journals.retire(name)
    }
    const home = this.#adopt(new ProcessHome(kid, journal, state, this.#services))
    if (state.ended) return
    const { done, total } = state.events
    if (!beginning) {
      this.#services.log.log('info', 'process', `${shortKid(kid)} goes on here: ${done} of ${total} events are done`)
      home.took('the node that was its home is away')
    }
    await home.resume()
  }

  #unlead(kid: Kid, led: object): void {
    if (this.#leading.get(kid) === led) this.#leading.delete(kid)
  }

  #follow(kid: Kid, leader: NodeId | undefined): void {
    if (leader !== undefined && leader !== this.#services.self) this.#options.onElsewhere(kid, leader)
    this.#leading.delete(kid)
    const home = this.#homes.get(kid)
    if (!home) return
    this.#homes.delete(kid)
    this.#services.leases.remove(home)
    this.#progressTimers.get(kid)?.cancel()
    this.#progressTimers.delete(kid)
    this.#options.onEnded(kid)
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
    if (!home.ended) this.#services.leases.add(home)
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
      this.#options.onEvent({ type: 'process', kid, state, done, total })
    }
    if (home.ended) {
      this.#services.leases.remove(home)
      this.#options.onEnded(kid)
      send()
    } else if (!this.#progressTimers.has(kid)) {
      this.#progressTimers.set(kid, this.#services.clock.setTimer(send, limits.PROGRESS_MS, 'progress'))
    }
  }

  #local(kid: Kid): ProcessHome {
    const home = this.#homes.get(kid)
    if (!home) throw new OsError('ESRCH', `process ${shortKid(kid)} is not at home here`)
    return home
  }

  #serve(): void {
    const { rpc } = this.#services
    rpc.handle('process.list', async () => shownRows(this.rows()))
    rpc.handle('process.find', async ({ prefix }) => this.find(prefix))
    rpc.handle('process.wait', ({ kid }, { signal }) => this.#local(kid).waitExit(signal))
    rpc.handle('process.kill', ({ kid }) => this.#local(kid).kill())
    rpc.handle('process.pause', ({ kid, paused }) => this.#local(kid).pause(paused))
    rpc.handle('process.history', ({ kid, after }) => this.#local(kid).history(after))
    rpc.handle('process.room', ({ kid, event, token }, { signal }) => this.#local(kid).room(event, token, signal))
    rpc.handle('process.read', ({ kid, stream, offset, length }, { peer, signal }) => {
      const inTurn = <T>(work: () => Promise<T>) => this.#reads.take(peer, signal, work)
      return this.#local(kid).read(stream, offset, length, signal, inTurn)
    })
    rpc.handle('process.input', async ({ kid, event }, context) => {
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
