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
import type { RpcNode } from '../rpc/node.ts'
import { AS_MEMBER, ASKED } from './placement-site.ts'

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
  leaderOf(tree: Kid, keg: Kid | undefined): Promise<NodeId | undefined>
  /** Whether the tree that is used for a keg (for `/`) says that it has taken that one in. @throws {OsError} EHOSTUNREACH, EMFILE. */
  absorbed(tree: Kid, keg: Kid | undefined): Promise<boolean>
  /** Leaves that nobody counts on here any longer, whoever else has them. */
  onReleased(tree: Kid, cids: readonly CidText[]): void
}

export class BlockHolder {
  readonly #options: BlockHolderOptions
  /** What somebody asked for while it was asked whether anybody needs it. */
  readonly #audits = new Set<Set<CidText>>()

  constructor(options: BlockHolderOptions) {
    this.#options = options
    const { rpc } = options
    rpc.handle('tree.keep', async ({ cids, hints, ...of }, { peer, signal }) => {
      // What nobody needs would stay for ever.
      if ((await options.leaderOf(of.tree, of.keg)) === peer) return this.keep(of, cids, { hints, signal })
      throw new OsError('EAGAIN', `${shortNode(peer)} is not known here to lead that tree`)
    })
    rpc.handle('tree.kept', ({ tree, cids }) => this.kept(tree, cids))
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
    try {
      blocks.touch(cids)
      // The disk may have lost what was here.
      if ((await this.missing(cids)).length > 0) blocks.lookAgain()
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

  /** @returns one byte per CID: ASKED, AS_MEMBER, 0 for what is not kept here for that tree. */
  async kept(tree: Kid, cids: readonly CidText[]): Promise<Uint8Array<ArrayBuffer>> {
    const { blocks, pins, keeps } = this.#options
    const member = keeps(tree)
    const held = await blocks.hasMany(cids)
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
      membership.linked().map(async (peer) => {
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

  /** Enough others keep them. */
  release(tree: Kid, cids: readonly CidText[]): void {
    const { pins, log, onReleased } = this.#options
    const kept = cids.filter((cid) => pins.has(tree, cid))
    if (kept.length === 0) return
    pins.remove(tree, kept).then(
      () => onReleased(tree, kept),
      (error: unknown) => log.log('info', 'fs', `what is released is kept after a reload: ${errorLine(error)}`),
    )
  }

  /** Makes sure that nothing of what is kept is taken for a mere copy. @throws {OsError} EIO when not all of it is known. */
  touchAll(): void {
    const { blocks, pins } = this.#options
    if (pins.unread) throw new OsError('EIO', 'not all that is kept here for others can be read')
    blocks.touch(pins.all())
  }

  /**
   * Asks those who keep a tree what no version of it needs any longer: its leader has to say so, another device as well, and
   * nobody may say otherwise. (Who says that it leads may lie.) What is kept for a tree that another has taken in is
   * released.
   * @param here what this node says itself. @returns what was given up. @throws {OsError} EHOSTUNREACH when it is not certain.
   */
  async audit(tree: Kid, here: (cids: readonly CidText[]) => Promise<Uint8Array>): Promise<CidText[]> {
    const { pins, absorbed, log } = this.#options
    const kept = pins.of(tree)
    const wanted = new Set<CidText>()
    const gone: CidText[] = []
    this.#audits.add(wanted)
    try {
      for (let at = 0; at < kept.length; at += MAX_CIDS_PER_CALL) {
        const some = kept.slice(at, at + MAX_CIDS_PER_CALL)
        const needless = await this.#needless(tree, some, here)
        if (!needless) {
          if (!(await absorbed(tree, pins.kegOf(tree)))) {
            throw new OsError('EHOSTUNREACH', `those who keep ${shortKid(tree)} are not here`)
          }
          this.release(tree, kept)
          break
        }
        const given = some.filter((cid, i) => needless[i] && !wanted.has(cid))
        await pins.remove(tree, given)
        gone.push(...given)
      }
    } finally {
      this.#audits.delete(wanted)
    }
    if (gone.length > 0) log.log('info', 'fs', `${gone.length} blocks of ${shortKid(tree)} are needed no longer`)
    return gone
  }

  /** @returns undefined when those who know are not here. */
  async #needless(
    tree: Kid,
    cids: readonly CidText[],
    here: (cids: readonly CidText[]) => Promise<Uint8Array>,
  ): Promise<boolean[] | undefined> {
    const { rpc, membership, device } = this.#options
    const said: { device: string; answer: Uint8Array; own: boolean }[] = []
    const ask = async (peer: NodeId) => {
      const own = peer === rpc.self
      const answer = own ? await here(cids) : await rpc.call(peer, 'tree.needs', { tree, cids: [...cids] })
      said.push({ device: own ? device : (membership.row(peer)?.device ?? peer), answer, own })
    }
    // Most do not keep it, and say so.
    await Promise.allSettled([rpc.self, ...membership.linked()].map(ask))
    const leaders = said.filter(({ answer }) => answer.some((word) => word & SAYS_LEADER))
    if (leaders.length === 0) return undefined
    const certain = leaders.some(({ own }) => own) || new Set(said.map((each) => each.device)).size >= REPLICAS
    return cids.map((_cid, i) => certain && said.every(({ answer }) => !((answer[i] as number) & NEEDED)))
  }
}

export function bitsOf(flags: readonly boolean[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(flags, (flag) => (flag ? 1 : 0))
}
