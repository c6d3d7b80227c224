// The past of every keg by paths of the one tree: which keg a path is of, and what it is called there. Above: dispatch.ts,
// keg-mount.ts. Below: history.ts, namespace.ts, kegs.ts.
import type { Kid } from '../../base/ids.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { CallArgs, Changes, VersionChange } from '../../syscalls/table.ts'
import type { Ack, VersionRow } from '../../syscalls/types.ts'
import { COPIES } from '../limits.ts'
import { TreeHistory } from './history.ts'
import type { Kegs } from './kegs.ts'
import { inside, type Namespace } from './namespace.ts'
import { splitPath } from './path.ts'
import { present, type Tree } from './tree.ts'

export interface PastOptions {
  kegs: Kegs
  namespace: Namespace
  tree: Tree
  clock: Clock
  signer: Signer
}

export class Past {
  readonly #options: PastOptions
  /** Of `/`. */
  readonly root: TreeHistory
  readonly #others = new Map<Kid, TreeHistory>()

  constructor(options: PastOptions) {
    this.#options = options
    this.root = new TreeHistory({ ...options, shared: options.kegs.root })
  }

  /** @param keg undefined for `/`. */
  async of(keg: Kid | undefined): Promise<TreeHistory> {
    if (keg === undefined) return this.root
    const shared = await this.#options.kegs.open(keg)
    const known = this.#others.get(keg)
    if (known?.shared === shared) return known
    const history = new TreeHistory({ ...this.#options, shared })
    this.#others.set(keg, history)
    return history
  }

  /** See TreeHistory. */
  async rows(
    args: Omit<CallArgs<'info'> & { topic: 'versions' }, 'topic'>,
    signal: AbortSignal,
  ): Promise<VersionRow[]> {
    const { history, path } = await this.#at(args.path, signal)
    return history.rows({ ...args, path }, signal)
  }

  /** See TreeHistory. */
  async diff(args: CallArgs<'info'> & { topic: 'diff' }, signal: AbortSignal): Promise<Changes> {
    const { history, path } = await this.#at(args.path, signal)
    return history.diff({ ...args, path }, signal)
  }

  /** How many devices are to keep each leaf of the keg that a path is in. */
  async copies(path: string | undefined, signal: AbortSignal): Promise<number> {
    const { history } = await this.#at(path, signal, true)
    return (await history.shared.head(signal)).copies ?? COPIES
  }

  /** Changes the versions of the keg that a path is of. @throws {OsError} as TreeHistory. */
  async change(args: VersionChange, signal: AbortSignal): Promise<Ack> {
    // What only tells of which keg has to be there: a slip must not change another.
    const { history, path } = await this.#at(args.path, signal, args.op !== 'restore')
    return history.change({ ...args, path }, signal)
  }

  /** What is not in another keg now is looked for in `/`, as it is called: links are followed in each version. */
  async #at(path = '/', signal: AbortSignal, exists = false): Promise<{ history: TreeHistory; path: string }> {
    const names = splitPath(path)
    if (names.length === 0) return { history: this.root, path }
    const place = await this.#options.namespace.resolve(names, { last: false }, signal)
    if (exists) present(place)
    const { mounted } = place
    return mounted ? { history: await this.of(mounted.keg), path: inside(place) } : { history: this.root, path }
  }
}
