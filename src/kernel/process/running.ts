// Which of a process's events run where: what is ready takes the room that the leases offer, and what is late gets company.
// Above: home.ts. Below: attempts.ts, leases.ts, lease-call.ts.
import { type OsError, toOsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import * as limits from '../limits.ts'
import type { Lease } from '../rpc/bodies.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { Attempt, Attempts } from './attempts.ts'
import type { EntryOf, ProcessStep } from './entries.ts'
import type { EventState } from './events.ts'
import { LeaseCall } from './lease-call.ts'
import { LeaseShare } from './lease-share.ts'
import type { Leases, Lessee } from './leases.ts'
import type { QueueRoom } from './queue-room.ts'
import type { Placement } from './schedule.ts'
import type { ProcessState } from './state.ts'

export interface RunningOptions {
  kid: Kid
  lessee: Lessee
  state: ProcessState
  attempts: Attempts
  room: QueueRoom
  leases: Leases
  rpc: RpcNode
  clock: Clock
  /** Aborted when nothing runs any more. */
  stop: AbortSignal
  record: (step: ProcessStep) => void
  printed: (attempt: Attempt, stream: 1 | 2, bytes: Uint8Array) => Promise<void>
  completed: (attempt: Attempt, bytes: Uint8Array) => void
  /** Its node did not answer, or not as it should. */
  failed: (attempt: Attempt, error: OsError) => Promise<void>
}

export class Running {
  readonly #options: RunningOptions

  constructor(options: RunningOptions) {
    this.#options = options
  }

  /** Whether one more event may run there. */
  allows(node: NodeId): boolean {
    const { state, attempts, leases } = this.#options
    const most = state.spawned?.bounds?.nodes
    if (most === undefined) return true
    const working = attempts.nodes()
    if (working.has(node)) return true
    // What stands still does not work: else all that the process may have could be laptops that are closed.
    const still = leases.still()
    return [...working].filter((id) => !still.has(id)).length < most
  }

  /** Takes room offered by the leases: starts the next ready event there, or several that are short. */
  lease(placement: Placement): void {
    const { state, attempts } = this.#options
    const { events } = state
    // While there is always something to start, no slot is ever idle: what stands still comes first then.
    const stuck = attempts.stuck()
    if (stuck) return this.#help([stuck], placement)
    const share = new LeaseShare(Math.ceil(events.readyCount / placement.rooms), (task) => attempts.runsMs(task))
    const leased: EventState[] = []
    for (let event = events.firstReady(); event; event = events.firstReady()) {
      if (!share.take(event, state.inputBytes(event))) break
      this.#assign(event, placement)
      leased.push(event)
    }
    if (leased.length > 0) this.#start(leased, placement)
  }

  /** When nothing is left to start, whoever is much later than the others gets company: the first completion wins. */
  watchLate(): void {
    if (!this.#idle()) return
    const { attempts, state, leases, lessee } = this.#options
    attempts.watchLate((late) => {
      if (!this.#idle()) return
      const [first] = late as [Attempt]
      // What only waits behind another may run on another slot of the same node.
      const spare = leases.spare(lessee, attempts.runsNow(first) ? first.node : undefined)
      if (!spare) return
      const share = new LeaseShare(late.length, (task) => attempts.runsMs(task))
      const helped = late.filter(({ of: event }) => share.take({ task: event.task, token: 0 }, state.inputBytes(event)))
      this.#help(helped, spare)
    })
  }

  /** A node stands still now, or goes on. */
  nodeChanged(): void {
    this.#options.attempts.nodesChanged()
    this.watchLate()
  }

  /** There is nothing to start, but what runs goes on. */
  #idle(): boolean {
    const { stop, state } = this.#options
    return !stop.aborted && !state.facts.paused && state.events.readyCount === 0
  }

  /** They run there, too. */
  #help(late: readonly Attempt[], placement: Placement): void {
    const why = `late on ${shortNode((late[0] as Attempt).node)}; ${placement.reason}`
    const events = late.map(({ of: event }) => event)
    for (const event of events) this.#assign(event, { ...placement, reason: why }, true)
    this.#start(events, placement)
  }

  /** @param beside it runs elsewhere already, and may complete there as well. */
  #assign({ id: event, task, token: before }: EventState, { node, reason: why }: Placement, beside = false): void {
    const { clock, record } = this.#options
    const token = before + 1
    record({ t: 'assigned', event, task, token, node, ...(beside ? { beside } : {}), why, atMs: clock.wallMs() })
  }

  /** @param events that were assigned to that node. */
  #start(events: readonly EventState[], placement: Placement): void {
    void this.#execute(this.#options.attempts.begin(events, placement), placement.node)
    this.watchLate()
  }

  async #execute(attempts: readonly Attempt[], node: NodeId): Promise<void> {
    const { rpc, leases, stop, printed, completed, failed } = this.#options
    leases.took(node)
    const call = new LeaseCall(attempts, {
      printed,
      completed: (attempt, bytes) => {
        leases.completed(node)
        completed(attempt, bytes)
      },
    })
    try {
      await call.run(rpc, node, this.#leaseOf(attempts), stop)
    } catch (error) {
      for (const attempt of call.open) await failed(attempt, toOsError(error))
    } finally {
      for (const attempt of call.open) this.#options.attempts.end(attempt)
      // It runs the next events while these are being journalled.
      leases.gaveBack(node)
      this.watchLate()
    }
  }

  #leaseOf(attempts: readonly Attempt[]): Lease {
    const { kid, state, room: queue } = this.#options
    const { program, programCid, cwd, eventMs } = state.spawned as EntryOf<'spawned'>
    const room = queue.share(this.#options.attempts.size)
    const events = attempts.map(({ of: event, token }) => {
      const { id, task, number } = event
      const input = state.input(event)
      return { id, task, number, room, ...(input.byteLength <= limits.INLINE_INPUT_BYTES ? { input } : {}), token }
    })
    return { kid, program, programCid, cwd, eventMs, events }
  }
}
