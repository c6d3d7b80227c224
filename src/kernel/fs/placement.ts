// Where the leaves of a tree's files are kept, for trees that this node leads: chooses who keeps each, asks them, finds out
// what became of it, and has lost copies made anew. Above: files.ts, tree-keeper.ts. Below: block-holder.ts (the node's own
// side), placement-site.ts (what is known of one tree's leaves), rpc, membership.
//
// Directories and small files are wherever the tree's journal is. Where there are more devices than a leaf is to have
// copies, each leaf has an order of its own of all nodes (weighted rendezvous hashing), and the first on devices of their own
// keep it. Whoever keeps something keeps it until the leader says otherwise; a member of the journal keeps everything of
// which its leader does not say that others do.
import { errorLine, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { FetchOptions } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import {
  GROUP_REPLACE_DEAD_MS,
  GROUP_REPLACE_MS,
  KEEP_CALLS,
  MAX_CIDS_PER_CALL,
  MAX_HINTS,
  PLACE_REVIEW_MS,
  REPLICAS,
} from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { mutated } from '../mutations.ts'
import type { RpcNode } from '../rpc/node.ts'
import { Timers } from '../timers.ts'
import { type BlockHolder, bitsOf } from './block-holder.ts'
import type { Elsewhere, PlacedLeaf } from './leaves.ts'
import { batchesOf, type Keeper, planOf } from './placement-plan.ts'
import { ASKED, PlacementSite, type View } from './placement-site.ts'
import { ofKeg } from './tree-head.ts'

/** A tree that this node leads, as it is now. */
export interface LedTree {
  /** The keg that it is a tree of; undefined: of `/`. */
  keg: Kid | undefined
  /** Of all its versions. */
  roots: CidText[]
  /** Devices that are to keep each leaf. */
  copies: number
  /** Members of its journal. */
  members: readonly NodeId[]
  /** Its members are about to change. */
  changing: boolean
}

export interface PlacementOptions {
  rpc: RpcNode
  clock: Clock
  log: LogSink
  membership: Membership
  holder: BlockHolder
  /** Every node that could keep something now, this one included. */
  keepers(): Keeper[]
  led(tree: Kid): LedTree | undefined
  /** Resolves when it is certain that this node leads it. @throws {OsError} EAGAIN. */
  confirm(tree: Kid): Promise<unknown>
  /** All leaves below these directories, and their sizes. @throws {OsError} EIO, EFBIG. */
  census(roots: readonly CidText[]): Promise<Map<CidText, number>>
}

/** Leaves that are being put into a tree: nobody may say meanwhile that it does not need them. */
export interface Placing {
  elsewhere: Elsewhere
  /** @param review it brought what is kept for another tree, or what is wanted is another now. */
  end(review: boolean): void
}

interface Job {
  wanted: readonly PlacedLeaf[]
  copies: number
  /** Who was asked for each. */
  tried: Map<CidText, Set<NodeId>>
  but: NodeId | undefined
  options: FetchOptions
  /** Undefined when this node does not lead the tree any longer. */
  view(): View | undefined
  /** Something is kept, or cannot be. */
  check(): void
}

export class Placement {
  readonly #options: PlacementOptions
  readonly #timers: Timers
  readonly #sites = new Map<Kid, PlacementSite>()
  #reviewing: Promise<void> | undefined
  #dueMs = Number.POSITIVE_INFINITY
  #calls = 0
  readonly #waiting: (() => void)[] = []
  readonly #stop = new AbortController()

  constructor(options: PlacementOptions) {
    this.#options = options
    this.#timers = new Timers(options.clock)
    const { rpc, membership } = options
    rpc.handle('tree.placed', async ({ tree, cids, relieve }, { peer }) => {
      return bitsOf(await this.placed(peer, tree, cids, relieve))
    })
    rpc.handle('tree.needs', ({ tree, cids }) => this.needs(tree, cids))
    membership.events.on((event) => {
      if (event.type === 'left') this.#left(event.peer, event.said !== null)
      else {
        if (event.type === 'joined') for (const site of this.#sites.values()) site.unheard.add(event.peer)
        this.#later(PLACE_REVIEW_MS)
      }
    })
  }

  get #closed(): boolean {
    return this.#stop.signal.aborted
  }

  /** This node leads that tree. */
  led(tree: Kid): void {
    if (this.#sites.has(tree)) return
    this.#site(tree)
    this.#later(PLACE_REVIEW_MS)
  }

  /** It does not lead it any longer. */
  unled(tree: Kid): void {
    this.#sites.delete(tree)
  }

  close(): void {
    this.#stop.abort(new OsError('ECANCELED', 'this tab is closing'))
    this.#timers.cancelAll()
    for (const next of this.#waiting.splice(0)) next()
  }

  /**
   * For a member of that tree's journal: which leaves others keep, as its leader says. What is kept here because somebody
   * asked for it is not asked about. @throws {OsError} EAGAIN when the leader does not say so of what is not here.
   */
  elsewhere(tree: Kid, leader: NodeId): Elsewhere {
    const { rpc, holder, log } = this.#options
    return async (leaves) => {
      const cids = leaves.map(({ cid }) => cid)
      const owed = cids.filter((cid) => !holder.has(tree, cid))
      const placed = new Set<CidText>()
      try {
        for (let at = 0; at < owed.length; at += MAX_CIDS_PER_CALL) {
          const some = owed.slice(at, at + MAX_CIDS_PER_CALL)
          const own = leader === rpc.self
          const answer: ArrayLike<boolean | number> = own
            ? await this.placed(rpc.self, tree, some)
            : await rpc.call(leader, 'tree.placed', { tree, cids: some })
          for (const [i, cid] of some.entries()) if (answer[i]) placed.add(cid)
        }
      } catch (error) {
        log.log('debug', 'fs', `${shortNode(leader)} does not say where leaves are: ${errorLine(error)}`)
        if (!(await holder.here(cids)))
          throw new OsError('EAGAIN', 'nobody says who keeps some leaves', { cause: error })
      }
      return cids.map((cid) => placed.has(cid))
    }
  }

  /** A change of a tree begins, for which leaves have to be kept. */
  begin(tree: Kid): Placing {
    const site = this.#site(tree)
    const cids: CidText[] = []
    return {
      elsewhere: async (leaves, options) => {
        const led = this.#options.led(tree)
        const devices = new Set(this.#options.keepers().map(({ device }) => device)).size
        site.begin(leaves)
        cids.push(...leaves.map(({ cid }) => cid))
        if (!led || devices <= led.copies) return leaves.map(() => false)
        await this.#spread(site, led.copies, leaves, options)
        const least = Math.min(REPLICAS, led.copies)
        return leaves.map(({ cid }) => site.devices(cid, this.#view(led)) >= least)
      },
      end: (review) => {
        site.end(cids)
        if (review) this.#later(PLACE_REVIEW_MS)
      },
    }
  }

  /**
   * Which of these leaves enough others keep without that peer, who is not counted on for them any more.
   * @param relieve it has no room: for the others somebody else is looked for. @throws {OsError} EAGAIN when not led here.
   */
  async placed(peer: NodeId, tree: Kid, cids: readonly CidText[], relieve = false): Promise<boolean[]> {
    const led = this.#options.led(tree)
    if (!led) throw notLed()
    const view = this.#view(led)
    const others = new Set([...view.devices].filter(([id]) => id !== peer).map(([, device]) => device))
    if (others.size < led.copies) return cids.map(() => false)
    const site = this.#site(tree)
    // Of what is being placed as many keep it as there will be.
    const enough = (cid: CidText) => {
      return site.devices(cid, view, peer) >= (site.busy(cid) ? Math.min(REPLICAS, led.copies) : led.copies)
    }
    await this.#learn(
      site,
      cids.filter((cid) => !site.busy(cid) && !enough(cid)),
    )
    const placed = cids.map(enough)
    for (const [i, cid] of cids.entries()) if (placed[i]) site.drop(cid, peer)
    const left = cids.filter((_cid, i) => !placed[i])
    if (relieve && left.length > 0) {
      const leaves = left.map((cid) => ({ cid, size: site.size(cid) }))
      this.#spread(site, led.copies, leaves, { hints: [peer] }, peer).catch((error: unknown) =>
        this.#failed(tree, error),
      )
    }
    return placed
  }

  /** @returns one byte per CID, 1 for what some version needs, or may soon. @throws {OsError} EAGAIN, EIO. */
  async needs(tree: Kid, cids: readonly CidText[]): Promise<Uint8Array<ArrayBuffer>> {
    const { led, confirm, census } = this.#options
    for (let attempt = 0; attempt < 3; attempt++) {
      await confirm(tree)
      const roots = led(tree)?.roots
      if (!roots) throw notLed()
      const site = this.#site(tree)
      const needed = await site.census(roots, census)
      // What has come meanwhile is not in it.
      if (!site.counted(led(tree)?.roots ?? [])) continue
      return bitsOf(cids.map((cid) => !mutated('need-nothing') && (needed.has(cid) || site.busy(cid))))
    }
    throw new OsError('EAGAIN', 'the tree changes all the time')
  }

  /** Finds out who keeps what, has made anew what is lost, and lets go what is too much. @throws {OsError} EIO. */
  async review(tree: Kid): Promise<void> {
    const { led, census, keepers } = this.#options
    const now = led(tree)
    if (!now) return this.unled(tree)
    if (now.changing) this.#later(PLACE_REVIEW_MS)
    if (new Set(keepers().map(({ device }) => device)).size < 2) return
    const site = this.#site(tree)
    const leaves = await site.census(now.roots, census)
    site.keepOnly(leaves)
    const cids = [...leaves.keys()]
    await this.#learn(site, cids)
    await this.#hear(site, cids)
    const view = this.#view(now)
    const target = Math.min(now.copies, new Set(view.devices.values()).size)
    const counts = new Map(cids.map((cid) => [cid, site.devices(cid, view)]))
    const under = cids.filter((cid) => (counts.get(cid) as number) < target)
    // What is in the greatest danger comes first.
    under.sort((a, b) => (counts.get(a) as number) - (counts.get(b) as number))
    this.#release(site, now, cids.filter((cid) => (counts.get(cid) as number) > now.copies)) // biome-ignore format: one thing
    if (under.length === 0 || mutated('place-once')) return
    const wanted = under.map((cid) => ({ cid, size: leaves.get(cid) as number }))
    await this.#spread(site, now.copies, wanted, {}, undefined, 'all')
    this.#options.log.log('info', 'fs', `${under.length} blocks of ${shortKid(tree)} had too few copies`)
  }

  // --- what is known ------------------------------------------------------------------------------------------

  #site(tree: Kid): PlacementSite {
    const known = this.#sites.get(tree)
    if (known) return known
    const site = new PlacementSite(tree)
    this.#sites.set(tree, site)
    return site
  }

  /** Who is here and counts. */
  #view({ members }: LedTree): View {
    return { devices: new Map(this.#options.keepers().map(({ id, device }) => [id, device])), members }
  }

  /** Asks everybody which of these it keeps, where nobody was asked yet. */
  async #learn(site: PlacementSite, cids: readonly CidText[]): Promise<void> {
    const unknown = site.unknown(cids)
    if (unknown.length === 0) return
    const { rpc, membership } = this.#options
    await Promise.all([rpc.self, ...membership.linked()].map((peer) => this.#ask(site, peer, unknown)))
    site.learnt(unknown)
  }

  /** Asks those who have come, or did not answer, for all. */
  async #hear(site: PlacementSite, cids: readonly CidText[]): Promise<void> {
    const peers = [...site.unheard]
    site.unheard.clear()
    await Promise.all(peers.map((peer) => this.#ask(site, peer, cids)))
  }

  async #ask(site: PlacementSite, peer: NodeId, cids: readonly CidText[]): Promise<void> {
    const { rpc, holder, membership, log } = this.#options
    const { tree } = site
    try {
      for (let at = 0; at < cids.length; at += MAX_CIDS_PER_CALL) {
        const some = cids.slice(at, at + MAX_CIDS_PER_CALL)
        const own = peer === rpc.self
        const kept = own ? await holder.kept(tree, some) : await rpc.call(peer, 'tree.kept', { tree, cids: some })
        for (const [i, cid] of some.entries()) site.heard(cid, peer, kept[i])
      }
    } catch (error) {
      if (membership.has(peer)) site.unheard.add(peer)
      log.log('debug', 'fs', `${shortNode(peer)} does not say what it keeps: ${errorLine(error)}`)
    }
  }

  #left(peer: NodeId, said: boolean): void {
    for (const site of this.#sites.values()) site.unheard.delete(peer)
    // Who closed its tab may be back after a reload.
    if (this.#sites.size > 0) this.#later(said ? GROUP_REPLACE_MS : GROUP_REPLACE_DEAD_MS)
  }

  // --- who keeps what -----------------------------------------------------------------------------------------

  /**
   * Has leaves kept by so many devices, by one after the other of those that are best for each.
   * @param but whoever is to keep none.
   * @param until when to return: as soon as each is kept by enough for now (the rest goes on), or when all is done.
   */
  #spread(
    site: PlacementSite,
    copies: number,
    leaves: readonly PlacedLeaf[],
    options: FetchOptions,
    but?: NodeId,
    until: 'enough' | 'all' = 'enough',
  ): Promise<void> {
    const { promise: enough, resolve } = Promise.withResolvers<void>()
    const wanted = [...new Map(leaves.map((leaf) => [leaf.cid, leaf])).values()]
    const cids = wanted.map(({ cid }) => cid)
    const least = Math.min(REPLICAS, copies)
    const tried = new Map<CidText, Set<NodeId>>()
    const view = () => {
      const led = this.#options.led(site.tree)
      return led ? this.#view(led) : undefined
    }
    const check = () => {
      const now = view()
      if (!now || cids.every((cid) => site.devices(cid, now, but) >= least)) resolve()
    }
    site.begin(wanted)
    const all = this.#rounds(site, { wanted, copies, tried, but, options, view, check }).finally(() => {
      site.end(cids)
      resolve()
    })
    if (until === 'all') return all
    all.catch((error: unknown) => this.#failed(site.tree, error))
    check()
    return enough
  }

  async #rounds(site: PlacementSite, job: Job): Promise<void> {
    for (;;) {
      const now = job.view()
      if (!now || this.#closed) return
      const keepers = this.#options.keepers().filter(({ id }) => id !== job.but)
      const missing = job.wanted.map(({ cid, size }) => {
        const tried = job.tried.get(cid) ?? new Set<NodeId>()
        job.tried.set(cid, tried)
        return { cid, size, tried, count: job.copies, on: site.devicesOf(cid, now, job.but) }
      })
      const plan = planOf(missing, keepers)
      if (plan.length === 0) return
      await Promise.all(batchesOf(plan).map((batch) => this.#keep(site, batch, job)))
    }
  }

  async #keep(site: PlacementSite, { id, leaves }: { id: NodeId; leaves: readonly PlacedLeaf[] }, job: Job) {
    await this.#turn()
    const { rpc, holder, log } = this.#options
    const { tree } = site
    const cids = leaves.map(({ cid }) => cid)
    try {
      const led = this.#options.led(tree)
      if (!led) return
      const of = ofKeg({ tree }, led.keg)
      const have = site.holdersOf(cids[0] as CidText)
      const hints = [...new Set([...(job.options.hints ?? []), ...have])].slice(0, MAX_HINTS)
      const signal = AbortSignal.any([this.#stop.signal, ...(job.options.signal ? [job.options.signal] : [])])
      const own = id === rpc.self
      const kept = own
        ? await holder.keep(of, cids, { hints, signal })
        : await rpc.call(id, 'tree.keep', { ...of, cids, hints }, { signal })
      for (const [i, cid] of cids.entries()) site.heard(cid, id, kept[i] === 1 ? ASKED : 0)
    } catch (error) {
      log.log('info', 'fs', `${shortNode(id)} does not keep ${cids.length} blocks: ${errorLine(error)}`)
    } finally {
      this.#done()
      job.check()
    }
  }

  /** Those who keep them least well let them go. */
  #release(site: PlacementSite, led: LedTree, cids: readonly CidText[]): void {
    const { rpc, holder } = this.#options
    const { tree } = site
    const released = new Map<NodeId, CidText[]>()
    for (const cid of cids) {
      for (const id of site.surplus(cid, led.copies, this.#options.keepers(), this.#view(led))) {
        released.set(id, [...(released.get(id) ?? []), cid])
        site.drop(cid, id)
      }
    }
    for (const [id, all] of released) {
      for (let at = 0; at < all.length; at += MAX_CIDS_PER_CALL) {
        const some = all.slice(at, at + MAX_CIDS_PER_CALL)
        if (id === rpc.self) holder.release(tree, some)
        else rpc.note(id, 'tree.release', { tree, cids: some })
      }
    }
  }

  /** A few calls at a time, of all that is placed. */
  async #turn(): Promise<void> {
    if (this.#calls >= KEEP_CALLS) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#calls++
  }

  #done(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#calls--
  }

  // --- when ---------------------------------------------------------------------------------------------------

  /** In so long, or before. */
  #later(ms: number): void {
    const { clock } = this.#options
    const dueMs = clock.nowMs() + ms
    if (this.#closed || this.#sites.size === 0 || this.#dueMs <= dueMs) return
    this.#timers.cancelAll()
    this.#dueMs = dueMs
    this.#timers.after(ms, 'review blocks', () => {
      this.#dueMs = Number.POSITIVE_INFINITY
      this.#reviewing = (this.#reviewing ?? Promise.resolve()).then(() => this.#reviewAll())
    })
  }

  async #reviewAll(): Promise<void> {
    for (const tree of [...this.#sites.keys()]) {
      if (this.#closed) return
      await this.review(tree).catch((error: unknown) => this.#failed(tree, error))
    }
  }

  #failed(tree: Kid, error: unknown): void {
    this.#options.log.log('info', 'fs', `blocks of ${shortKid(tree)} are not looked after now: ${errorLine(error)}`)
  }
}

function notLed(): OsError {
  return new OsError('EAGAIN', 'this node does not lead the tree now')
}
