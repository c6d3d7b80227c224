// Where the leaves of a tree's files are kept, for trees that this node leads: chooses who keeps each, asks them, finds out
// what became of it, and has lost copies made anew. Above: files.ts, tree-keeper.ts. Below: block-holder.ts (the node's own
// side), placement-survey.ts (finds out), placement-site.ts (what is known of one tree's leaves), placement-spread.ts (asks).
//
// Directories and small files are wherever the tree's journal is. Where there are more devices than a leaf is to have
// copies, each leaf has an order of its own of all nodes (weighted rendezvous hashing), and the first on devices of their own
// keep it. Whoever keeps something keeps it until the leader says otherwise; a member of the journal keeps everything of
// which its leader does not say that others do.
import { errorLine, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortKid } from '../../base/ids.ts'
import type { PeerState } from '../../syscalls/types.ts'
import type { CidText } from '../blocks/cid.ts'
import {
  GROUP_REPLACE_DEAD_MS,
  GROUP_REPLACE_MS,
  GROUP_SIZE,
  MAX_CIDS_PER_CALL,
  PLACE_AGAIN_MAX_MS,
  PLACE_AGAIN_MS,
  PLACE_LEARN_MS,
  PLACE_REVIEW_MS,
  REPLICAS,
} from '../limits.ts'
import { unfit } from '../membership/member.ts'
import { mutated } from '../mutations.ts'
import { Timers } from '../timers.ts'
import { bitsOf, NEEDED, type Needs, SAYS_LEADER } from './block-holder.ts'
import type { Census, Elsewhere, PlacedLeaf } from './leaves.ts'
import type { Keeper } from './placement-plan.ts'
import { PlacementSite, UnderWay, type View } from './placement-site.ts'
import { type Spread, Spreader } from './placement-spread.ts'
import { Survey, type SurveyOptions } from './placement-survey.ts'
import { type Change, notLed } from './tree-leading.ts'

/** Leaves between breaths: each costs some microseconds. */
const BREATHE_EVERY = 5_000

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

export interface PlacementOptions extends SurveyOptions {
  /** Every node that could keep something now, this one included. */
  keepers(): Keeper[]
  led(tree: Kid): LedTree | undefined
  /** Of all versions of a tree that is kept here, as far as this node knows them; undefined when it is not. */
  roots(tree: Kid): CidText[] | undefined
  /** Members of its journal, as far as this node knows. */
  members(tree: Kid): readonly NodeId[]
  /** Resolves when it is certain that this node leads it. @throws {OsError} EAGAIN. */
  confirm(tree: Kid): Promise<unknown>
  /** Leaves were kept for a change that was not made. */
  onUnused(tree: Kid): void
  /** Lets others have their turn. */
  breathe(): Promise<void>
}

/** Leaves that are being put into a tree: nobody may say meanwhile that it does not need them. */
export interface Placing {
  elsewhere: Elsewhere
  /** Devices that keep each of them now, at least: of those that were placed; Infinity when none was. */
  devices(): number
  /** Devices that could keep each, at most as many as are wanted. */
  wanted(): number
  /** `review`: it brought what is kept for another tree, or what is wanted is another now. */
  end(outcome: 'done' | 'failed' | 'review'): void
}

export class Placement {
  readonly #options: PlacementOptions
  readonly #timers: Timers
  /** Changes that this node makes: of trees that it leads, or led when they began. */
  readonly #underWay = new Map<Kid, UnderWay>()
  /** Of trees that this node leads. */
  readonly #sites = new Map<Kid, PlacementSite>()
  readonly #survey: Survey
  #reviewing = false
  #againMs = PLACE_AGAIN_MS
  /** Peers that could keep nothing when they were looked at last. */
  readonly #unfit = new Set<NodeId>()
  /** Peers for which others are being looked for. */
  readonly #relieving = new Set<NodeId>()
  #dueMs = Number.POSITIVE_INFINITY
  readonly #spreader: Spreader
  #closed = false

  constructor(options: PlacementOptions) {
    this.#options = options
    this.#timers = new Timers(options.clock)
    this.#survey = new Survey(options)
    this.#spreader = new Spreader({ ...options, onLate: () => this.#later(PLACE_REVIEW_MS) })
    const { rpc, membership } = options
    rpc.handle('tree.placed', async ({ tree, cids, relieve }, { peer }) => {
      return bitsOf(await this.placed(peer, tree, cids, relieve))
    })
    rpc.handle('tree.needs', ({ tree, cids }, { peer }) => this.needs(peer, tree, cids))
    membership.events.on((event) => {
      if (event.type === 'left') this.#left(event.peer, event.said !== null)
      else if (event.type === 'joined') {
        for (const site of this.#sites.values()) site.unheard.add(event.peer)
        this.#later(PLACE_REVIEW_MS)
      } else this.#changed(event.peer, event.state)
    })
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
    if (this.#options.roots(tree) === undefined) this.forget(tree)
  }

  /** It is not kept here any longer. */
  forget(tree: Kid): void {
    this.#survey.forget(tree)
    this.#underWay.delete(tree)
  }

  close(): void {
    this.#closed = true
    this.#timers.cancelAll()
    this.#spreader.close()
  }

  /** A change of a tree begins, for which leaves have to be kept. */
  begin(tree: Kid, { ops, ack }: Pick<Change, 'ops' | 'ack'>): Placing {
    const { led: ledNow, clock } = this.#options
    if (!ledNow(tree)) return NOTHING_PLACED
    const site = this.#site(tree)
    // What is brought back may be noted as whole, and then nobody asks for each of its leaves.
    const restored = ops.some(({ op }) => op === 'graft') ? site.underWay.restore() : undefined
    const cids: CidText[] = []
    const placed: CidText[] = []
    return {
      elsewhere: async (leaves, options) => {
        const led = ledNow(tree)
        site.begin(leaves)
        cids.push(...leaves.map(({ cid }) => cid))
        if (!led || this.#devices() <= Math.min(led.copies, GROUP_SIZE)) return leaves.map(() => false)
        const safer = ack !== undefined && ack !== 'local'
        if (safer && led.copies < REPLICAS) throw new OsError('ENOQUORUM', 'it was not written: one copy is kept only')
        const { enough, all } = this.#spread(site, led, leaves, { hints: options.hints })
        void all.then(() => this.#againIfRare(site, leaves))
        await (ack === 'all' ? all : enough)
        const least = Math.min(REPLICAS, led.copies)
        const kept = leaves.map(({ cid }) => site.devices(cid, this.#view(led)) >= least)
        placed.push(...leaves.flatMap(({ cid }, i) => (kept[i] ? [cid] : [])))
        return kept
      },
      devices: () => {
        const led = ledNow(tree)
        return Math.min(...placed.map((cid) => (led ? site.devices(cid, this.#view(led)) : 0)))
      },
      wanted: () => Math.min(ledNow(tree)?.copies ?? 1, this.#devices()),
      end: (outcome) => {
        site.underWay.end(cids, clock.nowMs())
        restored?.(clock.nowMs())
        if (outcome === 'failed' && placed.length > 0) this.#options.onUnused(tree)
        if (outcome === 'review') this.#later(PLACE_REVIEW_MS)
      },
    }
  }

  /**
   * Which of these leaves enough others keep without that peer, who is not counted on for them any more. Of what is no leaf of
   * the tree nobody is asked.
   * @param relieve it has no room: for the others somebody else is looked for. @throws {OsError} EAGAIN when not led here.
   */
  async placed(peer: NodeId, tree: Kid, cids: readonly CidText[], relieve = false): Promise<boolean[]> {
    const led = this.#options.led(tree)
    if (!led) throw notLed()
    const view = this.#view(led)
    const others = new Set([...view.devices].filter(([id]) => id !== peer).map(([, device]) => device))
    if (others.size < led.copies) return cids.map(() => false)
    const site = this.#site(tree)
    if (!site.counted) await this.#survey.count(site, led.roots)
    // Of what is being placed as many keep it as there will be.
    const enough = (cid: CidText) => {
      return site.devices(cid, view, peer) >= (site.underWay.busy(cid) ? Math.min(REPLICAS, led.copies) : led.copies)
    }
    const known = cids.filter((cid) => site.knows(cid))
    await this.#survey.learn(
      site,
      known.filter((cid) => !site.underWay.busy(cid) && !enough(cid)),
    )
    const kept = new Set(known.filter((cid) => site.holdersOf(cid).includes(peer)))
    const placed = cids.map((cid) => site.knows(cid) && enough(cid))
    for (const [i, cid] of cids.entries()) if (placed[i]) site.drop(cid, peer)
    const left = cids.filter((cid, i) => !placed[i] && kept.has(cid))
    if (relieve && left.length > 0) this.#relieveOf(site, led, peer, left)
    return placed
  }

  /** One after the other: whoever asks again and again must not keep everybody at work. */
  #relieveOf(site: PlacementSite, led: LedTree, peer: NodeId, cids: readonly CidText[]): void {
    if (this.#relieving.has(peer)) return
    this.#relieving.add(peer)
    const leaves = cids.map((cid) => ({ cid, size: site.size(cid) }))
    void this.#spread(site, led, leaves, { hints: [peer], but: peer, later: true }).all.finally(() =>
      this.#relieving.delete(peer),
    )
  }

  /**
   * Which of these leaves a version needs, or may need soon, as far as this node knows.
   * @returns for each NEEDED or not, with SAYS_LEADER if it leads. Whoever is told that a leaf is not needed is not counted on for
   * it any more. @throws {OsError} EAGAIN when the tree is not kept here, or it is not certain; EIO.
   */
  async needs(peer: NodeId, tree: Kid, cids: readonly CidText[]): Promise<Needs> {
    const { led, roots, members, confirm, clock } = this.#options
    const beganMs = clock.nowMs()
    const leads = led(tree) !== undefined
    if (leads) await confirm(tree)
    const all = led(tree)?.roots ?? roots(tree)
    if (!all) throw new OsError('EAGAIN', 'this node does not keep that tree')
    const { leaves, complete } = mutated('need-nothing') ? NOTHING : await this.#survey.leaves(tree, all)
    if (!complete) throw new OsError('EIO', 'some of the tree is lost, and nobody knows what it needs')
    const answerOf = (word: (cid: CidText) => number): Needs => {
      return { answer: Uint8Array.from(cids, word), members: [...members(tree)] }
    }
    if (!leads) return answerOf((cid) => (leaves.has(cid) ? NEEDED : 0))
    // Somebody else may have been elected meanwhile, who has changed it.
    await confirm(tree)
    const site = this.#site(tree)
    if (site.underWay.restored(beganMs)) throw new OsError('EAGAIN', 'a version is being brought back: ask again')
    const needed = new Set(cids.filter((cid) => leaves.has(cid) || site.underWay.busySince(cid, beganMs)))
    for (const cid of cids) if (!needed.has(cid)) site.drop(cid, peer)
    return answerOf((cid) => SAYS_LEADER | (needed.has(cid) ? NEEDED : 0))
  }

  /**
   * Finds out who keeps what, has made anew what is lost, and lets go what is too much.
   * @param whom `all`: those are asked as well that have said it before. @throws {OsError} EIO.
   */
  async review(tree: Kid, whom: 'new' | 'all' = 'new'): Promise<void> {
    const { led, clock, confirm } = this.#options
    const now = led(tree)
    if (!now) return this.unled(tree)
    if (now.changing) this.#later(PLACE_REVIEW_MS)
    if (this.#devices() < 2) return
    const site = this.#site(tree)
    const leaves = await this.#survey.count(site, now.roots)
    // Disks lose blocks, and what was said once is not true for ever.
    const all = whom === 'all' || clock.nowMs() - site.learntMs >= PLACE_LEARN_MS
    const cids = [...leaves.keys()]
    if (all) site.unlearn(cids)
    await this.#survey.learn(site, cids)
    if (all) site.learntMs = clock.nowMs()
    await this.#survey.hear(site, cids)
    if (site.unheard.size > 0) this.#again()
    const rare = await this.#rare(site, now, cids)
    // It took long, and somebody else may count on what is let go.
    await confirm(tree)
    if (this.#sites.get(tree) !== site) return
    await this.#release(site, now, cids)
    if (rare.length === 0 || mutated('place-once')) return
    const wanted = rare.map((cid) => ({ cid, size: leaves.get(cid) as number }))
    await this.#spread(site, now, wanted, { later: true }).all
    const left = (await this.#rare(site, now, rare)).length
    const { log } = this.#options
    log.log('info', 'fs', `${rare.length} blocks of ${shortKid(tree)} had too few copies, ${left} still have`)
    if (left > 0) this.#again()
  }

  async #againIfRare(site: PlacementSite, leaves: readonly PlacedLeaf[]): Promise<void> {
    const led = this.#options.led(site.tree)
    const cids = leaves.map(({ cid }) => cid)
    if (led && (await this.#rare(site, led, cids)).length > 0) this.#again()
  }

  /** Those with fewer copies than there could be; what is in the greatest danger comes first. */
  async #rare(site: PlacementSite, led: LedTree, cids: readonly CidText[]): Promise<CidText[]> {
    const view = this.#view(led)
    const target = Math.min(led.copies, new Set(view.devices.values()).size)
    const rare: { cid: CidText; count: number }[] = []
    for (const [i, cid] of cids.entries()) {
      if ((i + 1) % BREATHE_EVERY === 0) await this.#options.breathe()
      const count = site.devices(cid, view)
      if (count < target) rare.push({ cid, count })
    }
    return rare.sort((a, b) => a.count - b.count).map(({ cid }) => cid)
  }

  // --- what is known ------------------------------------------------------------------------------------------

  #site(tree: Kid): PlacementSite {
    const known = this.#sites.get(tree)
    if (known) return known
    const underWay = this.#underWay.get(tree) ?? new UnderWay()
    this.#underWay.set(tree, underWay)
    const site = new PlacementSite(tree, underWay)
    this.#sites.set(tree, site)
    return site
  }

  /** Devices that could keep something now. */
  #devices(): number {
    return new Set(this.#options.keepers().map(({ device }) => device)).size
  }

  /** Who is here and counts. */
  #view({ keg, members }: LedTree): View {
    return { keg, devices: new Map(this.#options.keepers().map(({ id, device }) => [id, device])), members }
  }

  #left(peer: NodeId, said: boolean): void {
    for (const site of this.#sites.values()) site.unheard.delete(peer)
    this.#unfit.delete(peer)
    // Who closed its tab may be back after a reload.
    if (this.#sites.size > 0) this.#later(said ? GROUP_REPLACE_MS : GROUP_REPLACE_DEAD_MS)
  }

  /** Whether it could keep something matters, and nothing else. */
  #changed(peer: NodeId, state: PeerState): void {
    const still = unfit(state)
    if (still === this.#unfit.has(peer)) return
    if (still) this.#unfit.add(peer)
    else this.#unfit.delete(peer)
    this.#later(PLACE_REVIEW_MS)
  }

  #spread(
    site: PlacementSite,
    { copies }: LedTree,
    leaves: readonly PlacedLeaf[],
    how: Pick<Spread, 'hints' | 'but' | 'later'> = {},
  ): ReturnType<Spreader['spread']> {
    const view = () => {
      const led = this.#options.led(site.tree)
      return led && this.#view(led)
    }
    return this.#spreader.spread({ site, leaves, copies, view, ...how })
  }

  // --- who keeps too much ---------------------------------------------------------------------------------

  /** Those who keep them least well let them go. */
  async #release(site: PlacementSite, led: LedTree, cids: readonly CidText[]): Promise<void> {
    const { rpc, holder, breathe } = this.#options
    const { tree } = site
    const released = new Map<NodeId, CidText[]>()
    const [keepers, view] = [this.#options.keepers(), this.#view(led)]
    for (const [i, cid] of cids.entries()) {
      if ((i + 1) % BREATHE_EVERY === 0) await breathe()
      if (site.devices(cid, view) <= led.copies) continue
      for (const id of site.surplus(cid, led.copies, keepers, view)) {
        const some = released.get(id) ?? []
        some.push(cid)
        released.set(id, some)
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
      if (this.#reviewing) this.#later(PLACE_REVIEW_MS)
      else void this.#reviewAll()
    })
  }

  async #reviewAll(): Promise<void> {
    this.#reviewing = true
    let failed = false
    for (const tree of [...this.#sites.keys()]) {
      if (this.#closed) break
      await this.review(tree).catch((error: unknown) => {
        failed = true
        const what = `blocks of ${shortKid(tree)} are not looked after now`
        this.#options.log.log('info', 'fs', `${what}: ${errorLine(error)}`)
      })
    }
    this.#reviewing = false
    if (failed) this.#again()
    else if (this.#dueMs === Number.POSITIVE_INFINITY) this.#againMs = PLACE_AGAIN_MS
    // Disks lose blocks also where nobody comes or goes.
    this.#later(PLACE_LEARN_MS)
  }

  /** Not all could be done: later, and later still when that does not help. */
  #again(): void {
    this.#later(this.#againMs)
    this.#againMs = Math.min(2 * this.#againMs, PLACE_AGAIN_MAX_MS)
  }
}

const NOTHING: Census = { leaves: new Map(), complete: true }

const NOTHING_PLACED: Placing = {
  elsewhere: async (leaves) => leaves.map(() => false),
  devices: () => Number.POSITIVE_INFINITY,
  wanted: () => 1,
  end: () => undefined,
}
