// Frees blocks that only forgotten versions of a tree hold, and copies that readers have kept. Conservative: of versions, it
// looks only at what those held; a copy is freed when somebody else has one and keeps it for now. First
// everything that any journal here means is held anew, which touches it; then what of the forgotten was not touched since is
// freed. Whatever cannot be held or read ends it, and it is tried again later. Above: kernel.ts. Below: tree-keeper.ts,
// the journals, blocks.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { errorLine, OsError } from '../../base/errors.ts'
import { isKid, type Kid, shortKid } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import type { Random } from '../../ports/random.ts'
import type { Blocks } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import type { Pins } from '../blocks/pins.ts'
import type { Groups } from '../journal/groups.ts'
import type { JournalOwner } from '../journal/journal.ts'
import {
  MAKE_ROOM_AGAIN_MS,
  MAKE_ROOM_WAIT_MS,
  MAX_CIDS_PER_CALL,
  MAX_FORGOTTEN,
  MAX_THINNED,
  REPLICAS,
  SWEEP_AFTER_MS,
  SWEEP_AGAIN_MS,
  TOUCHED_MS,
  WRITE_BATCH_BLOCKS,
} from '../limits.ts'
import { mutated } from '../mutations.ts'
import type { BlockHolder, Needs } from './block-holder.ts'
import { allCids } from './dag.ts'
import { decodeDirectory } from './directory.ts'
import type { Again, TreeKeeper } from './tree-keeper.ts'

export interface TreeSweepOptions {
  keeper: TreeKeeper
  blocks: Blocks
  groups: Groups
  /** What the journals of processes mean. */
  processes(): JournalOwner
  store: LogStore
  clock: Clock
  log: LogSink
  /** Holds anew what this node remembers of the tree in use beside journals. @throws {OsError} */
  remembered(): Promise<void>
  /** What is kept here for trees, whoever keeps their journals. */
  holder: BlockHolder
  pins: Pins
  /** Which of these leaves of a tree enough others keep, as its leader says. @throws {OsError} */
  placedElsewhere(tree: Kid, cids: readonly CidText[]): Promise<CidText[]>
  random: Random
  /** Has others keep leaves that are kept here for a tree. @throws {OsError} */
  relieve(tree: Kid): Promise<void>
  /** Next to no room is left. */
  full(): boolean
  /** There may be more room than before. */
  onFreed(): void
  /** For trees that are kept here: see Placement. */
  needs(tree: Kid, cids: readonly CidText[]): Promise<Needs>
}

/** Where the roots stand that are to be swept. */
const RECORD = 'forgotten'
/** Those that were thinned out one by one are recorded so many at a time. */
const RECORD_EVERY = 32
const recorded = v.array(v.tuple([v.string(), v.array(v.string())]))

export class TreeSweep {
  readonly #options: TreeSweepOptions
  /** Roots of forgotten versions, by tree. */
  readonly #waiting = new Map<Kid, Set<CidText>>()
  /** Leaves that were kept here and that no version needs any longer, by tree. */
  readonly #unneeded = new Map<Kid, Set<CidText>>()
  /** How many versions of a tree were forgotten for which only leaves are kept here, since that was looked into. */
  readonly #thinned = new Map<Kid, number>()
  #timer: Timer | undefined
  #dueMs = 0
  #sweeping = false
  #makingRoom: Promise<boolean> | undefined
  /** When there was nothing to free. */
  #noRoomMs = Number.NEGATIVE_INFINITY
  #closed = false

  constructor(options: TreeSweepOptions) {
    this.#options = options
  }

  /** Goes on with what was to be swept when this tab was open last. */
  async start(): Promise<void> {
    const { store, log } = this.#options
    try {
      const bytes = await store.getRecord(RECORD)
      for (const [kid, roots] of bytes ? v.parse(recorded, decode(bytes)) : []) {
        const waiting = this.#waiting.get(kid as Kid) ?? []
        if (isKid(kid)) this.#waiting.set(kid, new Set([...waiting, ...roots].slice(0, MAX_FORGOTTEN)))
      }
    } catch (error) {
      log.log('warn', 'fs', `what was to be freed is not known any more: ${errorLine(error)}`)
    }
    // What was kept for others may have been given up while this tab was closed.
    for (const kid of this.#options.pins.trees()) this.#add(kid, [], true)
    if (this.#waiting.size > 0) this.#later(SWEEP_AGAIN_MS)
  }

  /**
   * Some versions of a tree are forgotten. Anybody may say so: what is live is told by the journals that are kept here.
   * @param soon otherwise when there are many.
   */
  forgotten(kid: Kid, roots: readonly CidText[], soon: boolean): void {
    const { keeper, pins } = this.#options
    // Whoever keeps only leaves for it does not know what else the versions were made of.
    if (keeper.keeps(kid)) this.#add(kid, roots, soon)
    else if (pins.trees().includes(kid)) {
      const count = (this.#thinned.get(kid) ?? 0) + roots.length
      this.#thinned.set(kid, soon || count >= MAX_THINNED ? 0 : count)
      if (soon || count >= MAX_THINNED) this.#add(kid, [], true)
    }
  }

  /** Enough others keep some leaves that are kept here: they go, as far as the others say so too. */
  released(): void {
    // Not all at the same time: whoever asks keeps the others from freeing it.
    if (!this.#closed) this.#later(SWEEP_AFTER_MS * (1 + this.#options.random.float()))
  }

  /** Others keep a tree instead of this node: what only that tree means goes here, as far as they say that they have it. */
  surplus(kid: Kid, roots: readonly CidText[]): void {
    this.#add(kid, roots, true)
  }

  #add(kid: Kid, roots: readonly CidText[], soon: boolean): void {
    if (this.#closed) return
    const waiting = this.#waiting.get(kid) ?? new Set()
    const before = waiting.size
    for (const root of roots) if (waiting.size < MAX_FORGOTTEN) waiting.add(root)
    this.#waiting.set(kid, waiting)
    if (soon || Math.floor(before / RECORD_EVERY) !== Math.floor(waiting.size / RECORD_EVERY)) this.#record()
    // Later: members that lag know of it then.
    if (soon || waiting.size >= MAX_THINNED) this.#later(SWEEP_AFTER_MS)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  /**
   * Frees copies that readers have kept: all that no journal here means, and that somebody else who is here has. Whoever
   * asks meanwhile waits for the same, and nobody for long: what is held anew here may ask itself, when the disk is full.
   * @returns whether anything was freed.
   */
  async makeRoom(): Promise<boolean> {
    const { clock } = this.#options
    if (!this.#makingRoom) {
      if (this.#closed || this.#sweeping || clock.nowMs() - this.#noRoomMs < MAKE_ROOM_AGAIN_MS) return false
      this.#makingRoom = this.#makeRoom().finally(() => {
        this.#makingRoom = undefined
      })
    }
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const timer = clock.setTimer(() => resolve(false), MAKE_ROOM_WAIT_MS, 'make room')
    return Promise.race([this.#makingRoom, promise]).finally(() => timer.cancel())
  }

  async #makeRoom(): Promise<boolean> {
    const { clock, log } = this.#options
    this.#sweeping = true
    let count = 0
    try {
      count = await this.#freeCopies()
      log.log('info', 'fs', `freed ${count} blocks that were only read here`)
      return count > 0
    } catch (error) {
      log.log('info', 'fs', `copies of what was read are kept for now: ${errorLine(error)}`)
      return false
    } finally {
      if (count === 0) this.#noRoomMs = clock.nowMs()
      this.#sweeping = false
      this.#options.onFreed()
      this.#again()
    }
  }

  async #freeCopies(): Promise<number> {
    const { blocks, keeper, groups, remembered, full, holder } = this.#options
    if (groups.unread) throw new OsError('EIO', 'a journal cannot be read, so nobody knows what it means')
    const release = blocks.pin()
    try {
      const mark = blocks.mark()
      keeper.copies.forget()
      const relieve = full()
      await this.#holdAll({ relieve })
      await remembered()
      if (relieve) await this.#relieveAll()
      const copies = (await blocks.keys()).filter((cid) => !blocks.touchedSince(cid, mark))
      let count = 0
      for (let at = 0; at < copies.length && !this.#closed; at += MAX_CIDS_PER_CALL) {
        const some = copies.slice(at, at + MAX_CIDS_PER_CALL)
        const elsewhere = await holder.elsewhere(some, 1)
        count += await blocks.drop(
          some.filter((_cid, i) => elsewhere[i]),
          mark,
        )
      }
      return count
    } finally {
      release()
    }
  }

  /** What others keep from now on is freed here later. */
  async #relieveAll(): Promise<void> {
    const { pins, relieve, log } = this.#options
    for (const tree of pins.trees()) {
      await relieve(tree).catch((error: unknown) => {
        log.log('info', 'fs', `what is kept for ${shortKid(tree)} stays here: ${errorLine(error)}`)
      })
    }
  }

  /** What is left is looked at later. */
  #again(): void {
    const { holder, random, full } = this.#options
    if (this.#waiting.size > 0) this.#later(full() ? TOUCHED_MS : SWEEP_AGAIN_MS)
    if (holder.released.size > 0) this.#later(SWEEP_AGAIN_MS * (0.5 + random.float()))
  }

  /** In so long, or before. */
  #later(ms: number): void {
    const dueMs = this.#options.clock.nowMs() + ms
    if (this.#closed || this.#sweeping || (this.#timer && this.#dueMs <= dueMs)) return
    this.#timer?.cancel()
    this.#dueMs = dueMs
    this.#timer = this.#options.clock.setTimer(() => void this.#sweepAll(), ms, 'sweep blocks')
  }

  #record(): void {
    const { store, log } = this.#options
    const bytes = encode([...this.#waiting].map(([kid, roots]) => [kid, [...roots]]))
    store.putRecord(RECORD, bytes).catch((error: unknown) => {
      log.log('info', 'fs', `what is to be freed is forgotten when this tab closes: ${errorLine(error)}`)
    })
  }

  async #sweepAll(): Promise<void> {
    const { log } = this.#options
    this.#timer = undefined
    await this.#makingRoom
    this.#sweeping = true
    await this.#sweepReleased()
    for (const [kid, roots] of [...this.#waiting]) {
      const some = [...roots]
      try {
        const { count, later } = await this.#sweep(kid, some)
        if (!later) for (const root of some) roots.delete(root)
        if (!later && roots.size === 0) this.#waiting.delete(kid)
        log.log('info', 'fs', `freed ${count} blocks of versions of ${shortKid(kid)} that are not kept here`)
      } catch (error) {
        log.log('info', 'fs', `blocks of forgotten versions of ${shortKid(kid)} are kept for now: ${errorLine(error)}`)
      }
    }
    this.#sweeping = false
    this.#options.onFreed()
    this.#record()
    this.#again()
  }

  /** Those that others do not say that they have are kept on; those that are needed here for another reason stay as copies. */
  async #sweepReleased(): Promise<void> {
    const { blocks, keeper, log, holder, placedElsewhere } = this.#options
    if (holder.released.size === 0) return
    const release = blocks.pin()
    try {
      const mark = blocks.mark()
      keeper.copies.forget()
      await this.#holdAll({})
      let count = 0
      for (const [kid, cids] of [...holder.released]) {
        const all = [...cids].filter((cid) => !blocks.touchedLately(cid, mark))
        // For another tree, or because its journal is kept here.
        const needed = new Set(all.filter((cid) => blocks.touchedSince(cid, mark)))
        for (let at = 0; at < all.length && !this.#closed; at += MAX_CIDS_PER_CALL) {
          const some = all.slice(at, at + MAX_CIDS_PER_CALL)
          // Who said so may have lied about leading the tree, or may not have known what happened since.
          const placed = new Set(await placedElsewhere(kid, some))
          const elsewhere = await holder.elsewhere(some, REPLICAS)
          const goes = some.filter((cid, i) => placed.has(cid) && elsewhere[i] && holder.released.get(kid)?.has(cid))
          // What others look for just now stays until the next time.
          const free = goes.filter((cid) => !blocks.touchedSince(cid, mark))
          const dropped = blocks.drop(free, mark)
          await holder.letGo(kid, [...free, ...goes.filter((cid) => needed.has(cid))])
          const stays = some.filter((cid) => !goes.includes(cid))
          holder.keepOn(kid, stays)
          count += await dropped
        }
      }
      log.log('info', 'fs', `freed ${count} blocks that enough others keep`)
    } catch (error) {
      log.log('info', 'fs', `blocks that others keep as well are kept for now: ${errorLine(error)}`)
    } finally {
      release()
    }
  }

  /** @returns how many blocks were freed, and whether more may be later. @throws {OsError} when it is not certain what is in use. */
  async #sweep(kid: Kid, roots: readonly CidText[]): Promise<{ count: number; later: boolean }> {
    const { blocks, keeper, remembered, holder, pins, needs, log } = this.#options
    // From here on whatever anybody stores here, or makes sure of, stays.
    const release = blocks.pin()
    try {
      const mark = blocks.mark()
      keeper.copies.forget()
      const dead = await this.#heldBy(roots)
      const unneeded = this.#unneeded.get(kid) ?? new Set()
      this.#unneeded.set(kid, unneeded)
      // What is kept for others waits for them; what else is dead here does not.
      let open = false
      try {
        const audit = await holder.audit(kid, needs)
        for (const cid of audit.gone) unneeded.add(cid)
        open = audit.open
      } catch (error) {
        log.log('info', 'fs', `what is kept for ${shortKid(kid)} is kept on: ${errorLine(error)}`)
        open = true
      }
      const spared = new Set<CidText>()
      const before = [...unneeded].filter((cid) => !blocks.touchedSince(cid, mark))
      if (!mutated('sweep-live')) await this.#holdAll({ forgotten: new Set(roots), spared })
      // What is needed for something else is a copy like others.
      for (const cid of before) if (blocks.touchedSince(cid, mark)) unneeded.delete(cid)
      for (const cid of unneeded) if (pins.hasAny(cid)) unneeded.delete(cid)
      // A journal of which only the name was heard keeps nothing.
      const surplus = keeper.stored(kid) === undefined
      if (surplus) await remembered()
      for (const cid of unneeded) dead.add(cid)
      let later = open || [...dead].some((cid) => blocks.touchedLately(cid, mark))
      const doomed = [...dead].filter((cid) => !blocks.touchedSince(cid, mark))
      let count = 0
      const step = surplus ? MAX_CIDS_PER_CALL : WRITE_BATCH_BLOCKS
      for (let at = 0; at < doomed.length && !this.#closed; at += step) {
        const some = doomed.slice(at, at + step)
        // Whoever asks keeps others from freeing the same: only what has to be with others is asked about.
        const asked = some.filter((cid) => spared.has(cid) || (surplus && !unneeded.has(cid)))
        const elsewhere = asked.length > 0 ? await holder.elsewhere(asked, REPLICAS) : []
        const stays = new Set(asked.filter((_cid, i) => !elsewhere[i]))
        // What is needed for something else, and others do not have, is a copy like others.
        for (const cid of stays) if (unneeded.delete(cid)) spared.add(cid)
        const goes = some.filter((cid) => !stays.has(cid))
        later ||= some.some((cid) => stays.has(cid) && !spared.has(cid))
        for (const cid of goes) if (!blocks.touchedSince(cid, mark)) unneeded.delete(cid)
        count += await blocks.drop(goes, mark)
      }
      return { count, later: later || unneeded.size > 0 }
    } finally {
      release()
    }
  }

  /** Touches all that the journals which are kept here mean. @throws {OsError} when some of it cannot be had. */
  async #holdAll({ forgotten = new Set(), relieve = false, spared = new Set() }: Partial<Again>): Promise<void> {
    const { keeper, groups, processes, holder } = this.#options
    holder.touchAll()
    for (const kid of keeper.kept()) await keeper.holdAgain(kid, { forgotten, relieve, spared })
    const owner = processes()
    for (const name of groups.names('process/')) {
      const { snapshot, entries } = groups.find(name)?.stored() ?? {}
      const hold = async (kind: 'entry' | 'snapshot', bytes: Uint8Array) => {
        await owner.hold?.(kind, bytes, keeper.self, name)
      }
      if (snapshot && snapshot.byteLength > 0) await hold('snapshot', snapshot)
      for (const entry of entries ?? []) await hold('entry', entry)
    }
  }

  /** All that these directories hold and that is in the store here: nobody else is asked. */
  async #heldBy(roots: readonly CidText[]): Promise<Set<CidText>> {
    const { blocks } = this.#options
    const get = async (cid: CidText) => {
      const [bytes] = await blocks.held([cid])
      if (!bytes) throw new OsError('EIO', `block ${cid} is not here`)
      return bytes
    }
    const found = new Set<CidText>()
    const open = [...roots]
    for (let cid = open.pop(); cid !== undefined; cid = open.pop()) {
      if (found.has(cid)) continue
      const directory = await get(cid).then(
        (bytes) => decodeDirectory(cid as CidText, bytes),
        () => undefined, // freed before, or never here
      )
      if (!directory) continue
      found.add(cid)
      for (const entry of directory.values()) {
        if (entry.kind === 'directory') open.push(entry.cid)
        else if (entry.kind === 'symlink') found.add(entry.cid)
        else if (!found.has(entry.cid)) {
          for (const each of await allCids({ get }, entry, {}).catch(() => [])) found.add(each)
        }
      }
    }
    return found
  }
}
