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
import type { Ack } from '../../syscalls/types.ts'
import type { CidText } from '../blocks/cid.ts'
import { GROUP_REPLACE_DEAD_MS, GROUP_REPLACE_MS, MAX_CIDS_PER_CALL, PLACE_REVIEW_MS, REPLICAS } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import { mutated } from '../mutations.ts'
import type { RpcNode } from '../rpc/node.ts'
import { Timers } from '../timers.ts'
import { type BlockHolder, bitsOf } from './block-holder.ts'
import type { Elsewhere, PlacedLeaf } from './leaves.ts'
import type { Keeper } from './placement-plan.ts'
import { PlacementSite, type View } from './placement-site.ts'
import { type Spread, Spreader } from './placement-spread.ts'

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
  /** Devices that keep each of them now, at least: of those that were placed; Infinity when none was. */
  devices(): number
  /** @param review it brought what is kept for another tree, or what is wanted is another now. */
  end(review: boolean): void
}

export class Placement {
  readonly #options: PlacementOptions
  readonly #timers: Timers
  readonly #sites = new Map<Kid, PlacementSite>()
  #reviewing: Promise<void> | undefined
  #dueMs = Number.POSITIVE_INFINITY
  readonly #spreader: Spreader
  #closed = false

  constructor(options: PlacementOptions) {
    this.#options = options
    this.#timers = new Timers(options.clock)
    this.#spreader = new Spreader(options)
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
    this.#closed = true
    this.#timers.cancelAll()
    this.#spreader.close()
  }

  /**
   * For a member of that tree's journal: which leaves others keep, as its leader says. What is kept here because somebody
   * asked for it is not asked about. Where the leader does not say so, what others have counts: it is placed when somebody
   * leads. @param relieve there is no room here: others are to be found.
   */
  elsewhere(tree: Kid, leader: NodeId, relieve = false): Elsewhere {
    const { holder, log } = this.#options
    return async (leaves) => {
      const cids = leaves.map(({ cid }) => cid)
      const owed = cids.filter((cid) => !holder.has(tree, cid))
      let placed = new Set<CidText>()
      try {
        placed = new Set(await this.#askLeader(tree, leader, owed, relieve))
      } catch (error) {
        // It may not lead before this node has what it is about to say.
        log.log('debug', 'fs', `${shortNode(leader)} does not say where leaves are: ${errorLine(error)}`)
        placed = await this.#seen(owed)
      }
      return cids.map((cid) => placed.has(cid))
    }
  }

  /** Those that are not here, and that enough others have, kept or not. */
  async #seen(cids: readonly CidText[]): Promise<Set<CidText>> {
    const { holder } = this.#options
    const seen = new Set<CidText>()
    const missing = await holder.missing(cids)
    for (let at = 0; at < missing.length; at += MAX_CIDS_PER_CALL) {
      const some = missing.slice(at, at + MAX_CIDS_PER_CALL)
      const elsewhere = await holder.elsewhere(some, REPLICAS)
      for (const [i, cid] of some.entries()) if (elsewhere[i]) seen.add(cid)
    }
    return seen
  }

  /** This node has no room: of what it was asked to keep, others keep what they can. @throws {OsError} EHOSTUNREACH, EAGAIN. */
  async relieve(tree: Kid): Promise<void> {
    const { holder } = this.#options
    const leader = await holder.leaderOf(tree)
    if (leader === undefined) throw new OsError('EHOSTUNREACH', `nobody who leads ${shortKid(tree)} is here`)
    holder.release(tree, await this.#askLeader(tree, leader, holder.of(tree), true))
  }

  /** @returns those that enough others keep. */
  async #askLeader(tree: Kid, leader: NodeId, cids: readonly CidText[], relieve: boolean): Promise<CidText[]> {
    const { rpc } = this.#options
    const placed: CidText[] = []
    for (let at = 0; at < cids.length; at += MAX_CIDS_PER_CALL) {
      const some = cids.slice(at, at + MAX_CIDS_PER_CALL)
      const args = { tree, cids: some, ...(relieve ? { relieve } : {}) }
      const own = leader === rpc.self
      const answer = own
        ? bitsOf(await this.placed(rpc.self, tree, some, relieve))
        : await rpc.call(leader, 'tree.placed', args)
      placed.push(...some.filter((_cid, i) => answer[i] === 1))
    }
    return placed
  }

  /** A change of a tree begins, for which leaves have to be kept. @param ack how safe it has to be. */
  begin(tree: Kid, ack: Ack['level'] | undefined): Placing {
    const site = this.#site(tree)
    const cids: CidText[] = []
    const placed: CidText[] = []
    return {
      elsewhere: async (leaves, options) => {
        const led = this.#options.led(tree)
        const devices = new Set(this.#options.keepers().map(({ device }) => device)).size
        site.begin(leaves)
        cids.push(...leaves.map(({ cid }) => cid))
        if (!led || devices <= led.copies) return leaves.map(() => false)
        const { enough, all } = this.#spread(site, led, leaves, { hints: options.hints })
        await (ack === 'all' ? all : enough)
        const least = Math.min(REPLICAS, led.copies)
        const kept = leaves.map(({ cid }) => site.devices(cid, this.#view(led)) >= least)
        placed.push(...leaves.flatMap(({ cid }, i) => (kept[i] ? [cid] : [])))
        return kept
      },
      devices: () => {
        const led = this.#options.led(tree)
        return Math.min(...placed.map((cid) => (led ? site.devices(cid, this.#view(led)) : 0)))
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
      void this.#spread(site, led, leaves, { hints: [peer], but: peer })
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
    await this.#spread(site, now, wanted).all
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
  #view({ keg, members }: LedTree): View {
    return { keg, devices: new Map(this.#options.keepers().map(({ id, device }) => [id, device])), members }
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

  #spread(
    site: PlacementSite,
    { copies }: LedTree,
    leaves: readonly PlacedLeaf[],
    how: Pick<Spread, 'hints' | 'but'> = {},
  ): ReturnType<Spreader['spread']> {
    const view = () => {
      const led = this.#options.led(site.tree)
      return led && this.#view(led)
    }
    return this.#spreader.spread({ site, leaves, copies, view, ...how })
  }

  // --- who keeps too much ---------------------------------------------------------------------------------

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
