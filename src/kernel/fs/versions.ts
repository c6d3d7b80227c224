// The versions of a tree that its journal remembers: which root each one had, who made it, when and how. Pure: the same
// journal gives the same rows on every node. Above: tree-journal.ts. Below: nothing.
import * as v from 'valibot'
import type { NodeId } from '../../base/ids.ts'
import type { CidText } from '../blocks/cid.ts'
import {
  MAX_NEWEST_VERSIONS,
  MAX_SIGNATURE_BYTES,
  MAX_VERSION_NAMES,
  MAX_VERSIONS,
  MAX_VERSIONS_BROUGHT,
  MAX_WHAT_CHARS,
} from '../limits.ts'
import type { pastVersion, TreeOp } from '../rpc/bodies.ts'
import type { Signed } from './commit-signature.ts'

export interface Version {
  version: number
  root: CidText
  /** Unix time at which its leader made it. */
  atMs: number
  /** Who asked for it, the first of several; null when the journal does not tell. */
  by: NodeId | null
  /** Its first change in words, and how many more there were. */
  what: string
  /** The root that it was made of; null when the journal does not tell. */
  parent: CidText | null
  /** By its leader then; null for a tree's beginning, for what was made before commits were signed, and in a branch. */
  signed: Signed | null
  /** It was a version of another tree, which was merged: those of this one before and after were not made of it. */
  branch: boolean
}

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const signature = v.custom<Uint8Array>(
  (value) => value instanceof Uint8Array && value.byteLength <= MAX_SIGNATURE_BYTES,
)
const text = (max: number) => v.pipe(v.string(), v.maxLength(max))

const unsigned = [int, text(256), int, v.nullable(int), text(MAX_WHAT_CHARS)] as const

/** Of a tree that is merged into another. */
export type PastVersion = v.InferOutput<typeof pastVersion>

/** As a journal holds it: nodes by their number, rows from the oldest on. */
export const storedVersions = v.strictObject({
  /** Who asked, and who signed. */
  nodes: v.pipe(v.array(text(80)), v.maxLength(2 * MAX_VERSIONS)),
  /**
   * version, root, time, number of the node or null, what; its parent, where that is not the root of the row before, number of
   * the node that signed it, and how.
   */
  rows: v.pipe(
    v.array(
      v.union([
        v.strictTuple(unsigned),
        v.strictTuple([...unsigned, v.literal('branch')]),
        v.strictTuple([...unsigned, v.nullable(text(256)), int, signature]),
      ]),
    ),
    v.maxLength(MAX_VERSIONS),
  ),
  /** name, version */
  names: v.pipe(v.array(v.strictTuple([text(64), int])), v.maxLength(MAX_VERSION_NAMES)),
})
export type StoredVersions = v.InferOutput<typeof storedVersions>

export class Versions {
  /** From the oldest on. */
  #rows: Version[]
  readonly #names: Map<string, number>

  /** @param first what a tree without a past begins with. */
  constructor(first: Version, stored?: StoredVersions) {
    this.#names = new Map(stored?.names)
    const nodeOf = (number: number | null) =>
      (number === null ? null : (stored?.nodes[number] ?? null)) as NodeId | null
    this.#rows = stored?.rows.map(([version, root, atMs, node, what, parent, signer, signature], i) => {
      const by = nodeOf(signer ?? null)
      const signed = by && signature ? { by, signature } : null
      const made = signed ? (parent ?? stored.rows[i - 1]?.[1] ?? null) : null
      const branch = !signed && parent === 'branch'
      return { version, root, atMs, by: nodeOf(node), what, parent: made, signed, branch }
    }) ?? [first]
  }

  /** From the newest on. */
  rows(): Version[] {
    return this.#rows.toReversed()
  }

  get newestMs(): number {
    return this.#rows.at(-1)?.atMs ?? 0
  }

  names(): ReadonlyMap<string, number> {
    return this.#names
  }

  has(version: number): boolean {
    return this.#rows.some((row) => row.version === version)
  }

  /** The newest version with that root. */
  of(root: CidText): number | undefined {
    return this.#rows.findLast((row) => row.root === root)?.version
  }

  /** How many of another tree's versions are not among these. */
  unknown(past: readonly PastVersion[]): number {
    return new Set(past.map(([root]) => root).filter((root) => this.of(root) === undefined)).size
  }

  /** What another tree is to remember when this one is merged into it: what has a name, and the newest; the oldest first. */
  past(): PastVersion[] {
    const all = this.rows().flatMap(({ version, root, by, what }): PastVersion[] => {
      const names = [...this.#names].filter(([, named]) => named === version).map(([name]) => name)
      if (names.length > 0) return names.map((name) => [root, by, what, name])
      return what === '' ? [] : [[root, by, what, null]]
    })
    const named = all.filter((past) => past[3] !== null)
    const brought = new Set([...new Set([...named, ...all])].slice(0, MAX_VERSIONS_BROUGHT))
    return all.filter((past) => brought.has(past)).toReversed()
  }

  /** @returns those that it thins out. */
  add(row: Version): Version[] {
    this.#rows.push(row)
    return this.#rows.length > MAX_VERSIONS ? this.#thin() : []
  }

  /** @param version null: the name is given up. One that is not remembered gets none. */
  name(name: string, version: number | null): void {
    if (version === null) this.#names.delete(name)
    else if (this.has(version) && (this.#names.has(name) || this.#names.size < MAX_VERSION_NAMES)) {
      this.#names.set(name, version)
    }
  }

  /** The same, by another name where another version has that one. */
  nameBeside(name: string, version: number): void {
    for (let count = 1; ; count++) {
      const free = count === 1 ? name : `${name.slice(0, 60)}-${count}`
      const taken = this.#names.get(free)
      if (taken === undefined) this.name(free, version)
      if (taken === undefined || taken === version) return
    }
  }

  /**
   * Forgets versions that are neither named, nor among the `keep` newest (one at least), nor from `beforeMs` or later.
   * @returns them.
   */
  forget(keep: number, beforeMs: number): Version[] {
    const named = new Set(this.#names.values())
    const forgotten = this.#rows
      .slice(0, Math.max(0, this.#rows.length - Math.max(1, keep)))
      .filter(({ version, atMs }) => atMs < beforeMs && !named.has(version))
    const gone = new Set(forgotten)
    this.#rows = this.#rows.filter((row) => !gone.has(row))
    return forgotten
  }

  stored(): StoredVersions {
    const nodes = [...new Set(this.#rows.flatMap(({ by, signed }) => [by ?? [], signed?.by ?? []].flat()))]
    const numbers = new Map(nodes.map((node, i) => [node, i]))
    const rows = this.#rows.map((row, i): StoredVersions['rows'][number] => {
      const { version, root, atMs, by, what, parent, signed, branch } = row
      const plain = [version, root, atMs, by === null ? null : (numbers.get(by) ?? null), what] as const
      if (!signed) return branch ? [...plain, 'branch'] : [...plain]
      const told = parent === this.#rows[i - 1]?.root ? null : parent
      return [...plain, told, numbers.get(signed.by) as number, signed.signature]
    })
    return { nodes, rows, names: [...this.#names] }
  }

  /** Gives up the one that is missed least: the older, the wider the gap that it leaves may be. */
  #thin(): Version[] {
    const rows = this.#rows
    const nowMs = rows.at(-1)?.atMs ?? 0
    const named = new Set(this.#names.values())
    const gapOf = (i: number) => {
      const [before, row, after] = [rows[i - 1], rows[i], rows[i + 1]] as [Version, Version, Version]
      return (after.atMs - before.atMs + 1) / (nowMs - row.atMs + 1)
    }
    let least = 0
    for (let i = 1; i < rows.length - MAX_NEWEST_VERSIONS; i++) {
      if (named.has((rows[i] as Version).version)) continue
      if (least === 0 || gapOf(i) < gapOf(least)) least = i
    }
    return rows.splice(least, 1)
  }
}

const VERBS = {
  put: 'write',
  mkdir: 'make',
  symlink: 'link',
  remove: 'remove',
  set: 'set',
  move: 'move',
  copy: 'copy',
  graft: 'restore',
  mount: 'mount',
  umount: 'umount',
} as const satisfies Record<TreeOp['op'], string>

/** What a change did, in a few words. */
export function inWords(ops: readonly TreeOp[], merged: boolean): string {
  const [first] = ops
  if (!first) return merged ? 'merge' : ''
  const verb = first.op === 'graft' && first.exclusive ? 'import' : VERBS[first.op]
  const what = `${verb} ${'from' in first ? `${first.from} to ${first.to}` : first.path}`
  const more = ops.length > 1 ? ` and ${ops.length - 1} more` : ''
  return shortened(what, MAX_WHAT_CHARS - more.length) + more
}

function shortened(text: string, length: number): string {
  if (text.length <= length) return text
  // Not between the halves of a character.
  return `${text.slice(0, length - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}
