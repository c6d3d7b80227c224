// A directory of many entries, in parts: each a block of its own, so that a change stores the part that it touches and
// the list of parts. Names are in order; a part ends with a name whose hash says so, wherever the name came from, so that
// equal directories are equal blocks. Pure, and never changed in place. Above: tree.ts. Below: directory.ts.
import { OsError } from '../../base/errors.ts'
import type { CidText } from '../blocks/cid.ts'
import { MAX_DIRECTORY_ENTRIES, MAX_PLAIN_ENTRIES } from '../limits.ts'
import { MalformedDag } from './dag.ts'
import type { Directory, Entry } from './directory.ts'

/** Some 256 entries, 30 KB. */
const PART_ENDS = 0xff

export interface Part {
  /** Its last name. */
  readonly last: string
  /** In the order of their names. */
  readonly entries: Directory
  /** Its block, when it is known; `bytes` until that is stored. */
  cid?: CidText
  bytes?: Uint8Array | undefined
}

type Row = readonly [string, Entry]

/** A piece of a listing: so many entries after a name, or from the first on. */
export interface Page {
  after?: string | undefined
  limit: number
}

export class PartedDirectory implements ReadonlyMap<string, Entry> {
  readonly parts: readonly Part[]
  readonly size: number

  constructor(parts: readonly Part[]) {
    this.parts = parts
    this.size = parts.reduce((sum, { entries }) => sum + entries.size, 0)
    if (this.size > MAX_DIRECTORY_ENTRIES) {
      throw new OsError('EFBIG', `a directory has at most ${MAX_DIRECTORY_ENTRIES} entries: use subdirectories`)
    }
  }

  static of(directory: Directory): PartedDirectory {
    return new PartedDirectory(cut([...directory].sort(byName)))
  }

  get(name: string): Entry | undefined {
    return this.parts[this.#find(name)]?.entries.get(name)
  }

  has(name: string): boolean {
    return this.get(name) !== undefined
  }

  /** With another entry, or with one less. */
  change(name: string, entry: Entry | undefined): PartedDirectory {
    const at = Math.min(this.#find(name), this.parts.length - 1)
    const rows: Row[] = [...(this.parts[at]?.entries ?? [])].filter(([each]) => each !== name)
    if (entry) rows.splice(placeOf(rows, name), 0, [name, entry])
    let next = at + 1
    const following = this.parts[next]
    // What ended it has gone: it goes on with the next.
    if (following && !endsPart(rows.at(-1)?.[0])) {
      for (const row of following.entries) rows.push(row)
      next++
    }
    return new PartedDirectory([...this.parts.slice(0, at), ...cut(rows), ...this.parts.slice(next)])
  }

  page({ after, limit }: Page): Row[] {
    const rows: Row[] = []
    for (let at = after === undefined ? 0 : this.#find(after); at < this.parts.length; at++) {
      for (const row of (this.parts[at] as Part).entries) {
        if (after !== undefined && row[0] <= after) continue
        if (rows.length === limit) return rows
        rows.push(row)
      }
    }
    return rows
  }

  /** Of the part that has the name, if any has; the number of parts when it comes after all. */
  #find(name: string): number {
    let low = 0
    let high = this.parts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.parts[middle] as Part).last < name) low = middle + 1
      else high = middle
    }
    return low
  }

  *entries(): MapIterator<[string, Entry]> {
    for (const { entries } of this.parts) yield* entries
  }

  *keys(): MapIterator<string> {
    for (const { entries } of this.parts) yield* entries.keys()
  }

  *values(): MapIterator<Entry> {
    for (const { entries } of this.parts) yield* entries.values()
  }

  [Symbol.iterator](): MapIterator<[string, Entry]> {
    return this.entries()
  }

  forEach(each: (entry: Entry, name: string, directory: ReadonlyMap<string, Entry>) => void): void {
    for (const [name, entry] of this) each(entry, name, this)
  }
}

/** With another entry under that name; the original is not changed. */
export function withEntry(directory: Directory, name: string, entry: Entry): Directory {
  if (directory instanceof PartedDirectory) return directory.change(name, entry)
  return new Map(directory).set(name, entry)
}

/** Without that name; the original is not changed. */
export function withoutEntry(directory: Directory, name: string): Directory {
  if (directory instanceof PartedDirectory) return directory.change(name, undefined)
  const copy = new Map(directory)
  copy.delete(name)
  return copy
}

/** In parts if it is large, and in one piece if it is not: as it is stored. */
export function fitting(directory: Directory): Directory {
  if (directory.size <= MAX_PLAIN_ENTRIES) {
    return directory instanceof PartedDirectory ? new Map(directory) : directory
  }
  return directory instanceof PartedDirectory ? directory : PartedDirectory.of(directory)
}

/** Its entries in the order of parts: blocks have another, where names are of more than the most common letters. */
export function inOrder(directory: Directory): Directory {
  return new Map([...directory].sort(byName))
}

/** Entries of a page, in the order of their names; of a large directory the others are not looked at. */
export function pageOf(directory: Directory, page: Page): Row[] {
  if (directory instanceof PartedDirectory) return directory.page(page)
  const { after, limit } = page
  return [...directory]
    .filter(([name]) => after === undefined || name > after)
    .sort(byName)
    .slice(0, limit)
}

/** Blocks of a stored directory beside its own. */
export function partsOf(directory: Directory): CidText[] {
  return directory instanceof PartedDirectory ? directory.parts.map(({ cid }) => cid as CidText) : []
}

/** The parts of a directory as blocks say. @throws {OsError} EIO when nobody here would cut it so. */
export function joined(cid: CidText, parts: readonly Part[]): PartedDirectory {
  let before: string | undefined
  for (const [i, { last, entries }] of parts.entries()) {
    let name: string | undefined
    for (name of entries.keys()) {
      const isLast = name === last
      if (before !== undefined && name <= before) throw wrong(cid)
      if (endsPart(name) !== isLast && !(isLast && i === parts.length - 1)) throw wrong(cid)
      before = name
    }
    if (name !== last) throw wrong(cid)
  }
  const directory = new PartedDirectory(parts)
  if (directory.size <= MAX_PLAIN_ENTRIES) throw wrong(cid)
  return directory
}

function wrong(cid: CidText): MalformedDag {
  return new MalformedDag(`the parts of directory ${cid} do not fit together`)
}

/** @param rows in order. */
function cut(rows: readonly Row[]): Part[] {
  const parts: Part[] = []
  let from = 0
  for (const [i, [name]] of rows.entries()) {
    if (i < rows.length - 1 && !endsPart(name)) continue
    parts.push({ last: name, entries: new Map(rows.slice(from, i + 1)) })
    from = i + 1
  }
  return parts
}

/** FNV-1a of its UTF-16 code units, mixed at the end as MurmurHash3 does: names that are alike have hashes that are not. */
function endsPart(name: string | undefined): boolean {
  if (name === undefined) return false
  let hash = 0x811c_9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x0100_0193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35)
  return ((hash ^ (hash >>> 16)) & PART_ENDS) === 0
}

function placeOf(rows: readonly Row[], name: string): number {
  let low = 0
  let high = rows.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((rows[middle] as Row)[0] < name) low = middle + 1
    else high = middle
  }
  return low
}

function byName([a]: Row, [b]: Row): number {
  return a < b ? -1 : 1
}
