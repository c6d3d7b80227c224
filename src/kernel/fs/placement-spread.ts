// Has leaves kept: asks those who are best for each, a few at a time, and others where these do not. Above: placement.ts.
// Below: block-holder.ts (where this node is one of them), placement-plan.ts, rpc.
import { errorLine, OsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { CidText } from '../blocks/cid.ts'
import {
  KEEP_AGAIN_MS,
  KEEP_BYTES_PER_MS,
  KEEP_CALLS,
  KEEP_LOOK_MS,
  KEEP_PATIENCE_MS,
  MAX_HINTS,
  REPLICAS,
} from '../limits.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { BlockHolder } from './block-holder.ts'
import type { PlacedLeaf } from './leaves.ts'
import { batchesOf, type Keeper, planOf } from './placement-plan.ts'
import { ASKED, type PlacementSite, type View } from './placement-site.ts'
import { ofKeg } from './tree-head.ts'

export interface Spread {
  site: PlacementSite
  leaves: readonly PlacedLeaf[]
  /** Devices that are to keep each. */
  copies: number
  /** Nodes that have them. */
  hints?: readonly NodeId[] | undefined
  /** Nobody waits for it: what somebody writes goes first. */
  later?: boolean | undefined
  /** Whoever is to keep none. */
  but?: NodeId | undefined
  /** Who counts now; undefined when this node does not lead the tree any longer. */
  view(): View | undefined
}

export interface SpreaderOptions {
  rpc: RpcNode
  clock: Clock
  log: LogSink
  holder: BlockHolder
  /** Every node that could keep something now, this one included. */
  keepers(): Keeper[]
  /** Somebody keeps what others were asked for instead: there may be too many copies. */
  onLate(): void
}

interface Job extends Spread {
  /** Who was asked for each. */
  tried: Map<CidText, Set<NodeId>>
  /** Something is kept, or cannot be. */
  check(): void
}

export class Spreader {
  readonly #options: SpreaderOptions
  #calls = 0
  readonly #waiting: { now: (() => void)[]; later: (() => void)[] } = { now: [], later: [] }
  readonly #stop = new AbortController()
  /** Nodes that did not answer in time: until when they are not asked. */
  readonly #slow = new Map<NodeId, number>()

  constructor(options: SpreaderOptions) {
    this.#options = options
  }

  close(): void {
    this.#stop.abort(new OsError('ECANCELED', 'this tab is closing'))
    for (const next of [...this.#waiting.now.splice(0), ...this.#waiting.later.splice(0)]) next()
  }

  /** Never rejects. @returns `enough`: each is kept by enough for now, or by as many as can be; `all`: nothing more is done. */
  spread(what: Spread): { enough: Promise<void>; all: Promise<void> } {
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const leaves = [...new Map(what.leaves.map((leaf) => [leaf.cid, leaf])).values()]
    const { site, copies, but, view } = what
    const least = Math.min(REPLICAS, copies)
    const check = () => {
      const now = view()
      if (!now || leaves.every(({ cid }) => site.devices(cid, now, but) >= least)) resolve()
    }
    site.begin(leaves)
    const all = this.#rounds({ ...what, leaves, check, tried: new Map() }).finally(() => {
      site.underWay.end(
        leaves.map(({ cid }) => cid),
        this.#options.clock.nowMs(),
      )
      resolve()
    })
    check()
    return { enough, all }
  }

  /** Until nobody is left who could be asked. */
  async #rounds(job: Job): Promise<void> {
    const { site, leaves, copies, but, tried } = job
    for (;;) {
      const now = job.view()
      if (!now || this.#stop.signal.aborted) return
      const keepers = this.#keepers().filter(({ id }) => id !== but)
      const missing = leaves.map(({ cid, size }) => {
        const asked = tried.get(cid) ?? new Set<NodeId>()
        tried.set(cid, asked)
        return { cid, size, tried: asked, count: copies, on: site.devicesOf(cid, now, but) }
      })
      const plan = planOf(missing, keepers)
      if (plan.length === 0) return
      await Promise.all(batchesOf(plan).map((batch) => this.#keep(batch, job)))
    }
  }

  /** Without those that did not answer lately. */
  #keepers(): Keeper[] {
    const nowMs = this.#options.clock.nowMs()
    for (const [id, untilMs] of this.#slow) if (untilMs <= nowMs) this.#slow.delete(id)
    return this.#options.keepers().filter(({ id }) => !this.#slow.has(id))
  }

  /** Resolves when it is done, or takes too long: then others are asked, and what comes of it all the same counts. */
  async #keep({ id, leaves }: { id: NodeId; leaves: readonly PlacedLeaf[] }, job: Job): Promise<void> {
    await this.#turn(job.later ?? false)
    const called = this.#call(id, leaves, job)
    const bytes = leaves.reduce((sum, { size }) => sum + size, 0)
    const late = await this.#outlasts(called, id, KEEP_PATIENCE_MS + bytes / KEEP_BYTES_PER_MS)
    if (late) {
      this.#slow.set(id, this.#options.clock.nowMs() + KEEP_AGAIN_MS)
      this.#options.log.log('info', 'fs', `${shortNode(id)} takes too long to keep ${leaves.length} blocks`)
      void called.then(() => this.#options.onLate())
    }
    this.#done()
    job.check()
  }

  async #call(id: NodeId, leaves: readonly PlacedLeaf[], job: Job): Promise<void> {
    const { rpc, holder, log } = this.#options
    const { site } = job
    const cids = leaves.map(({ cid }) => cid)
    try {
      const view = job.view()
      if (!view || this.#stop.signal.aborted) return
      const of = ofKeg({ tree: site.tree }, view.keg)
      const hints = [...new Set([...(job.hints ?? []), ...site.holdersOf(cids[0] as CidText)])].slice(0, MAX_HINTS)
      const { signal } = this.#stop
      const kept =
        id === rpc.self
          ? await holder.keep(of, cids, { hints, signal })
          : await rpc.call(id, 'tree.keep', { ...of, cids, hints }, { signal })
      for (const [i, cid] of cids.entries()) site.heard(cid, id, kept[i] === 1 ? ASKED : 0)
      job.check()
    } catch (error) {
      log.log('info', 'fs', `${shortNode(id)} does not keep ${cids.length} blocks: ${errorLine(error)}`)
    }
  }

  /** @returns whether the call takes longer than that, or whoever was called is frozen or gone before it ends. */
  async #outlasts(called: Promise<void>, id: NodeId, ms: number): Promise<boolean> {
    const { clock, keepers } = this.#options
    const untilMs = clock.nowMs() + ms
    let done = false
    const ended = called.then(() => {
      done = true
    })
    while (!done && !this.#stop.signal.aborted) {
      const leftMs = untilMs - clock.nowMs()
      if (leftMs <= 0 || !keepers().some((keeper) => keeper.id === id)) return true
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = clock.setTimer(resolve, Math.min(leftMs, KEEP_LOOK_MS), 'keep blocks')
      await Promise.race([ended, promise])
      timer.cancel()
    }
    return false
  }

  /** A few calls at a time, of all that is placed; one of them is left for what somebody waits for. */
  async #turn(later: boolean): Promise<void> {
    const most = later ? KEEP_CALLS - 1 : KEEP_CALLS
    if (this.#calls < most) this.#calls++
    else await new Promise<void>((resolve) => this.#waiting[later ? 'later' : 'now'].push(resolve))
  }

  #done(): void {
    const { now, later } = this.#waiting
    const next = now.shift() ?? (this.#calls < KEEP_CALLS ? later.shift() : undefined)
    if (next) next()
    else this.#calls--
  }
}
