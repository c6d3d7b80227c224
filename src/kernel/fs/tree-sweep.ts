// Frees blocks that only forgotten versions of a tree hold. Conservative: it looks only at what those versions held, keeps
// all that any other version, a journal of a process or somebody who wrote just now may mean, and does nothing when it
// cannot be sure. Above: kernel.ts. Below: tree-keeper.ts, blocks.
import { decode } from 'cborg'
import { errorLine, OsError } from '../../base/errors.ts'
import { type Kid, shortKid } from '../../base/ids.ts'
import type { Clock, Timer } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { type CidText, isStoredCid } from '../blocks/cid.ts'
import type { Groups } from '../journal/groups.ts'
import { MAX_VERSIONS, SWEEP_AFTER_MS, WRITE_BATCH_BLOCKS } from '../limits.ts'
import { mutated } from '../mutations.ts'
import { allCids } from './dag.ts'
import { type Directory, decodeDirectory, type Entry } from './directory.ts'
import type { Tree } from './tree.ts'
import type { TreeKeeper } from './tree-keeper.ts'

export interface TreeSweepOptions {
  keeper: TreeKeeper
  tree: Tree
  blocks: Blocks
  groups: Groups
  clock: Clock
  log: LogSink
}

/** How a walk reads; what throws ends it. */
interface Walk {
  directory(cid: CidText): Promise<Directory>
  file(entry: Entry): Promise<CidText[]>
}

export class TreeSweep {
  readonly #options: TreeSweepOptions
  /** Roots of forgotten versions that are to be swept, by tree. */
  readonly #waiting = new Map<Kid, Set<CidText>>()
  #timer: Timer | undefined
  #closed = false

  constructor(options: TreeSweepOptions) {
    this.#options = options
  }

  /** Some versions of a tree are forgotten. Anybody may say so: what is live is told by the journal that is kept here. */
  forgotten(kid: Kid, roots: readonly CidText[]): void {
    const { keeper, clock } = this.#options
    if (this.#closed || !keeper.keeps(kid)) return
    const waiting = this.#waiting.get(kid) ?? new Set()
    for (const root of roots) if (waiting.size < MAX_VERSIONS) waiting.add(root)
    this.#waiting.set(kid, waiting)
    // Later: whoever wrote a moment ago is done then, and members know of it.
    this.#timer ??= clock.setTimer(() => void this.#sweepAll(), SWEEP_AFTER_MS, 'sweep blocks')
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }

  async #sweepAll(): Promise<void> {
    this.#timer = undefined
    for (const [kid, roots] of [...this.#waiting]) {
      this.#waiting.delete(kid)
      try {
        const count = await this.#sweep(kid, roots)
        this.#options.log.log('info', 'fs', `freed ${count} blocks of forgotten versions of ${shortKid(kid)}`)
      } catch (error) {
        const what = `blocks of forgotten versions of ${shortKid(kid)} are kept`
        this.#options.log.log('info', 'fs', `${what}: ${errorLine(error)}`)
      }
    }
  }

  /** @returns how many blocks were freed. @throws {OsError} when it is not certain what is in use. */
  async #sweep(kid: Kid, roots: ReadonlySet<CidText>): Promise<number> {
    const { keeper, tree, blocks } = this.#options
    if (keeper.kept().length !== 1) throw new OsError('EAGAIN', 'other trees are kept here too')
    // A member hears that an entry is committed with the next one; whoever says that versions are forgotten knows it.
    const stored = keeper.stored(kid)
    if (!stored) throw new OsError('EAGAIN', 'its journal is not here')
    const live = new Set<CidText>()
    const reading: Walk = {
      directory: (cid) => tree.directory(cid),
      file: (entry) => allCids(blocks, entry, {}),
    }
    for (const { root } of [stored, ...stored.versions.rows()]) await reach(root, reading, live)
    for (const cid of this.#journalled()) live.add(cid)
    const dead = new Set<CidText>()
    for (const root of roots) await reach(root, this.#here(), dead).catch(() => undefined) // the rest of it is not here
    const spared = (cid: CidText) => live.has(cid) && !mutated('sweep-live')
    const doomed = [...dead].filter((cid) => !spared(cid) && !blocks.touched(cid))
    for (let at = 0; at < doomed.length; at += WRITE_BATCH_BLOCKS) {
      if (this.#closed) break
      await blocks.drop(doomed.slice(at, at + WRITE_BATCH_BLOCKS))
    }
    keeper.copies.forget()
    return doomed.length
  }

  /** What is in the store of this node: nobody else is asked. */
  #here(): Walk {
    const { blocks } = this.#options
    const get = async (cid: CidText) => {
      const [bytes] = await blocks.held([cid])
      if (!bytes) throw new OsError('EIO', `block ${cid} is not here`)
      return bytes
    }
    return {
      directory: async (cid) => decodeDirectory(cid, await get(cid)),
      file: (entry) => allCids({ get }, entry, {}),
    }
  }

  /** All that journals of processes name: programs, output, what events wrote. Whatever looks like a CID counts. */
  *#journalled(): Generator<CidText> {
    const { groups } = this.#options
    for (const name of groups.names('process/')) {
      const { snapshot, entries } = groups.find(name)?.stored() ?? {}
      for (const bytes of [snapshot, ...(entries ?? [])]) {
        if (bytes && bytes.byteLength > 0) yield* cidsIn(decode(bytes, { useMaps: true }))
      }
    }
  }
}

function* cidsIn(value: unknown): Generator<CidText> {
  if (typeof value === 'string') {
    if (isStoredCid(value)) yield value
  } else if (Array.isArray(value)) for (const each of value) yield* cidsIn(each)
  else if (value instanceof Map) for (const each of value.values()) yield* cidsIn(each)
}

/** Adds all that a directory holds, itself as well. What was added before is not looked into again. */
async function reach(root: CidText, walk: Walk, into: Set<CidText>): Promise<void> {
  const open = [root]
  for (let cid = open.pop(); cid !== undefined; cid = open.pop()) {
    if (into.has(cid)) continue
    const directory = await walk.directory(cid)
    into.add(cid)
    for (const entry of directory.values()) {
      if (entry.kind === 'directory') open.push(entry.cid)
      else if (entry.kind === 'symlink') into.add(entry.cid)
      else if (!into.has(entry.cid)) for (const each of await walk.file(entry)) into.add(each)
    }
  }
}
