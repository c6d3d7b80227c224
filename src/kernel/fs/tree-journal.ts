// What the journal of a tree means: a pure reducer. Replaying the same entries gives the same state on any node.
// Above: tree-keeper.ts. Below: nothing.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { isKid, type Kid, type NodeId } from '../../base/ids.ts'
import { copiesCount, versionName } from '../../syscalls/table.ts'
import type { CidText } from '../blocks/cid.ts'
import {
  COPIES,
  MAX_ABSORBED,
  MAX_SIGNATURE_BYTES,
  MAX_TREE_ONCE,
  MAX_VERSIONS_BROUGHT,
  MAX_WHAT_CHARS,
} from '../limits.ts'
import { once, pastVersion, treeOp } from '../rpc/bodies.ts'
import type { Commit, Signed } from './commit-signature.ts'
import { type PastVersion, storedVersions, type Version, Versions } from './versions.ts'

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const text = v.pipe(v.string(), v.maxLength(256))
/** As far as a snapshot has to hold it. */
const nodeText = v.pipe(v.string(), v.minLength(1), v.maxLength(80))
const signature = v.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.byteLength <= MAX_SIGNATURE_BYTES,
)
const kid = v.custom<Kid>((value) => typeof value === 'string' && isKid(value))
/** A tree and one of its versions. */
const versionOf = v.strictTuple([kid, int])
/** The same, and the root of the tree that took it in, as it was then. */
const taken = v.strictTuple([kid, int, text])

const entry = v.variant('t', [
  /** How a tree begins, and what replaces its entries when the journal is compacted. */
  v.strictObject({
    t: v.literal('tree'),
    kid,
    /** Unix time of its birth: of two trees that meet the older one stays. */
    bornMs: int,
    root: text,
    version: int,
    absorbed: v.pipe(v.array(taken), v.maxLength(MAX_ABSORBED)),
    /** Of a branch: the tree that it left, and that tree's root then. */
    base: v.nullable(v.strictObject({ tree: kid, root: text })),
    /** The keg that it is a tree of; absent for `/`. */
    keg: v.exactOptional(kid),
    /** Devices that are to keep each leaf of a file; absent: COPIES. */
    copies: v.exactOptional(copiesCount),
    /** Absent in the birth of a tree, and in journals from before there were any. */
    versions: v.exactOptional(storedVersions),
    /** Names of the changes that were made last. */
    once: v.exactOptional(v.pipe(v.array(once), v.maxLength(MAX_TREE_ONCE))),
  }),
  v.strictObject({
    t: v.literal('changed'),
    from: text,
    root: text,
    /** What made `root` of `from`; null when that is too much for one entry: the directories tell. */
    ops: v.nullable(v.array(treeOp)),
    /** With this change the tree contains everything of that other one. */
    absorbs: v.nullable(versionOf),
    /** What is said of the version that it makes: when, by whom, in words. */
    said: v.exactOptional(v.strictTuple([int, nodeText, v.pipe(v.string(), v.maxLength(MAX_WHAT_CHARS))])),
    /** The number of that version, and its leader's signature (commit-signature.ts). Absent in journals from before there were any. */
    signed: v.exactOptional(v.strictTuple([int, nodeText, signature])),
    /** Names of the changes that it is made of. */
    once: v.exactOptional(v.array(once)),
    /** Of the other tree: versions that this one remembers from now on, older than the one that it makes. */
    past: v.exactOptional(v.pipe(v.array(pastVersion), v.maxLength(MAX_VERSIONS_BROUGHT))),
  }),
  v.strictObject({
    t: v.literal('named'),
    name: versionName,
    version: v.nullable(int),
  }),
  v.strictObject({ t: v.literal('forgot'), keep: int, beforeMs: int }),
  v.strictObject({ t: v.literal('copies'), copies: copiesCount }),
])
export type TreeEntry = v.InferOutput<typeof entry>
export type TreeChange = Extract<TreeEntry, { t: 'changed' }>
export type TreeBirth = Extract<TreeEntry, { t: 'tree' }>

export function encodeTreeEntry(value: TreeEntry): Uint8Array {
  return encode(value)
}

/** @throws {OsError} EIO for a journal that is not ours. */
export function decodeTreeEntry(raw: Uint8Array): TreeEntry {
  try {
    return v.parse(entry, decode(raw))
  } catch (error) {
    throw new OsError('EIO', 'the journal of a tree has an entry that cannot be read', { cause: error })
  }
}

/** How far a tree contains another. */
export interface Absorbed {
  /** Of the other. */
  version: number
  /** Of the one that contains it, when it had taken that in: whoever doubts it can look. */
  root: CidText
}

export class TreeState {
  readonly kid: Kid
  readonly bornMs: number
  root: CidText
  version: number
  readonly base: TreeBirth['base']
  readonly keg: Kid | undefined
  readonly versions: Versions
  /** Devices that are to keep each leaf of a file. */
  copies: number
  /** Changes that were made, the latest last: who asks again, because it did not hear of that, has them. */
  readonly #once: Set<string>
  /** Trees whose content is part of this one; the latest last. */
  readonly #absorbed: Map<Kid, Absorbed>

  constructor(birth: TreeBirth) {
    this.kid = birth.kid
    this.bornMs = birth.bornMs
    this.root = birth.root
    this.version = birth.version
    this.base = birth.base
    this.keg = birth.keg
    this.copies = birth.copies ?? COPIES
    this.#once = new Set(birth.once)
    const { version, root, bornMs: atMs } = birth
    this.versions = new Versions(
      { version, root, atMs, by: null, what: '', parent: null, signed: null, branch: false },
      birth.versions,
    )
    this.#absorbed = new Map(birth.absorbed.map(([kid, version, root]) => [kid, { version, root }]))
  }

  /** @throws {OsError} EIO. */
  static replay([first, ...rest]: readonly Uint8Array[]): TreeState {
    const birth = first && decodeTreeEntry(first)
    if (birth?.t !== 'tree') throw new OsError('EIO', 'the journal of a tree does not begin with it')
    const state = new TreeState(birth)
    for (const raw of rest) state.apply(decodeTreeEntry(raw))
    return state
  }

  /** @returns versions that are not remembered any more. */
  apply(change: TreeEntry): Version[] {
    switch (change.t) {
      case 'tree':
        throw new OsError('EIO', 'a tree begins twice')
      case 'changed':
        return this.#changed(change)
      case 'named':
        this.versions.name(change.name, change.version)
        return []
      case 'forgot':
        return this.versions.forget(change.keep, change.beforeMs)
      case 'copies':
        this.copies = change.copies
        return []
    }
  }

  #changed(change: TreeChange): Version[] {
    const [atMs, by, what] = change.said ?? [this.versions.newestMs, null, '']
    const before = (change.past ?? []).flatMap((past) => this.#remember(past, atMs))
    this.root = change.root
    this.version++
    const { version, root } = this
    const made = { version, root, atMs, by: by as NodeId | null, what, parent: change.from, branch: false }
    const thinned = this.versions.add({ ...made, signed: signedBy(change) })
    for (const name of change.once ?? []) this.#made(name)
    if (change.absorbs) this.#absorb(change.absorbs, change.root)
    return [...before, ...thinned]
  }

  /** What another tree was, once: its root is no root of this one. */
  #remember([root, by, what, name]: PastVersion, atMs: number): Version[] {
    const known = this.versions.of(root)
    const version = known ?? ++this.version
    const row = { version, root, atMs, by, what, parent: null, signed: null, branch: true }
    const thinned = known === undefined ? this.versions.add(row) : []
    if (name !== null) this.versions.nameBeside(name, version)
    return thinned
  }

  #made(name: string): void {
    this.#once.add(name)
    if (this.#once.size <= MAX_TREE_ONCE) return
    const [oldest] = this.#once
    if (oldest !== undefined) this.#once.delete(oldest)
  }

  /** Whether that change was made, as far as is remembered. */
  has(name: string): boolean {
    return this.#once.has(name)
  }

  /** Changes that were made, the latest last. */
  get once(): string[] {
    return [...this.#once]
  }

  #absorb([other, version]: readonly [Kid, number], root: CidText): void {
    const before = this.#absorbed.get(other)
    this.#absorbed.delete(other)
    this.#absorbed.set(other, before && before.version >= version ? before : { version, root })
    for (const oldest of this.#absorbed.keys()) {
      if (this.#absorbed.size <= MAX_ABSORBED) break
      this.#absorbed.delete(oldest)
    }
  }

  /** Undefined when it never met it. */
  absorbed(other: Kid): Absorbed | undefined {
    return this.#absorbed.get(other)
  }

  /** Roots at which it took others in: who doubts that it did reads them. */
  get absorbedRoots(): CidText[] {
    return [...this.#absorbed.values()].map(({ root }) => root)
  }

  /** Everything in one entry. */
  birth(): TreeBirth {
    const { kid, bornMs, root, version, base, keg } = this
    const absorbed = [...this.#absorbed].map(([other, at]): [Kid, number, CidText] => [other, at.version, at.root])
    const birth = { t: 'tree' as const, kid, bornMs, root, version, base, absorbed, versions: this.versions.stored() }
    const more = { ...(keg ? { keg } : {}), ...(this.copies === COPIES ? {} : { copies: this.copies }) }
    return { ...birth, ...more, ...(this.#once.size > 0 ? { once: this.once } : {}) }
  }
}

/** Who has signed a change, as it says. */
export function signedBy({ signed }: TreeChange): Signed | null {
  return signed ? { by: signed[1] as NodeId, signature: signed[2] } : null
}

/** What a change of a tree is as a commit; undefined for one that is not signed. */
export function commitOf(tree: Kid, { from, root, said, signed }: TreeChange): Commit | undefined {
  if (!said || !signed) return undefined
  const [atMs, by, what] = said
  return { tree, version: signed[0], parent: from, root, atMs, by: by as NodeId, what }
}

/** The entry of a change, without its operations where those are more than `mostBytes`. */
export function entryOf(change: TreeChange, mostBytes: number): Uint8Array {
  const whole = encodeTreeEntry(change)
  return whole.byteLength <= mostBytes ? whole : encodeTreeEntry({ ...change, ops: null })
}
