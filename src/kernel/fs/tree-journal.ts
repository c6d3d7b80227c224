// What the journal of a tree means: a pure reducer. Replaying the same entries gives the same state on any node.
// Above: tree-keeper.ts. Below: nothing.
import { decode, encode } from 'cborg'
import * as v from 'valibot'
import { OsError } from '../../base/errors.ts'
import { isKid, type Kid } from '../../base/ids.ts'
import type { CidText } from '../blocks/cid.ts'
import { MAX_ABSORBED } from '../limits.ts'
import { type TreeOp, treeOp } from '../rpc/methods.ts'

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const text = v.pipe(v.string(), v.maxLength(256))
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
  }),
  v.strictObject({
    t: v.literal('changed'),
    from: text,
    root: text,
    /** What made `root` of `from`; null when that is too much for one entry: the directories tell. */
    ops: v.nullable(v.array(treeOp)),
    /** With this change the tree contains everything of that other one. */
    absorbs: v.nullable(versionOf),
  }),
])
export type TreeEntry = v.InferOutput<typeof entry>
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
  /** Trees whose content is part of this one; the latest last. */
  readonly #absorbed: Map<Kid, Absorbed>

  constructor(birth: TreeBirth) {
    this.kid = birth.kid
    this.bornMs = birth.bornMs
    this.root = birth.root
    this.version = birth.version
    this.base = birth.base
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

  apply(change: TreeEntry): void {
    if (change.t !== 'changed') throw new OsError('EIO', 'a tree begins twice')
    this.root = change.root
    this.version++
    if (!change.absorbs) return
    const [other, version] = change.absorbs
    const before = this.#absorbed.get(other)
    this.#absorbed.delete(other)
    this.#absorbed.set(other, before && before.version >= version ? before : { version, root: change.root })
    for (const oldest of this.#absorbed.keys()) {
      if (this.#absorbed.size <= MAX_ABSORBED) break
      this.#absorbed.delete(oldest)
    }
  }

  /** Undefined when it never met it. */
  absorbed(other: Kid): Absorbed | undefined {
    return this.#absorbed.get(other)
  }

  /** Everything in one entry. */
  birth(): TreeBirth {
    const { kid, bornMs, root, version, base } = this
    const absorbed = [...this.#absorbed].map(([other, at]): [Kid, number, CidText] => [other, at.version, at.root])
    return { t: 'tree', kid, bornMs, root, version, base, absorbed }
  }
}

/** The entry of a change, without its operations where those are more than `mostBytes`. */
export function entryOf(
  change: { from: CidText; root: CidText; ops: TreeOp[]; absorbs: readonly [Kid, number] | null },
  mostBytes: number,
): Uint8Array {
  const absorbs = change.absorbs && ([...change.absorbs] as [Kid, number])
  const whole = encodeTreeEntry({ t: 'changed', ...change, absorbs })
  return whole.byteLength <= mostBytes ? whole : encodeTreeEntry({ t: 'changed', ...change, absorbs, ops: null })
}
