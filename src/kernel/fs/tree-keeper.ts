// Trees whose journals this node keeps: leads some of them (tree-leading.ts), holds copies of the others (what a member
// acknowledges, it has with all its files). Above: tree-in-use.ts, which decides which tree is `/`.
// Below: the journals, tree-leading.ts, tree-holding.ts.
import { encode } from 'cborg'
import { toHex } from '../../base/bytes.ts'
import { errorLine, OsError, toOsError } from '../../base/errors.ts'
import { type Kid, kidFromHex, type NodeId, shortNode } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Hasher, Signer } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Random } from '../../ports/random.ts'
import { BlockMissing, type Blocks } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import type { BeginOptions } from '../journal/beginnings.ts'
import type { Groups } from '../journal/groups.ts'
import type { Journal, Journalled, JournalOwner } from '../journal/journal.ts'
import { majority, membersOf } from '../journal/raft/config.ts'
import * as limits from '../limits.ts'
import type { TreeHead, TreeOp } from '../rpc/bodies.ts'
import { smallFiles, type TreeCopies } from './copies.ts'
import { MalformedDag } from './dag.ts'
import type { Elsewhere } from './leaves.ts'
import type { LedTree, Placing } from './placement.ts'
import type { Tree } from './tree.ts'
import { ofKeg, precedes } from './tree-head.ts'
import { TreeHolding } from './tree-holding.ts'
import { type Absorbed, decodeTreeEntry, encodeTreeEntry, type TreeBirth, TreeState } from './tree-journal.ts'
import { type Applied, type Change, demandCopies, notLed, TreeLeading } from './tree-leading.ts'
import type { PastVersion, Version, Versions } from './versions.ts'

const PREFIX = 'tree/'

/** What a member of a journal has of a tree. */
export interface Stored {
  root: CidText
  version: number
  /** The newest root on the way to that one which is known to be the tree's: never one that lies beyond. */
  base: CidText
  /** Of a branch: the tree that it left, and that tree's root then. */
  parted: TreeBirth['base']
  versions: Versions
  absorbedRoots: CidText[]
  /** Names of the changes in it that were made last. */
  once: string[]
}

/** How what is kept is made sure of. */
export interface Again {
  /** Roots of versions of which somebody who should know has said that they are forgotten. */
  forgotten: ReadonlySet<CidText>
  /** There is no room here: others are to be found for leaves. */
  relieve: boolean
  /** Takes leaves that are needed, and that others keep. */
  spared: Set<CidText>
}

export interface KeeperOptions {
  self: NodeId
  tree: Tree
  blocks: Blocks
  groups: Groups
  clock: Clock
  hasher: Hasher
  signer: Signer
  random: Random
  log: LogSink
  /** This node leads that tree from now on, or it has changed. */
  onHead(head: TreeHead): void
  /** It keeps a tree of that keg (of `/`), and does not lead it, or no longer. */
  onFollow(keg: Kid | undefined): void
  /** A tree is gone: all of it is in another. */
  onRetired(tree: Kid): void
  /** It does not lead that tree, or no longer. */
  onUnled(tree: Kid): void
  /** A tree that this node leads has forgotten some of its versions: because somebody asked, or to make room. */
  onForgotten(tree: Kid, versions: Version[], asked: boolean): void
  /** Others keep that tree now instead of this node: roots of its versions. */
  onDismissed(tree: Kid, roots: CidText[]): void
  /** Which leaves of a tree that this node keeps need not be here, as whoever leads it says. */
  elsewhere(tree: Kid, leader: NodeId, relieve?: boolean): Elsewhere
  /** Whether that node, or this one, has room for more, as far as it says. */
  hasRoom(id: NodeId): boolean
  /** Something is refused because there is no room. Resolves when it is known whether that is still so. */
  onFull(): Promise<void>
  /** A change of a tree that this node leads begins, for which leaves have to be kept. */
  placing(tree: Kid, change: Change): Placing
}

export class TreeKeeper {
  readonly #options: KeeperOptions
  readonly #led = new Map<Kid, TreeLeading>()
  /** Trees that are being merged into another: they take no changes, also when this node leads them anew. */
  readonly #paused = new Set<Kid>()
  /** When this node handed each over because its disk took no more. */
  readonly #yielded = new Map<Kid, number>()
  readonly #holding: TreeHolding
  /** Which keg the trees are of that are kept here; null: of `/`. */
  readonly #kegs = new Map<Kid, Kid | null>()

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#holding = new TreeHolding(options)
  }

  get self(): NodeId {
    return this.#options.self
  }

  get copies(): TreeCopies {
    return this.#holding.copies
  }

  /** What journals of trees mean; see JournalOwner. */
  get owner(): JournalOwner {
    return {
      lead: (name, journal, before) => this.#lead(kidOf(name), journal, before),
      follow: (name) => {
        const kid = kidOf(name)
        const led = this.#led.get(kid)
        const keg = led ? led.state.keg : this.kegOf(kid)
        this.#led.delete(kid)
        this.#options.onUnled(kid)
        // Of one that is not here yet nobody knows; it is told again.
        if (led || keg !== undefined) this.#options.onFollow(keg ?? undefined)
      },
      hold: (kind, bytes, from, name) => this.#holding.hold(kidOf(name), { kind, bytes, from }),
      enclose: (entries, to) => this.#holding.enclose(entries, to),
      dismissed: (name, before) => {
        if (before.snapshot.byteLength === 0) return // it had not begun
        const { root, versions } = TreeState.replay([before.snapshot, ...before.entries])
        this.#options.onDismissed(kidOf(name), [root, ...versions.rows().map((row) => row.root)])
      },
      fold: (before) => {
        const snapshot = encodeTreeEntry(TreeState.replay([before.snapshot, ...before.entries]).birth())
        return { snapshot, bytes: snapshot.byteLength }
      },
    }
  }

  /** The head of a tree that this node leads. */
  head(kid: Kid): TreeHead | undefined {
    const led = this.#led.get(kid)
    return led?.head
  }

  /** The heads of all trees of a keg (of `/`) that this node leads. */
  heads(keg: Kid | undefined): TreeHead[] {
    return [...this.#led.values()].filter(({ state }) => state.keg === keg).map(({ head }) => head)
  }

  /** Trees kept here, led or not. */
  kept(): Kid[] {
    return this.#options.groups.names(PREFIX).map(kidOf)
  }

  /**
   * The oldest tree of a keg (of `/`) as the journals here have it, perhaps with changes that were never committed, whoever
   * leads it; undefined when none is kept. Its term is 0: nobody has said so.
   */
  recall(keg: Kid | undefined): TreeHead | undefined {
    let oldest: TreeHead | undefined
    for (const kid of this.kept()) {
      if (this.kegOf(kid) !== (keg ?? null)) continue
      const { snapshot, entries } = this.#options.groups.group(PREFIX + kid).stored()
      const { bornMs, root, version } = TreeState.replay([snapshot, ...entries])
      const head = ofKeg({ tree: kid, bornMs, term: 0, version, root, home: this.self }, keg)
      if (!oldest || precedes(head, oldest)) oldest = head
    }
    return oldest
  }

  /** Which keg a tree is of that is kept here: null for `/`; undefined when it is not, or not yet known. */
  kegOf(kid: Kid): Kid | null | undefined {
    const known = this.#led.get(kid)?.state.keg ?? this.#kegs.get(kid)
    if (known !== undefined) return known
    const snapshot = this.#options.groups.find(PREFIX + kid)?.committed().snapshot
    if (!snapshot?.byteLength) return undefined
    try {
      const birth = decodeTreeEntry(snapshot)
      const keg = (birth.t === 'tree' ? birth.keg : undefined) ?? null
      this.#kegs.set(kid, keg)
      return keg
    } catch (error) {
      this.#options.log.log('debug', 'fs', `nobody knows what keeps ${kid}: ${errorLine(error)}`)
      return undefined
    }
  }

  /** Whether this node is a member of that tree's journal. */
  keeps(kid: Kid): boolean {
    return this.#options.groups.find(PREFIX + kid) !== undefined
  }

  /** Whether this node votes in that tree's journal: then it lacks less of it than one that still learns. */
  votes(kid: Kid): boolean {
    const { groups, self } = this.#options
    return groups.find(PREFIX + kid)?.config.voters.some(({ id }) => id === self) ?? false
  }

  /**
   * Whether the journal that is kept here knows of another leader than who says to be it. A later term is another matter:
   * a member that was cut off may have been replaced, and then nobody else tells it who leads.
   */
  contradicts({ tree, home, term }: TreeHead): boolean {
    const group = this.#options.groups.find(PREFIX + tree)
    return group?.leader !== undefined && group.leader !== home && term <= group.term
  }

  /** Versions of a tree, as its leader knows them, or else as the journal here has them; undefined when it is not kept here. */
  versions(kid: Kid): Versions | undefined {
    const led = this.#led.get(kid)
    if (led) return led.state.versions
    const { snapshot, entries } = this.#options.groups.find(PREFIX + kid)?.committed() ?? {}
    return snapshot?.byteLength && entries ? TreeState.replay([snapshot, ...entries]).versions : undefined
  }

  /**
   * Makes sure of all that a tree which is kept here means: every version of it, also those that it forgets with an entry
   * which is not known to be committed, unless somebody who should know has said so.
   * @throws {OsError} EIO, ENOSPC; EAGAIN when it is damaged: it may be repaired.
   */
  async holdAgain(kid: Kid, { forgotten, relieve, spared }: Again): Promise<void> {
    const stored = this.stored(kid)
    if (!stored) return
    const { scope, elsewhere } = this.care(kid, relieve)
    const sparing: Elsewhere | undefined =
      elsewhere &&
      (async (leaves, options) => {
        const kept = await elsewhere(leaves, options)
        for (const [i, { cid }] of leaves.entries()) if (kept[i]) spared.add(cid)
        return kept
      })
    const care = { quiet: true, scope, elsewhere: sparing }
    if (!(await this.copies.everything(stored.root, {}, care))) {
      throw new OsError('EAGAIN', 'some of the tree is lost, unless a device that is away has it')
    }
    const perhaps = (this.versions(kid)?.rows() ?? []).filter(({ root }) => !forgotten.has(root))
    for (const { root } of [...stored.versions.rows(), ...perhaps]) await this.copies.everything(root, {}, care)
    for (const root of stored.absorbedRoots) await this.copies.directories(root, {}, { quiet: true })
  }

  /** How all of a tree that is kept here is looked after: without what others keep, if somebody leads it who says so. */
  care(kid: Kid, relieve = false): { scope: string; elsewhere: Elsewhere | undefined } {
    const leader = this.#options.groups.find(PREFIX + kid)?.leader
    return { scope: kid, elsewhere: leader === undefined ? undefined : this.#options.elsewhere(kid, leader, relieve) }
  }

  /** A tree that this node leads, for whoever places its leaves. */
  ledTree(kid: Kid): LedTree | undefined {
    const led = this.#led.get(kid)
    const group = this.#options.groups.find(PREFIX + kid)
    if (!led || !group) return undefined
    const { root, keg, versions, copies } = led.state
    const members = membersOf(group.config)
    const changing = group.config.learners.length > 0 || !group.settled
    return { keg, roots: [root, ...versions.rows().map((row) => row.root)], copies, members, changing }
  }

  /** Roots of all versions of a tree that is kept here, as its journal here has them, also what may not be committed. */
  roots(kid: Kid): CidText[] | undefined {
    const stored = this.stored(kid)
    return stored && [...new Set([stored.root, ...stored.versions.rows().map(({ root }) => root)])]
  }

  /** Members of the journal of a tree that is kept here. */
  members(kid: Kid): NodeId[] {
    const group = this.#options.groups.find(PREFIX + kid)
    return group ? membersOf(group.config) : []
  }

  /** The name of a tree to come. */
  async name(): Promise<{ kid: Kid; bornMs: number }> {
    const { hasher, random, clock, self } = this.#options
    const bornMs = clock.wallMs()
    const genesis = encode({ t: 'tree', v: 1, by: self, atMs: bornMs, nonce: random.bytes(16) })
    return { kid: kidFromHex(toHex(await hasher.sha256(genesis))), bornMs }
  }

  /**
   * Begins a tree that this node leads. @throws {OsError} ETIMEDOUT when the nodes that should keep it do not answer.
   */
  begin(birth: TreeBirth, options?: BeginOptions): Promise<void> {
    return this.#options.groups.create(PREFIX + birth.kid, encodeTreeEntry(birth), options)
  }

  /** Resolves when it is certain that this node still leads the tree. @throws {OsError} EAGAIN. */
  async confirm(kid: Kid): Promise<TreeHead> {
    if (!this.#led.has(kid)) throw notLed()
    await this.#options.groups.group(PREFIX + kid).confirm()
    const led = this.#led.get(kid)
    if (!led) throw notLed()
    return led.head
  }

  /** How far a tree that this node leads contains another. */
  absorbed(kid: Kid, other: Kid): Absorbed | undefined {
    return this.#led.get(kid)?.state.absorbed(other)
  }

  /**
   * Changes a tree that this node leads, all or none. Changes that wait while a batch is made durable go into the next
   * together; each is applied whole or refused alone, and nothing is visible before it is journalled.
   * @param from who asks, and has the files.
   * @throws {OsError} POSIX codes; EAGAIN: not led here, or too few are here; ENOQUORUM: not as safe as asked.
   */
  async apply(kid: Kid, change: Change, from: NodeId): Promise<Applied> {
    const { self, blocks } = this.#options
    if (change.ops.some(needsRoom) && this.#lacksRoom(kid)) await this.#demandRoom(kid)
    const release = blocks.pin()
    const past = (change.absorbs && change.past) ?? []
    const placing = this.#options.placing(kid, { ...change, ops: [...change.ops, ...past.map(restored)] })
    let outcome: Parameters<Placing['end']>[0] = 'failed'
    try {
      const options = { hints: from === self ? [] : [from] }
      const care = { scope: kid, elsewhere: placing.elsewhere }
      // A tree that lost a file, and with it all that is new in it, would never be merged.
      if (change.names) await this.#holding.holdRest(change.ops, options, care)
      // What nobody has no member could ever store.
      else if (!(await this.#holding.holdAll(change.ops, options, care))) {
        throw new BlockMissing('some of what was there is held by no tab that is here', { certain: true })
      }
      const kept = past.length > 0 ? await this.#holding.holdPast(past, options, care) : []
      demandCopies(placing, change.ack)
      const { head, ack } = await this.#leading(kid).apply({ ...change, past: kept }, from)
      outcome = change.absorbs !== undefined || change.mark?.mark === 'copies' ? 'review' : 'done'
      const devices = Math.max(1, Math.min(ack.devices, placing.devices()))
      return { head, ack: { level: placing.devices() > 1 ? ack.level : 'local', devices } }
    } catch (error) {
      throw this.#unstored(kid, error)
    } finally {
      placing.end(outcome)
      release()
    }
  }

  /** A name for a change, so that it may be asked for again. */
  nameChange(): string {
    return toHex(this.#options.random.bytes(8))
  }

  /** Versions of a tree that this node leads, for the one that it is merged into. */
  past(kid: Kid): PastVersion[] {
    return this.#led.get(kid)?.state.versions.past() ?? []
  }

  /** Names of the changes that were made last in a tree that this node leads. */
  madeIn(kid: Kid): string[] {
    return this.#led.get(kid)?.state.once ?? []
  }

  /** Sends small files of these changes, before another node that leads the tree is asked to make them. */
  enclose(to: NodeId, ops: readonly TreeOp[]): void {
    this.#options.blocks.enclose(to, smallFiles(ops))
  }

  /** Where a branch that this node leads left a tree. */
  base(kid: Kid): TreeBirth['base'] {
    return this.#led.get(kid)?.state.base ?? null
  }

  /** Refuses changes of a tree from now on. Resolves when those under way are done. */
  async pause(kid: Kid): Promise<void> {
    this.#paused.add(kid)
    await this.#led.get(kid)?.idle
  }

  resume(kid: Kid): void {
    this.#paused.delete(kid)
  }

  /** Forgets a tree everywhere: all of it is in another. */
  async retire(kid: Kid): Promise<void> {
    this.#led.delete(kid)
    this.#yielded.delete(kid)
    this.#kegs.delete(kid)
    this.#options.onUnled(kid)
    await this.#options.groups.retire(PREFIX + kid)
    this.#options.onRetired(kid)
  }

  /**
   * A tree that is kept here, with what its journal here holds beyond what is known to be committed, perhaps in vain.
   * @param known what its leader has told of it.
   */
  stored(kid: Kid, known?: Pick<TreeHead, 'version' | 'root'>): Stored | undefined {
    const group = this.#options.groups.find(PREFIX + kid)
    const { snapshot, entries } = group?.stored() ?? {}
    if (!group || !snapshot?.byteLength || !entries) return undefined
    const committed = group.committed()
    const state = TreeState.replay([committed.snapshot, ...committed.entries])
    let base = state.root
    for (const raw of entries.slice(committed.entries.length)) {
      state.apply(decodeTreeEntry(raw))
      // The leader has told more of it than the journal here knows to be committed.
      if (state.version === known?.version && state.root === known.root) base = state.root
    }
    const { root, version, versions, absorbedRoots, once } = state
    return { root, version, base, parted: state.base, versions, absorbedRoots, once }
  }

  /** Whose lack of room stands in the way of more. */
  #lacksRoom(kid: Kid): 'most' | 'self' | undefined {
    const { groups, hasRoom, self } = this.#options
    const config = groups.find(PREFIX + kid)?.config
    if (!config) return undefined
    if (config.voters.filter(({ id, witness }) => witness || hasRoom(id)).length < majority(config)) return 'most'
    return hasRoom(self) ? undefined : 'self'
  }

  /**
   * Where so many disks are full that nothing would be stored, only what makes room is taken: a journal that waits for a file
   * which nobody can keep takes nothing behind it either. @throws {OsError} ENOSPC; EAGAIN: another leads from now on.
   */
  async #demandRoom(kid: Kid): Promise<void> {
    await this.#options.onFull()
    const who = this.#lacksRoom(kid)
    if (!who) return
    const full = new OsError('ENOSPC', 'those who keep it have no room left: remove files, then free them with keg gc')
    throw who === 'self' ? this.#unstored(kid, full) : full
  }

  /** @throws {OsError} EAGAIN. */
  #leading(kid: Kid): TreeLeading {
    const led = this.#led.get(kid)
    if (!led || this.#paused.has(kid)) throw notLed()
    return led
  }

  #lead(kid: Kid, journal: Journal, before: Journalled): void {
    let state: TreeState
    try {
      state = TreeState.replay([before.snapshot, ...before.entries])
      if (state.kid !== kid) throw new OsError('EIO', 'it is the journal of another tree')
    } catch (error) {
      const why = toOsError(error).message
      this.#options.log.log('error', 'fs', `the journal of ${kid} cannot be replayed: ${why}`)
      return
    }
    const led: TreeLeading = new TreeLeading(state, journal, {
      ...this.#options,
      copies: this.copies,
      current: () => this.#led.get(kid) === led,
      made: (entry, changes) => this.#holding.made(entry, changes),
      unstored: (error) => this.#unstored(kid, error),
      onForgotten: (versions, asked) => this.#options.onForgotten(kid, versions, asked),
    })
    this.#led.set(kid, led)
    this.#options.onHead(led.head)
  }

  /** A leader whose disk takes no more makes way for a member that may have room. @returns what to tell whoever asked. */
  #unstored(kid: Kid, error: unknown): OsError {
    const { groups, clock, log } = this.#options
    const problem = toOsError(error)
    const elsewhere = problem instanceof BlockMissing || problem instanceof MalformedDag
    if ((problem.code !== 'ENOSPC' && problem.code !== 'EIO') || elsewhere) return problem
    const nowMs = clock.nowMs()
    if (nowMs - (this.#yielded.get(kid) ?? -Infinity) < limits.TREE_YIELD_MS) return problem
    const to = this.#led.has(kid) ? groups.find(PREFIX + kid)?.handOver() : undefined
    if (to === undefined) return problem
    this.#yielded.set(kid, nowMs)
    log.log('warn', 'fs', `cannot store changes of / here, ${shortNode(to)} takes over: ${errorLine(problem)}`)
    return new OsError('EAGAIN', 'the node that leads / cannot store it: another takes over', { cause: problem })
  }
}

/** Whether it takes more room than it says in the journal and the directories. */
function needsRoom({ op }: TreeOp): boolean {
  return op !== 'remove' && op !== 'move' && op !== 'set' && op !== 'umount'
}

/** Its leaves are placed as those of a version are that is brought back. */
function restored([cid]: PastVersion): TreeOp {
  return { op: 'graft', path: '/', kind: 'directory', cid, size: 0, mode: 0, mtimeMs: 0, atMs: 0 }
}

function kidOf(name: string): Kid {
  return name.slice(PREFIX.length) as Kid
}
