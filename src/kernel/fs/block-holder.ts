// Leaves of files that this node keeps for trees, whether or not it keeps their journals: because their leaders asked.
// Above: files.ts, tree-sweep.ts. Below: pins.ts, blocks, rpc.
//
// What is kept stays until the tree's leader says that nobody needs it, or that enough others keep it; then it is a copy
// like those of what was read.
import { errorLine, OsError } from '../../base/errors.ts'
import { type DeviceId, type Kid, type NodeId, shortKid, shortNode } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Blocks } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import type { Pins } from '../blocks/pins.ts'
import { MAX_CIDS_PER_CALL, REPLICAS } from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { MethodResult } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import type { ServeContext } from '../rpc/session.ts'
import { AS_MEMBER, ASKED } from './placement-site.ts'

/** What is said of leaves, and who keeps the tree's journal. */
export type Needs = MethodResult<'tree.needs'>

export interface Audit {
  /** What was given up. */
  gone: CidText[]
  /** Some say that more is not needed. */
  open: boolean
}

/** Kegs that are looked for at a time because somebody says that it leads one. */
const MAX_KEGS_SOUGHT = 4

/** What is said of a leaf: a version needs it; who says so leads the tree. */
export const NEEDED = 1
export const SAYS_LEADER = 2

export interface BlockHolderOptions {
  blocks: Blocks
  pins: Pins
  device: DeviceId
  rpc: RpcNode
  membership: Membership
  log: LogSink
  /** Next to no room is left. */
  full(): boolean
  /** Whether this node is a member of that tree's journal. */
  keeps(tree: Kid): boolean
  /** Who leads that tree of a keg (of `/`), as far as can be known. @throws {OsError} EHOSTUNREACH, EMFILE. */
  leaderOf(tree: Kid, keg: Kid | undefined, signal?: AbortSignal): Promise<NodeId | undefined>
  /** The tree that is used for a keg (for `/`), if it says that it has taken that one in. @throws {OsError} EHOSTUNREACH, EMFILE. */
  absorbed(tree: Kid, keg: Kid | undefined): Promise<Kid | undefined>
  /** A tree's leader says that enough others keep some leaves. */
  onReleased(): void
}

export class BlockHolder {
  readonly #options: BlockHolderOptions
  /** What the trees' leaders say that enough others keep: it is kept until others say so themselves. */
  readonly #released = new Map<Kid, Set<CidText>>()
  /** Kegs that are looked for because peers say that they lead them. */
  #looking = 0
  /** What somebody asked for while it was asked whether anybody needs it. */
  readonly #audits = new Set<Set<CidText>>()

  constructor(options: BlockHolderOptions) {
    this.#options = options
    const { rpc } = options
    rpc.handle('tree.keep', async ({ cids, hints, ...of }, { peer, signal }) => {
      // What nobody needs would stay for ever.
      if (await this.#leads(peer, of, signal)) return this.keep(of, cids, { hints, signal })
      throw new OsError('EAGAIN', `${shortNode(peer)} is not known here to lead that tree`)
    })
    rpc.handle('tree.kept', ({ tree, cids }, context) => this.kept(tree, cids, context))
    rpc.onNote('tree.release', (peer, { tree, cids }) => {
      this.#releaseFor(peer, tree, cids).catch((error: unknown) => {
        options.log.log('debug', 'fs', `nothing of ${shortKid(tree)} is released: ${errorLine(error)}`)
      })
    })
  }

  /**
   * Fetches what is not here, and keeps all of it for that tree. One that has no room keeps only what is here.
   * @returns one byte per CID, 1 for what is kept now. @throws {OsError} ECANCELED.
   */
  async keep(
    of: { tree: Kid; keg?: Kid | undefined },
    cids: readonly CidText[],
    { hints, signal }: { hints: readonly NodeId[]; signal: AbortSignal },
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { blocks, pins, rpc, log, full } = this.#options
    const release = blocks.pin()
    for (const audit of this.#audits) for (const cid of cids) audit.add(cid)
    for (const cid of cids) this.#released.get(of.tree)?.delete(cid)
    try {
      blocks.touch(cids)
      // The disk may have lost what was here.
      blocks.lookAgain(await this.missing(cids))
      if (!full()) await blocks.hold(cids, { hints: hints.filter((hint) => hint !== rpc.self), signal })
    } catch (error) {
      signal.throwIfAborted()
      log.log('info', 'fs', `not all that ${shortKid(of.tree)} asks for is kept here: ${errorLine(error)}`)
    }
    try {
      const held = await blocks.hasMany(cids)
      const here = cids.filter((_cid, i) => held[i])
      await pins.add(of, here)
      return bitsOf(held)
    } finally {
      release()
    }
  }

  /** @param by the peer that asks. @returns one byte per CID: ASKED, AS_MEMBER, 0 for what is not kept here for that tree. */
  async kept(tree: Kid, cids: readonly CidText[], by?: ServeContext): Promise<Uint8Array<ArrayBuffer>> {
    const { blocks, pins, keeps } = this.#options
    const member = keeps(tree)
    const held = await (by ? blocks.hasManyFor(by.peer, cids, by.signal) : blocks.hasMany(cids))
    return Uint8Array.from(cids, (cid, i) => {
      if (!held[i]) return 0
      if (pins.has(tree, cid)) return ASKED
      return member ? AS_MEMBER : 0
    })
  }

  /** Whether it is kept because somebody asked. */
  has(tree: Kid, cid: CidText): boolean {
    return this.#options.pins.has(tree, cid)
  }

  /** What is kept for that tree because somebody asked. */
  of(tree: Kid): CidText[] {
    return this.#options.pins.of(tree)
  }

  /** Who leads a tree for which something is kept. @throws {OsError} EHOSTUNREACH, EMFILE. */
  leaderOf(tree: Kid): Promise<NodeId | undefined> {
    const { pins, leaderOf } = this.#options
    return leaderOf(tree, pins.kegOf(tree))
  }

  /** Which of them so many other devices that are here say that they have, and keep for now. */
  async elsewhere(cids: readonly CidText[], least: number): Promise<boolean[]> {
    const { rpc, membership, log } = this.#options
    const had = cids.map(() => new Set<string>())
    await Promise.all(
      membership.answering().map(async (peer) => {
        try {
          const held = await rpc.call(peer, 'blocks.have', { cids: [...cids], rely: true })
          const device = membership.row(peer)?.device ?? peer
          for (const [i, devices] of had.entries()) if (held[i] === 1) devices.add(device)
        } catch (error) {
          log.log('debug', 'fs', `${shortNode(peer)} does not say what it has: ${errorLine(error)}`)
        }
      }),
    )
    return had.map(({ size }) => size >= least)
  }

  /** Those that are not in the store here. */
  async missing(cids: readonly CidText[]): Promise<CidText[]> {
    const held = await this.#options.blocks.hasMany(cids)
    return cids.filter((_cid, i) => !held[i])
  }

  async #releaseFor(peer: NodeId, tree: Kid, cids: readonly CidText[]): Promise<void> {
    if (!cids.some((cid) => this.has(tree, cid))) return
    if ((await this.leaderOf(tree)) === peer) this.release(tree, cids)
  }

  /** Enough others keep them, their leader says. */
  release(tree: Kid, cids: readonly CidText[]): void {
    const released = this.#released.get(tree) ?? new Set()
    this.#released.set(tree, released)
    for (const cid of cids) if (this.has(tree, cid)) released.add(cid)
    if (released.size > 0) this.#options.onReleased()
  }

  /** What is kept only until others say that they keep it, by tree. */
  get released(): ReadonlyMap<Kid, ReadonlySet<CidText>> {
    return this.#released
  }

  /** Others have said so. @throws {OsError} EIO, ENOSPC. */
  async letGo(tree: Kid, cids: readonly CidText[]): Promise<void> {
    this.keepOn(tree, cids)
    await this.#options.pins.remove(tree, cids)
  }

  /** Others did not say so: these are kept as before, until they are released again. */
  keepOn(tree: Kid, cids: readonly CidText[]): void {
    const released = this.#released.get(tree)
    for (const cid of cids) released?.delete(cid)
    if (released?.size === 0) this.#released.delete(tree)
  }

  /** Whether that peer leads the tree. Kegs that were never looked into are looked for, a few at a time. */
  async #leads(
    peer: NodeId,
    { tree, keg }: { tree: Kid; keg?: Kid | undefined },
    signal: AbortSignal,
  ): Promise<boolean> {
    const { leaderOf, pins } = this.#options
    const known = keg === undefined || pins.hasKeg(keg)
    if (known) return (await leaderOf(tree, keg, signal)) === peer
    if (this.#looking >= MAX_KEGS_SOUGHT) throw new OsError('EAGAIN', 'other kegs are being looked for: ask again')
    this.#looking++
    try {
      return (await leaderOf(tree, keg, signal)) === peer
    } finally {
      this.#looking--
    }
  }

  /** Makes sure that nothing of what is kept is taken for a mere copy. @throws {OsError} EIO when not all of it is known. */
  touchAll(): void {
    const { blocks, pins } = this.#options
    if (pins.unread) throw new OsError('EIO', 'not all that is kept here for others can be read')
    for (const tree of pins.trees()) {
      const released = this.#released.get(tree)
      blocks.touch(released ? pins.of(tree).filter((cid) => !released.has(cid)) : pins.of(tree))
    }
  }

  /**
   * Asks those who keep a tree what no version of it needs any longer: its leader has to say so, another of its keepers as
   * well, and none of them may say otherwise. (Who says that it leads may lie.) Of a tree that another has taken in, those are
   * asked who keep that one; what it needs it has had kept for itself.
   * @param here what this node says itself. @returns what was given up, and whether they do not agree about more.
   * @throws {OsError} EHOSTUNREACH when too few of them are here.
   */
  async audit(tree: Kid, here: (tree: Kid, cids: readonly CidText[]) => Promise<Needs>): Promise<Audit> {
    const { pins, absorbed, rpc, membership, log } = this.#options
    const kept = pins.of(tree)
    const wanted = new Set<CidText>()
    const audit: Audit = { gone: [], open: false }
    /** The tree that has taken this one in. */
    let by: Kid | undefined
    let peers: readonly NodeId[] = [rpc.self, ...membership.answering()]
    this.#audits.add(wanted)
    try {
      for (let at = 0; at < kept.length; at += MAX_CIDS_PER_CALL) {
        const some = kept.slice(at, at + MAX_CIDS_PER_CALL)
        let said = await this.#askAll(by ?? tree, some, { peers, here })
        if (this.#words(said).length === 0 && by === undefined) {
          by = await absorbed(tree, pins.kegOf(tree))
          if (by !== undefined) said = await this.#askAll(by, some, { peers, here })
        }
        // Most do not keep it, and who says nothing is not waited for again.
        peers = [...said.keys()]
        const words = this.#words(said)
        if (words.length === 0)
          throw new OsError('EHOSTUNREACH', `too few of those who keep ${shortKid(tree)} are here`)
        const needless = some.filter((_cid, i) => words.every((word) => ((word[i] as number) & NEEDED) === 0))
        const doubted = some.filter((_cid, i) => words.some((word) => ((word[i] as number) & NEEDED) === 0))
        audit.open ||= needless.length < doubted.length
        const given = needless.filter((cid) => !wanted.has(cid))
        await pins.remove(tree, by === undefined ? given : some)
        audit.gone.push(...given)
      }
    } finally {
      this.#audits.delete(wanted)
    }
    if (audit.gone.length > 0)
      log.log('info', 'fs', `${audit.gone.length} blocks of ${shortKid(tree)} are needed no longer`)
    return audit
  }

  async #askAll(
    tree: Kid,
    cids: readonly CidText[],
    { peers, here }: { peers: readonly NodeId[]; here: (tree: Kid, cids: readonly CidText[]) => Promise<Needs> },
  ): Promise<Map<NodeId, Needs>> {
    const { rpc } = this.#options
    const said = new Map<NodeId, Needs>()
    const ask = async (peer: NodeId) => {
      const own = peer === rpc.self
      said.set(peer, own ? await here(tree, cids) : await rpc.call(peer, 'tree.needs', { tree, cids: [...cids] }))
    }
    await Promise.allSettled(peers.map(ask))
    return said
  }

  /**
   * @returns what those say who count: a leader and the members that it names. Nothing where no leader is among those who
   * answered, or nobody on another device bears it out; this node itself needs nobody for that.
   */
  #words(said: ReadonlyMap<NodeId, Needs>): Uint8Array[] {
    const { rpc, membership, device } = this.#options
    const deviceOf = (id: NodeId) => (id === rpc.self ? device : (membership.row(id)?.device ?? id))
    for (const [leader, { answer, members }] of said) {
      if (!answer.some((word) => word & SAYS_LEADER)) continue
      const keepers = [...said].filter(([id]) => id === leader || members.includes(id))
      const devices = new Set(keepers.map(([id]) => deviceOf(id))).size
      if (leader === rpc.self || devices >= REPLICAS) return keepers.map(([, each]) => each.answer)
    }
    return []
  }
}

export function bitsOf(flags: readonly boolean[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(flags, (flag) => (flag ? 1 : 0))
}
