// The journals that this node keeps: read from its disk, made there, and forgotten. Above: groups.ts. Below: group.ts,
// departed.ts.
import { errorLine } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { LogStore } from '../../ports/logstore.ts'
import { MAX_GROUPS, MAX_UNBORN_GROUPS, MAX_UNBORN_OF_PEER } from '../limits.ts'
import { Departed } from './departed.ts'
import { Group, type GroupHost } from './group.ts'
import type { GroupConfig } from './raft/config.ts'

export class Kept {
  readonly departed: Departed
  readonly #host: GroupHost
  readonly #store: LogStore
  readonly #log: LogSink
  readonly #groups = new Map<string, Group>()
  /** Those that are being read from disk, or made there; messages for them wait. */
  readonly #loading = new Map<string, Promise<Group>>()
  /** Who has named those of which nothing is known but the name; some are known by now. */
  readonly #namedBy = new Map<string, NodeId>()
  /** Being removed from the disk. Never rejects. */
  readonly #removing = new Map<string, Promise<void>>()

  constructor(host: GroupHost, store: LogStore, log: LogSink) {
    this.#host = host
    this.#store = store
    this.#log = log
    this.departed = new Departed(store, log)
  }

  get(name: string): Group | undefined {
    return this.#groups.get(name)
  }

  values(): IterableIterator<Group> {
    return this.#groups.values()
  }

  names(): IterableIterator<string> {
    return this.#groups.keys()
  }

  /** It is being read, or made. Logged where that fails. */
  loading(name: string): Promise<Group> | undefined {
    return this.#loading.get(name)
  }

  /**
   * Whether a peer may name one more journal that is not here. Names cost their inventor nothing: few may be here of which nothing
   * is known but the name, and fewer of one peer.
   */
  mayName(peer: NodeId): boolean {
    if (this.#unborn >= MAX_UNBORN_GROUPS || this.#groups.size >= MAX_GROUPS) return false
    let named = 0
    for (const [name, by] of this.#namedBy) {
      if (!this.#isUnborn(name)) this.#namedBy.delete(name)
      else if (by === peer) named++
    }
    return named < MAX_UNBORN_OF_PEER
  }

  get hasUnborn(): boolean {
    return this.#unborn > 0
  }

  /** There are so many of those that the ones nobody tells of any more have to go. */
  get crowded(): boolean {
    return this.#unborn >= MAX_UNBORN_GROUPS / 4
  }

  #isUnborn(name: string): boolean {
    return this.#loading.has(name) || this.#groups.get(name)?.config.voters.length === 0
  }

  get #unborn(): number {
    let unborn = this.#loading.size
    for (const { config } of this.#groups.values()) if (config.voters.length === 0) unborn++
    return unborn
  }

  /** @throws {OsError} ENOSPC, EIO. */
  async create(name: string, config: GroupConfig, data: Uint8Array): Promise<Group> {
    const created = Group.create(name, this.#host, config, data)
    this.#loading.set(name, created)
    try {
      const group = await created
      this.#groups.set(name, group)
      return group
    } finally {
      this.#loading.delete(name)
    }
  }

  /** @param by who has named it, if that is all that is known of it. */
  load(name: string, by?: NodeId): Promise<Group> {
    const loading = this.#loading.get(name)
    if (loading) return loading
    if (by !== undefined) this.#namedBy.set(name, by)
    // Who is told of it again at once must not read what is being removed.
    const loaded = (this.#removing.get(name) ?? Promise.resolve())
      .then(() => this.#read(name))
      .then((group) => {
        this.#groups.set(name, group)
        return group
      })
      .finally(() => this.#loading.delete(name))
    this.#loading.set(name, loaded)
    loaded.catch((error: unknown) => this.#log.log('error', 'journal', `${name} cannot be read: ${errorLine(error)}`))
    return loaded
  }

  /**
   * It goes on with what is on the disk, as after a reload.
   * @param still whether that is wanted when it has been read. @returns undefined when it is not.
   */
  async reload(name: string, still: () => boolean): Promise<Group | undefined> {
    const again = await this.#read(name)
    if (!still()) return undefined
    this.#groups.get(name)?.close('it was opened again')
    this.#groups.set(name, again)
    return again
  }

  #read(name: string): Promise<Group> {
    return Group.load(name, this.#host, this.departed.termOf(name))
  }

  /**
   * Forgets it here, but not in which term that was.
   * @param how `departs`: it may have promised something for it; `ended`: this node has ended it everywhere.
   */
  async remove(name: string, { departs, ended }: { departs: boolean; ended: boolean }): Promise<void> {
    const group = this.#groups.get(name)
    // As far as this node took part: who dismisses it could name any other.
    const term = group?.term ?? 0
    group?.close('it was removed')
    this.#groups.delete(name)
    // First, so that no crash comes between: without what it promised it must not be asked.
    const noted = departs ? this.departed.add(name, term, ended) : Promise.resolve()
    const removed = noted.then(() => Group.forget(name, this.#store))
    const done = removed
      .catch(() => undefined) // told to whoever removes it
      .finally(() => {
        if (this.#removing.get(name) === done) this.#removing.delete(name)
      })
    this.#removing.set(name, done)
    await removed
  }
}
