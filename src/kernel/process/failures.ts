// What becomes of an event that did not complete: it runs again, after a pause or elsewhere, or the process ends with it.
// Above: home.ts. Below: state.ts (what the journal means), leases.ts.
import { errorLine, type OsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Timers } from '../timers.ts'
import type { Attempt } from './attempts.ts'
import type { EntryOf, ProcessStep } from './entries.ts'
import type { EventState } from './events.ts'
import type { Leases } from './leases.ts'
import type { Ended, ProcessState } from './state.ts'

/** An event that took this many workers or tabs with it ends the process: it would take every tab down in turn. */
const MAX_DEATHS = 3
/** Trouble with one event, of executors (not of links) or with what it needs, before the process fails with it. */
const MAX_TROUBLES = 6
const TROUBLE_PAUSE_MS = 250
/** Characters of a reason that the journal keeps. */
const MAX_WHY = 300

export interface FailuresOptions {
  state: ProcessState
  clock: Clock
  timers: Timers
  leases: Pick<Leases, 'pump' | 'avoid'>
  /** The node left, and without saying so. */
  died(node: NodeId): boolean
  /** It may still complete its event: it holds its lease, and no other run was accepted meanwhile. */
  counts(attempt: Attempt): boolean
  /** The process has ended, or is at home elsewhere. */
  ending(): boolean
  /** Journals and applies. */
  record(step: ProcessStep): void
  end(how: Omit<Ended, 'atMs'>): Promise<void>
  log(level: 'info' | 'warn', message: string): void
}

export class Failures {
  readonly #options: FailuresOptions

  constructor(options: FailuresOptions) {
    this.#options = options
  }

  /** Of what was leased when another home, or this one before, stopped. */
  afterMove(events: readonly EventState[]): void {
    const { died, ending } = this.#options
    for (const event of events) {
      for (const { token, node } of [...event.leases]) {
        // Only its former home could have taken the completion.
        const kind = died(node) ? 'died' : 'link'
        if (ending()) return
        if (!this.#lost(event, node, token, kind, 'the process moved to another home')) void this.#giveUp(event, node)
      }
    }
  }

  /** The task, or the worker that ran it, has failed. */
  async ofTask(attempt: Attempt, kind: string, message: string): Promise<void> {
    const { of: event, node, token } = attempt
    const { counts, end } = this.#options
    if (!counts(attempt)) return
    if (kind === 'crashed' && this.#lost(event, node, token, 'crashed', message)) return
    const troubles = this.#troublesOf(event)
    // Nobody's fault: the nodes that have what it needs may be back, or another node may reach them.
    if (kind === 'away' && troubles < MAX_TROUBLES)
      return this.#retry(attempt, TROUBLE_PAUSE_MS * 2 ** troubles, message)
    await end({ state: 'failed', code: kind === 'program' ? 126 : 1, error: message })
  }

  /** The link or the executor failed, not the task: the event runs again, elsewhere if possible. */
  async ofCall(attempt: Attempt, error: OsError): Promise<void> {
    const { of: event, node, token, state: at } = attempt
    const { leases, died, ending, counts } = this.#options
    if (ending() || !counts(attempt)) return
    const why = errorLine(error)
    if (error.code === 'ECONNRESET' || error.code === 'EHOSTUNREACH') {
      const kind = at === 'running' && died(node) ? 'died' : 'link'
      return this.#lost(event, node, token, kind, why) ? undefined : this.#giveUp(event, node)
    }
    if (error.code === 'EFBIG') return this.#fail(error.message)
    const troubles = this.#troublesOf(event)
    if (troubles >= MAX_TROUBLES) return this.#fail(`no node could run task ${event.task}: ${why}`)
    // Longer than the event waits: it should not go there again at once.
    leases.avoid(node, 2 * TROUBLE_PAUSE_MS * troubles)
    this.#retry(attempt, TROUBLE_PAUSE_MS * troubles, why)
  }

  /** Of that event, with the one that it has now. */
  #troublesOf({ id }: EventState): number {
    return (this.#options.state.troubles.get(id) ?? 0) + 1
  }

  /** The event runs again after a pause. */
  #retry({ of: event, node, token }: Attempt, pauseMs: number, why: string): void {
    this.#options.timers.after(pauseMs, 'event retry', () => {
      this.#lost(event, node, token, 'trouble', why)
    })
  }

  #giveUp(event: EventState, node: NodeId): Promise<void> {
    const message = `task ${event.task} took ${MAX_DEATHS} tabs with it, the last one ${shortNode(node)}`
    return this.#fail(`${message}: it is not tried again`)
  }

  #fail(error: string): Promise<void> {
    return this.#options.end({ state: 'failed', code: 1, error })
  }

  /** The event runs again. @returns false when it has taken too many with it: then it must not. */
  #lost(event: EventState, node: NodeId, token: number, kind: EntryOf<'lost'>['kind'], why: string): boolean {
    const { state, clock, leases, record, log } = this.#options
    const { id, task } = event
    const deaths = (state.deaths.get(id) ?? 0) + (kind === 'died' || kind === 'crashed' ? 1 : 0)
    log(kind === 'crashed' ? 'warn' : 'info', `event ${id} is lost on ${shortNode(node)} (${kind}): ${why}`)
    if (deaths >= MAX_DEATHS) return false
    record({ t: 'lost', event: id, task, token, node, kind, why: why.slice(0, MAX_WHY), atMs: clock.wallMs() })
    leases.pump()
    return true
  }
}
