// The past of a keg: which versions are remembered, what changed between them, and how to have one back. Above: past.ts,
// keg-mount.ts. Below: shared-tree.ts, tree.ts, watch.ts.
import { OsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { CallArgs, Changes, VersionChange } from '../../syscalls/table.ts'
import type { Ack, VersionRow } from '../../syscalls/types.ts'
import { kidOfCid, parseCid } from '../blocks/cid.ts'
import { MAX_VERSIONS } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { isSigned } from './commit-signature.ts'
import type { Entry } from './directory.ts'
import { splitPath } from './path.ts'
import type { SharedTree } from './shared-tree.ts'
import { present, type Tree } from './tree.ts'
import type { VersionPage } from './tree-calls.ts'
import type { Version } from './versions.ts'
import { changesBetween, versionOf } from './watch.ts'

type Names = VersionPage['names']

interface Known {
  rows: Version[]
  names: Names
  /** The tree whose versions they are. */
  tree: Kid
}

/** So long an answer serves whoever looks at many files of a version. */
const KNOWN_MS = 200
/** Rows of one answer unless told. */
const PAGE = 100
const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** How often the tree may be another one while its versions are asked for page by page. */
const MAX_RESTARTS = 5

export class TreeHistory {
  readonly shared: SharedTree
  readonly #tree: Tree
  readonly #clock: Clock
  readonly #signer: Signer
  #known: { now: string; atMs: number; signal: AbortSignal; answer: Promise<Known> } | undefined

  constructor(options: { shared: SharedTree; tree: Tree; clock: Clock; signer: Signer }) {
    this.shared = options.shared
    this.#tree = options.tree
    this.#clock = options.clock
    this.#signer = options.signer
  }

  /** From the newest on. @throws {OsError} EHOSTUNREACH, EINVAL; EIO when directories of an old version cannot be had. */
  async rows(
    args: Omit<CallArgs<'info'> & { topic: 'versions' }, 'topic'>,
    signal: AbortSignal,
  ): Promise<VersionRow[]> {
    const { path = '/', all = false, from, before = Number.MAX_SAFE_INTEGER, limit = PAGE } = args
    const names = all ? [] : splitPath(path)
    const { rows, names: given, tree } = await this.all(signal)
    const newest = from === undefined ? undefined : this.#one(from, rows, given)
    const found: VersionRow[] = []
    // Of what changed a path, and of what a version was made of, no branch is part.
    const line = names.length > 0 ? false : newest?.branch
    const own = rows.filter(({ branch }) => line === undefined || branch === line)
    for (const [i, row] of own.entries()) {
      if (found.length >= limit) break
      if ((newest && row.version > newest.version) || row.version >= before) continue
      const older = own[i + 1]
      if (names.length > 0 && !(await this.#changed(names, older, row, signal))) continue
      found.push(versionRow(row, given, await this.#proof(tree, row)))
    }
    return found
  }

  /** All that is remembered, from the newest on. @throws {OsError} EHOSTUNREACH; EPROTO for what no leader says. */
  async all(signal: AbortSignal): Promise<Known> {
    const head = await this.shared.head(signal)
    const now = `${head.tree} ${head.version}`
    const known = this.#known
    // Names and forgetting make no version: what was asked a moment ago is still good for a walk through a version.
    if (known?.now === now && this.#clock.nowMs() - known.atMs < KNOWN_MS) {
      return known.answer.catch((error: unknown) => {
        if (signal.aborted || !known.signal.aborted) throw error
        return this.all(signal) // only whoever asked first has given up
      })
    }
    const answer = this.#askAll(signal)
    this.#known = { now, atMs: this.#clock.nowMs(), signal, answer }
    answer.catch(() => {
      if (this.#known?.answer === answer) this.#known = undefined
    })
    return answer
  }

  async #askAll(signal: AbortSignal): Promise<Known> {
    const rows: Version[] = []
    let tree: Kid | undefined
    for (let restarts = 0; ; ) {
      const last = rows.at(-1)?.version ?? null
      const page = await this.shared.versions(last, signal)
      if (tree !== undefined && page.tree !== tree) {
        // Two trees met meanwhile: the versions of one are not those of the other.
        if (++restarts > MAX_RESTARTS) throw new OsError('EAGAIN', 'parts of the cluster are being merged: try again')
        rows.length = 0
        tree = undefined
        continue
      }
      tree = page.tree
      for (const row of page.rows) {
        const above = rows.at(-1)
        if ((above && row.version >= above.version) || rows.length >= MAX_VERSIONS) {
          throw new OsError('EPROTO', 'who leads it tells of versions that cannot be')
        }
        rows.push(row as Version)
      }
      if (!page.more || page.rows.length === 0) return { rows, names: page.names, tree }
    }
  }

  /** What a version that somebody speaks of is. @throws {OsError} ENOENT, EINVAL. */
  async find(text: string, signal: AbortSignal): Promise<Version> {
    const { rows, names, tree } = await this.all(signal)
    const found = this.#one(text, rows, names)
    if ((await this.#proof(tree, found)) !== 'wrong') return found
    throw new OsError('EPROTO', `version ${found.version} has a signature that is not of the node that is named`)
  }

  /** Whether a version is what the node that is said to have made it has signed. */
  async #proof(tree: Kid, { parent, signed, ...row }: Version): Promise<Proof> {
    if (!signed || parent === null) return 'none'
    return (await isSigned(this.#signer, { ...row, tree, parent }, signed)) ? 'signed' : 'wrong'
  }

  /** What stood at a path in a version: [version, ...names]. @param last whether a link in the last place is followed. @throws {OsError} ENOENT. */
  async entryAt(
    [version = '', ...names]: readonly string[],
    signal: AbortSignal,
    last = true,
  ): Promise<Entry | undefined> {
    const { root } = await this.find(version, signal)
    return (await this.#tree.resolve({ root, options: { signal } }, names, { last })).entry
  }

  async diff({ from, to, path = '/' }: CallArgs<'info'> & { topic: 'diff' }, signal: AbortSignal): Promise<Changes> {
    const [before, now] = [await this.find(from, signal), await this.find(to, signal)]
    const names = splitPath(path)
    const [was, is] = [await this.#entry(before, names, signal), await this.#entry(now, names, signal)]
    if (!was && !is) throw new OsError('ENOENT', `${path}: neither version has it`)
    const comparison = { tree: this.#tree, options: { signal }, recursive: true }
    return { version: versionOf(is), ...(await changesBetween(comparison, was, is)) }
  }

  /** @throws {OsError} ENOENT for what is not remembered, or was not there then; EIO when nobody here has it. */
  async change(args: VersionChange, signal: AbortSignal): Promise<Ack> {
    try {
      return await this.#change(args, signal)
    } finally {
      this.#known = undefined
    }
  }

  async #change(args: VersionChange, signal: AbortSignal): Promise<Ack> {
    switch (args.op) {
      case 'restore':
        return this.#restore(args, signal)
      case 'name': {
        const version = args.version === null ? null : (await this.find(args.version, signal)).version
        return (await this.shared.apply({ ops: [], mark: { mark: 'name', name: args.name, version } }, signal)).ack
      }
      case 'forget': {
        const { keep, forMs } = args
        return (await this.shared.apply({ ops: [], mark: { mark: 'forget', keep, forMs } }, signal)).ack
      }
      case 'copies': {
        const { copies } = args
        return (await this.shared.apply({ ops: [], mark: { mark: 'copies', copies } }, signal)).ack
      }
    }
  }

  async #restore({ version, path, remove }: VersionChange & { op: 'restore' }, signal: AbortSignal): Promise<Ack> {
    const then = await this.find(version, signal)
    const entry = await this.#entry(then, splitPath(path), signal)
    if (!entry && !remove) throw new OsError('ENOENT', `${path} was not there in version ${then.version}`)
    const atMs = this.#clock.wallMs()
    const op: TreeOp = entry
      ? { op: 'graft', path, ...entry, atMs }
      : { op: 'remove', path, recursive: true, mtimeMs: atMs }
    return (await this.shared.apply({ ops: [op] }, signal)).ack
  }

  #one(text: string, rows: readonly Version[], names: Names): Version {
    const found = this.#pick(text, rows, names)
    if (!found) throw new OsError('ENOENT', `no version '${text}' is remembered: see keg log`)
    return found
  }

  #pick(text: string, rows: readonly Version[], names: Names): Version | undefined {
    const named = names.find(([name]) => name === text)
    if (named) return rows.find(({ version }) => version === named[1])
    if (/^\d+$/.test(text)) return rows.find(({ version }) => version === Number(text))
    const [, back] = /^(?:HEAD)?(?:~(\d{1,9}))?$/.exec(text) ?? []
    const own = rows.filter(({ branch }) => !branch)
    if (back !== undefined || text === 'HEAD') return own[Number(back ?? 0)]
    const [, count, unit] = /^@(\d{1,9})([smhd])$/.exec(text) ?? []
    if (count !== undefined) {
      const thenMs = this.#clock.wallMs() - Number(count) * UNITS[unit as keyof typeof UNITS]
      return own.find(({ atMs }) => atMs <= thenMs)
    }
    if (/^K-[0-9a-f]{4,64}$/.test(text)) {
      const found = rows.filter(({ root }) => kidOfCid(parseCid(root)).startsWith(text))
      if (new Set(found.map(({ root }) => root)).size > 1) {
        throw new OsError('EINVAL', `${text} begins the KIDs of several versions: give more of it`)
      }
      return found[0]
    }
    return undefined
  }

  async #changed(names: readonly string[], older: Version | undefined, row: Version, signal: AbortSignal) {
    const now = await this.#entry(row, names, signal)
    const before = older && (await this.#entry(older, names, signal))
    return versionOf(now) !== versionOf(before)
  }

  /** What stood there; links on the way are followed, not in the last place. */
  async #entry({ root }: Version, names: readonly string[], signal: AbortSignal) {
    const place = await this.#tree.resolve({ root, options: { signal } }, names, { last: false })
    return place.entry && present(place)
  }
}

type Proof = VersionRow['proof']

export function versionRow(
  { version, root, atMs, by, what, parent, signed, branch }: Version,
  names: Names,
  proof: Proof,
): VersionRow {
  const own = names.filter(([, named]) => named === version).map(([name]) => name)
  const committed = { parent, committer: signed?.by ?? null, proof, branch }
  return { version, atMs, by, what, names: own, kid: kidOfCid(parseCid(root)), cid: root, ...committed }
}
