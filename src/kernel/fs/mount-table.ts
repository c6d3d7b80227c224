// Which kegs are mounted where in `/`, and who leads them: for people who ask. Above: dispatch.ts. Below: kegs.ts, tree.ts.
import { errorLine, OsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { LogSink } from '../../ports/log.ts'
import type { KegRow } from '../../syscalls/types.ts'
import type { CidText } from '../blocks/cid.ts'
import { KEG_LOOK_MS, MAX_KEGS, MAX_TREE_DIRECTORIES } from '../limits.ts'
import { Timers } from '../timers.ts'
import type { Kegs } from './kegs.ts'
import type { Mountless } from './mountless.ts'
import { joinPath } from './path.ts'
import type { Tree, TreeView } from './tree.ts'
import type { TreeKeeper } from './tree-keeper.ts'

export interface MountTableOptions {
  kegs: Kegs
  keeper: TreeKeeper
  tree: Tree
  mountless: Mountless
  clock: Clock
  log: LogSink
}

export class MountTable {
  readonly #options: MountTableOptions

  constructor(options: MountTableOptions) {
    this.#options = options
  }

  /** Kegs that are mounted in `/`, or known here otherwise. @throws {OsError} EHOSTUNREACH; EFBIG for a tree too large to look through. */
  async rows(signal: AbortSignal): Promise<KegRow[]> {
    const paths = await this.#paths(signal)
    return Promise.all([...paths].map(([keg, at]) => this.#row(keg, at.sort(), signal)))
  }

  /** Those whose KIDs begin so. @throws {OsError} as `rows`. */
  async named(prefix: string, signal: AbortSignal): Promise<Kid[]> {
    return [...(await this.#paths(signal)).keys()].filter((keg) => keg.startsWith(prefix))
  }

  async #paths(signal: AbortSignal): Promise<Map<Kid, string[]>> {
    const { kegs } = this.#options
    const paths = new Map<Kid, string[]>(kegs.names.map((keg) => [keg, []]))
    const walk = { view: await kegs.root.view(signal), seen: 0, paths }
    await this.#walk(walk, walk.view.root, [])
    return paths
  }

  /** @returns whether anything is mounted there or below. */
  async #walk(
    walk: { view: TreeView; seen: number; paths: Map<Kid, string[]> },
    cid: CidText,
    at: readonly string[],
  ): Promise<boolean> {
    const { tree, mountless } = this.#options
    if (mountless.has(cid)) return false
    if (++walk.seen > MAX_TREE_DIRECTORIES) throw new OsError('EFBIG', '/ has too many directories to look through')
    let found = false
    for (const [name, entry] of await tree.directory(cid, walk.view.options)) {
      if (entry.kind !== 'directory') continue
      if (entry.keg === undefined) found = (await this.#walk(walk, entry.cid, [...at, name])) || found
      else {
        found = true
        const known = walk.paths.get(entry.keg)
        if (known) known.push(joinPath([...at, name]))
        else if (walk.paths.size < MAX_KEGS) walk.paths.set(entry.keg, [joinPath([...at, name])])
      }
    }
    if (!found) mountless.add(cid)
    return found
  }

  async #row(kid: Kid, paths: string[], signal: AbortSignal): Promise<KegRow> {
    const { kegs, keeper, clock, log } = this.#options
    const here = keeper.kept().some((tree) => keeper.kegOf(tree) === kid)
    const timers = new Timers(clock)
    const late = new AbortController()
    timers.after(KEG_LOOK_MS, 'look into a keg', () => late.abort(new OsError('ETIMEDOUT', 'nobody answers')))
    try {
      const { home, version } = await kegs.head(kid, AbortSignal.any([signal, late.signal]))
      return { kid, paths, home, version, here }
    } catch (error) {
      signal.throwIfAborted()
      log.log('debug', 'fs', `a keg is away: ${errorLine(error)}`)
      return { kid, paths, home: null, version: null, here }
    } finally {
      timers.cancelAll()
    }
  }
}
