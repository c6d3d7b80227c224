// A tree that this node leads: takes changes, makes those that wait into one commit, journals it. Above: tree-keeper.ts.
// Below: tree-edit.ts, tree-journal.ts, the journal.
import { OsError, toOsError } from '../../base/errors.ts'
import type { Kid, NodeId } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { Ack } from '../../syscalls/types.ts'
import type { Journal } from '../journal/journal.ts'
import * as limits from '../limits.ts'
import type { TreeHead, TreeMark, TreeOp } from '../rpc/bodies.ts'
import { signCommit } from './commit-signature.ts'
import type { TreeCopies } from './copies.ts'
import type { Placing } from './placement.ts'
import type { Tree } from './tree.ts'
import { TreeEdit } from './tree-edit.ts'
import { ofKeg } from './tree-head.ts'
import { encodeTreeEntry, entryOf, type TreeChange, type TreeEntry, type TreeState } from './tree-journal.ts'
import { inWords, type PastVersion, type Version, type Versions } from './versions.ts'

export interface Change {
  ops: readonly TreeOp[]
  /** How safe it has to be; undefined: as safe as can be had now. */
  ack?: Ack['level'] | undefined
  /** With it the tree contains that other one. */
  absorbs?: readonly [Kid, number] | undefined
  /** What is noted of its versions. */
  mark?: TreeMark | undefined
  /** Its name: asked for again under it, it is not made again. */
  once?: string | undefined
  /** Of a tree that is merged, and only then: names of other changes that are in it. */
  names?: readonly string[] | undefined
  /** Of a tree that is merged: versions of it that are remembered from now on, the oldest first. */
  past?: readonly PastVersion[] | undefined
}

export interface Applied {
  head: TreeHead
  ack: Ack
}

interface Request extends Change {
  from: NodeId
  resolve(applied: Applied): void
  reject(error: OsError): void
}

export interface TreeLeadingOptions {
  self: NodeId
  tree: Tree
  copies: TreeCopies
  clock: Clock
  signer: Signer
  /** Whether this node leads the tree still. */
  current(): boolean
  /** These changes become that entry of the journal. */
  made(entry: Uint8Array, changes: readonly Pick<Request, 'ops' | 'from'>[]): void
  /** Its disk took no more. @returns what to tell whoever asked. */
  unstored(error: unknown): OsError
  onHead(head: TreeHead): void
  onForgotten(versions: Version[], asked: boolean): void
}

export class TreeLeading {
  readonly #options: TreeLeadingOptions
  readonly state: TreeState
  readonly #journal: Journal
  readonly #requests: Request[] = []
  #queue: Promise<void> = Promise.resolve()

  constructor(state: TreeState, journal: Journal, options: TreeLeadingOptions) {
    this.state = state
    this.#journal = journal
    this.#options = options
  }

  get head(): TreeHead {
    const { kid, bornMs, root, version, keg, copies } = this.state
    const head = { tree: kid, bornMs, term: this.#journal.term, version, root, home: this.#options.self }
    return ofKeg(copies === limits.COPIES ? head : { ...head, copies }, keg)
  }

  /** Resolves when nothing waits to be committed. */
  get idle(): Promise<void> {
    return this.#queue
  }

  /** @param from who asks. @throws {OsError} as TreeKeeper.apply. */
  apply(change: Change, from: NodeId): Promise<Applied> {
    return new Promise((resolve, reject) => {
      this.#requests.push({ ...change, from, resolve, reject })
      if (this.#requests.length === 1) this.#queue = this.#queue.then(() => this.#commit())
    })
  }

  /**
   * What notes something about versions is alone: it is judged by what there is then. And no more names than a tree
   * remembers, lest one entry become too large for the journal.
   */
  #take(): Request[] {
    let names = 0
    const end = this.#requests.findIndex((request, i) => {
      names += namesOf(request).length
      return request.mark !== undefined || (names > limits.MAX_TREE_ONCE && i > 0)
    })
    const taken = this.#requests.splice(0, end < 0 ? this.#requests.length : Math.max(1, end))
    if (this.#requests.length > 0) this.#queue = this.#queue.then(() => this.#commit())
    return taken
  }

  async #commit(): Promise<void> {
    const { tree, clock, current, unstored } = this.#options
    const { state } = this
    const requests = this.#take()
    const made: Request[] = []
    const once = new Set<string>()
    try {
      if (!current()) throw notLed()
      const edit = new TreeEdit(tree, {}, state.keg !== undefined)
      const from = state.root
      let root = from
      let absorbs: readonly [Kid, number] | null = null
      let past: readonly PastVersion[] = []
      const marks: TreeEntry[] = []
      for (const request of requests) {
        try {
          if (request.once !== undefined && (state.has(request.once) || once.has(request.once))) {
            made.push({ ...request, ops: [] })
            continue
          }
          if (absorbs && request.absorbs) throw new OsError('EAGAIN', 'another tree is being merged')
          demandReachable(this.#journal.reach, request.ack)
          let next = root
          for (const op of request.ops) next = await edit.apply(next, op)
          if (request.mark) marks.push(markEntry(request.mark, state.versions, clock.wallMs()))
          root = next
          if (request.absorbs) [absorbs, past] = [request.absorbs, request.past ?? []]
          made.push(request)
          for (const name of namesOf(request)) once.add(name)
        } catch (error) {
          request.reject(toOsError(error))
        }
      }
      const entries: TreeEntry[] = [...marks]
      root = await edit.save(root).catch((error: unknown) => Promise.reject(unstored(error)))
      if (root !== from || absorbs) {
        const told = past.length > 0 ? { past: [...past] } : {}
        const change = { from, root, absorbs: absorbs && [...absorbs], ...told } satisfies Partial<TreeChange>
        entries.unshift({ ...(await this.#changeEntry(change, made)), ...(once.size > 0 ? { once: [...once] } : {}) })
      }
      const ack = entries.length > 0 ? await this.#journalled(entries, made) : await this.#unchanged(made)
      const { head } = this
      for (const request of made) {
        if (reaches(ack, request.ack)) request.resolve({ head, ack })
        else request.reject(tooFew(`was written on ${ack.devices} devices only (${ack.level})`))
      }
    } catch (error) {
      for (const request of requests) request.reject(toOsError(error)) // those settled already do not hear of it
    }
  }

  /** Nothing had to be written: a change that was made before, under the same name, is as safe as all that was journalled. */
  #unchanged(made: readonly Request[]): Promise<Ack> | Ack {
    const again = made.filter(({ once }) => once !== undefined && this.state.has(once))
    return again.length > 0 ? this.#journal.append([], levelOf(again)) : { level: 'local', devices: 1 }
  }

  async #changeEntry(
    change: Pick<TreeChange, 'from' | 'root' | 'absorbs' | 'past'>,
    made: readonly Request[],
  ): Promise<TreeChange> {
    const { kid, versions } = this.state
    const version = this.state.version + versions.unknown(change.past ?? []) + 1
    const ops = made.flatMap((request) => request.ops)
    const by = made.find((request) => request.ops.length > 0)?.from ?? this.#options.self
    const [atMs, what] = [this.#options.clock.wallMs(), inWords(ops, change.absorbs !== null)]
    const { from: parent, root } = change
    const commit = { tree: kid, version, parent, root, atMs, by, what }
    const { by: signer, signature } = await signCommit(this.#options.signer, commit)
    return { t: 'changed', ...change, ops, said: [atMs, by, what], signed: [version, signer, signature] }
  }

  async #journalled(entries: readonly TreeEntry[], made: readonly Request[]): Promise<Ack> {
    const { copies, current, onForgotten, onHead } = this.#options
    const { kid } = this.state
    for (const each of entries) {
      if (each.t === 'changed' && copies.has(each.from, kid)) copies.note(each.root, kid)
    }
    const encoded = entries.map((each) => {
      if (each.t !== 'changed') return encodeTreeEntry(each)
      const entry = entryOf(each, limits.MAX_TREE_ENTRY_BYTES)
      this.#options.made(entry, made)
      return entry
    })
    const ack = await this.#journal.append(encoded, levelOf(made))
    // Another node may lead by now, with this change: it says so itself.
    if (!current()) throw new OsError('ECONNRESET', 'another node took over meanwhile')
    for (const each of entries) {
      const forgotten = this.state.apply(each)
      if (forgotten.length > 0) onForgotten(forgotten, each.t === 'forgot')
    }
    if (entries.some(({ t }) => t === 'changed' || t === 'copies')) onHead(this.head)
    return ack
  }
}

/** @throws {OsError} ENOENT for a version that is not remembered; ENOSPC for too many names. */
function markEntry(mark: TreeMark, versions: Versions, nowMs: number): TreeEntry {
  if (mark.mark === 'copies') return { t: 'copies', copies: mark.copies }
  if (mark.mark === 'forget') return { t: 'forgot', keep: mark.keep, beforeMs: Math.max(0, nowMs - mark.forMs) }
  const { name, version } = mark
  const names = versions.names()
  if (version === null && !names.has(name)) throw new OsError('ENOENT', `no version is called ${name}`)
  if (version !== null && !versions.has(version)) throw new OsError('ENOENT', `version ${version} is not remembered`)
  if (version !== null && !names.has(name) && names.size >= limits.MAX_VERSION_NAMES) {
    throw new OsError('ENOSPC', `${names.size} versions have names already: remove one with keg snapshot --delete`)
  }
  return { t: 'named', name, version }
}

function levelOf(made: readonly Request[]): Ack['level'] {
  return made.some(({ ack }) => ack === 'all') ? 'all' : 'majority'
}

function namesOf({ once, names = [] }: Change): readonly string[] {
  return once === undefined ? names : [once, ...names]
}

export function notLed(): OsError {
  return new OsError('EAGAIN', 'this node does not lead the tree now')
}

function tooFew(what: string): OsError {
  return new OsError('ENOQUORUM', `it ${what}: too few of the nodes that keep / are here`)
}

/** Refuses before anything is written what cannot become as safe as asked. */
function demandReachable(reach: number, ack: Ack['level'] | undefined): void {
  if (ack !== undefined && ack !== 'local' && reach === 1) throw tooFew('was not written')
}

/** The same of leaves that were placed. */
export function demandCopies(placing: Pick<Placing, 'devices' | 'wanted'>, ack: Ack['level'] | undefined): void {
  if (ack === undefined || ack === 'local') return
  if (placing.devices() < (ack === 'all' ? placing.wanted() : limits.REPLICAS)) throw tooFew('was not written')
}

function reaches(ack: Ack, wanted: Ack['level'] | undefined): boolean {
  const levels = ['local', 'majority', 'all']
  return wanted === undefined || levels.indexOf(ack.level) >= levels.indexOf(wanted)
}
