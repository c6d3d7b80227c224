// How well what is in `/` is kept: every block of a part of it, and on which devices it is now. Above: dispatch.ts. Below:
// shared-tree.ts, dag.ts, blocks, rpc.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import type { DeviceId, Kid, NodeId } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { BlockTrouble, OnProgress, TreeHealth } from '../../syscalls/types.ts'
import { BlockMissing, type Blocks, type FetchOptions } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import {
  HEALTH_ANSWER_MS,
  MAX_CHECKED_BLOCKS,
  MAX_CIDS_PER_CALL,
  MAX_TROUBLES,
  PLACED_BYTES,
  REPLICAS,
} from '../limits.ts'
import type { Membership } from '../membership/membership.ts'
import type { RpcNode } from '../rpc/node.ts'
import { allCids, leafSizes, MalformedDag } from './dag.ts'
import type { Entry } from './directory.ts'
import type { Kegs } from './kegs.ts'
import type { Namespace } from './namespace.ts'
import { partsOf } from './parted.ts'
import { joinPath, splitPath } from './path.ts'
import { present, type Tree } from './tree.ts'
import type { TreeKeeper } from './tree-keeper.ts'

export interface HealthOptions {
  tree: Tree
  kegs: Kegs
  namespace: Namespace
  keeper: TreeKeeper
  blocks: Blocks
  rpc: RpcNode
  membership: Pick<Membership, 'answers' | 'mustAnswer'>
  log: LogSink
  /** Has lost copies of leaves made anew, of a tree that this node leads. @throws {OsError} EIO. */
  review(tree: Kid): Promise<void>
  /** Every node that is here with its device, this one included. */
  nodes(): { id: NodeId; device: DeviceId }[]
}

/** One block: the first file or directory that needs it, its bytes, as far as they are known, and devices that should keep it. */
interface Needed {
  path: string
  bytes: number
  target: number
}

/** Of so many copies all but one have to be there: the last is for the time that repair takes. */
function targetOf(copies: number | undefined): number {
  return copies === undefined ? REPLICAS : Math.max(Math.min(REPLICAS, copies), copies - 1)
}

export class TreeHealthService {
  readonly #options: HealthOptions
  /** By tree. What one asks for all get, also when that one no longer waits. */
  readonly #repairing = new Map<Kid, Promise<boolean | null>>()

  constructor(options: HealthOptions) {
    this.#options = options
    options.rpc.handle('tree.repair', ({ tree }) => this.#repairOwn(tree))
  }

  /**
   * @throws {OsError} ENOENT; EFBIG for more blocks than can be checked at once.
   */
  async check(path: string, signal: AbortSignal, onProgress?: OnProgress): Promise<TreeHealth> {
    const { kegs, namespace } = this.#options
    const names = splitPath(path)
    const place = await namespace.resolve(names, { last: true }, signal)
    const entry = present(place)
    const enter = async (keg: Kid) => {
      const { root, copies } = await kegs.head(keg, signal)
      return { root, target: targetOf(copies) }
    }
    const { mounted } = place
    const target = mounted ? (await enter(mounted.keg)).target : targetOf((await kegs.root.head(signal)).copies)
    const census = new Census(this.#options, { signal }, enter, onProgress)
    await census.add(joinPath(names), entry, { inKeg: mounted !== undefined, target })
    return this.#judge(census, target, signal, onProgress)
  }

  /** Everybody who keeps `/` and the kegs that are known here looks for what it should have, and fetches what it has not. @throws {OsError} EHOSTUNREACH. */
  async repair(signal: AbortSignal, onProgress?: OnProgress): Promise<void> {
    const { kegs } = this.#options
    await this.#repair((await kegs.root.head(signal)).tree, signal, onProgress)
    for (const keg of kegs.names) {
      try {
        await this.#repair((await kegs.head(keg, signal)).tree, signal, onProgress)
      } catch (error) {
        if (!isOsError(error, 'EHOSTUNREACH')) throw error
        this.#options.log.log('info', 'fs', `not repaired: ${errorLine(error)}`)
      }
    }
  }

  async #repair(tree: Kid, signal: AbortSignal, onProgress?: OnProgress): Promise<void> {
    const { rpc, membership, nodes } = this.#options
    const others = nodes().filter(({ id }) => id !== rpc.self && membership.answers(id))
    const asked = [this.#repairOwn(tree), ...others.map(({ id }) => rpc.call(id, 'tree.repair', { tree }, { signal }))]
    let done = -1
    const counted = () => onProgress?.({ done: ++done, total: asked.length, unit: 'nodes' })
    counted()
    await Promise.allSettled(asked.map((each) => each.finally(counted)))
    signal.throwIfAborted()
  }

  /** @returns whether all is here now; null when the tree is not kept here. Whoever asks meanwhile waits for the same. */
  #repairOwn(kid: Kid): Promise<boolean | null> {
    const running = this.#repairing.get(kid)
    if (running) return running
    const release = this.#options.blocks.pin()
    const repaired = this.#holdAll(kid).finally(() => {
      this.#repairing.delete(kid)
      release()
    })
    this.#repairing.set(kid, repaired)
    return repaired
  }

  async #holdAll(kid: Kid): Promise<boolean | null> {
    const { keeper, log, review } = this.#options
    const stored = keeper.stored(kid)
    if (!stored) return null
    keeper.copies.forget()
    const care = keeper.care(kid)
    const whole = await keeper.copies.everything(stored.root, {}, care)
    for (const { root } of stored.versions.rows()) await keeper.copies.everything(root, {}, { ...care, quiet: true })
    await review(kid)
    log.log('info', 'fs', `looked for all of / here: ${whole ? 'it is' : 'some of it is nowhere'}`)
    return whole
  }

  async #judge(
    { needed, files, directories, logicalBytes, broken }: Census,
    wanted: number,
    signal: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<TreeHealth> {
    const { nodes } = this.#options
    const here = nodes()
    const devices = new Set(here.map(({ device }) => device))
    const { holders, silent } = await this.#holders([...needed.keys()].sort(), here, { signal, onProgress })
    const target = Math.min(wanted, devices.size)
    const health: TreeHealth = {
      ...{ files, directories, blocks: needed.size, logicalBytes, storedBytes: 0, physicalBytes: 0 },
      ...{ devices: devices.size, target, under: 0, lost: broken.length, troubles: broken.slice(0, MAX_TROUBLES) },
      silent,
    }
    for (const [cid, { path, bytes, target: each }] of needed) {
      const on = holders.get(cid) ?? []
      const count = new Set(on.map(({ device }) => device)).size
      health.storedBytes += bytes
      health.physicalBytes += bytes * on.length
      if (count >= Math.min(each, devices.size)) continue
      if (count === 0) health.lost++
      else health.under++
      if (health.troubles.length < MAX_TROUBLES) health.troubles.push({ path, cid, devices: count })
    }
    return health
  }

  async #holders(
    cids: readonly CidText[],
    nodes: readonly { id: NodeId; device: DeviceId }[],
    { signal, onProgress }: { signal: AbortSignal; onProgress: OnProgress | undefined },
  ) {
    const { rpc, membership, log } = this.#options
    const total = cids.length * nodes.length
    let done = 0
    const holders = new Map<CidText, { id: NodeId; device: DeviceId }[]>()
    const ask = async (node: { id: NodeId; device: DeviceId }) => {
      for (let at = 0; at < cids.length; at += MAX_CIDS_PER_CALL) {
        const some = cids.slice(at, at + MAX_CIDS_PER_CALL)
        membership.mustAnswer(node.id)
        const held = await rpc.call(node.id, 'blocks.have', { cids: some }, { signal, timeoutMs: HEALTH_ANSWER_MS })
        for (const [i, cid] of some.entries()) if (held[i] === 1) holders.set(cid, [...(holders.get(cid) ?? []), node])
        done += some.length
        onProgress?.({ done, total, unit: 'blocks' })
      }
    }
    const asked = await Promise.allSettled(nodes.map(ask))
    signal.throwIfAborted()
    const silent: NodeId[] = []
    for (const [i, { id }] of nodes.entries()) {
      const answer = asked[i]
      if (answer?.status !== 'rejected') continue
      silent.push(id)
      log.log('info', 'fs', `${id} does not say what it holds: ${errorLine(answer.reason)}`)
    }
    return { holders, silent }
  }
}

/** A keg that is mounted. */
interface Entered {
  root: CidText
  /** Devices that should keep each of its leaves. */
  target: number
}

interface Where {
  /** In another keg than `/`, in which nothing is mounted. */
  inKeg: boolean
  target: number
}

/** All blocks below a path, each once. */
class Census {
  readonly #options: Pick<HealthOptions, 'tree' | 'blocks'>
  readonly #fetch: FetchOptions
  readonly #enter: (keg: Kid) => Promise<Entered>
  readonly #onProgress: OnProgress | undefined
  #looked = 0
  readonly needed = new Map<CidText, Needed>()
  /** What cannot be read: nobody knows what else would be needed. */
  readonly broken: BlockTrouble[] = []
  readonly #sizes = new Map<string, { files: number; directories: number; bytes: number }>()
  files = 0
  directories = 0
  logicalBytes = 0

  constructor(
    options: Pick<HealthOptions, 'tree' | 'blocks'>,
    fetch: FetchOptions,
    enter: (keg: Kid) => Promise<Entered>,
    onProgress?: OnProgress,
  ) {
    this.#options = options
    this.#fetch = fetch
    this.#enter = enter
    this.#onProgress = onProgress
  }

  async add(path: string, entry: Entry, where: Where): Promise<void> {
    const { files, directories, bytes } = await this.#count(path, entry, where)
    this.files += files
    this.directories += directories
    this.logicalBytes += bytes
  }

  /** What stands in several places is looked at once, and counted as often. */
  async #count(
    path: string,
    entry: Entry,
    where: Where,
  ): Promise<{ files: number; directories: number; bytes: number }> {
    // What is in two kegs is looked at for both: each asks for as many copies as it says.
    const key = `${entry.cid} ${where.target} ${where.inKeg}`
    const known = this.#sizes.get(key)
    if (known) return known
    const sum = { files: 0, directories: 0, bytes: 0 }
    if (entry.kind === 'directory') {
      sum.directories = 1
      const directory = await this.#had(path, entry, () => this.#options.tree.directory(entry.cid, this.#fetch))
      if (directory)
        for (const cid of [entry.cid, ...partsOf(directory)]) this.#need(cid, path, { bytes: 0, target: REPLICAS })
      for (const [name, child] of directory ?? []) {
        const at = path === '/' ? `/${name}` : `${path}/${name}`
        const entered = where.inKeg ? undefined : await this.#entered(child)
        const below = entered
          ? await this.#count(at, { ...child, cid: entered.root }, { inKeg: true, target: entered.target })
          : await this.#count(at, child, where)
        sum.files += below.files
        sum.directories += below.directories
        sum.bytes += below.bytes
      }
    } else {
      sum.files = 1
      sum.bytes = entry.size
      await this.#file(path, entry, where.target)
    }
    this.#sizes.set(key, sum)
    this.#onProgress?.({ done: ++this.#looked, unit: 'files' })
    return sum
  }

  /** A keg that is mounted there counts, where somebody who has it is here. */
  async #entered({ keg }: Entry): Promise<Entered | undefined> {
    if (keg === undefined) return undefined
    try {
      return await this.#enter(keg)
    } catch (error) {
      if (!isOsError(error, 'EHOSTUNREACH')) throw error
      return undefined
    }
  }

  async #file(path: string, entry: Entry, target: number): Promise<void> {
    const { blocks } = this.#options
    const options = { ...this.#fetch, keep: 'never' } as const
    if (entry.kind === 'symlink') {
      return this.#need(entry.cid, path, { bytes: entry.size, target: REPLICAS })
    }
    await this.#had(path, entry, async () => {
      const leaves = await leafSizes(blocks, entry, options)
      for (const [cid, size] of leaves) {
        this.#need(cid, path, { bytes: size, target: size >= PLACED_BYTES ? target : REPLICAS })
      }
      for (const cid of await allCids(blocks, entry, options)) {
        if (!leaves.has(cid)) this.#need(cid, path, { bytes: 0, target: REPLICAS })
      }
    })
  }

  /** What cannot be read is noted, and the census goes on. */
  async #had<T>(path: string, { cid }: Entry, read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read()
    } catch (error) {
      if (!(error instanceof BlockMissing) && !(error instanceof MalformedDag)) throw error
      this.broken.push({ path, cid, devices: 0 })
      return undefined
    }
  }

  #need(cid: CidText, path: string, { bytes, target }: Omit<Needed, 'path'>): void {
    const known = this.needed.get(cid)
    if (known) {
      if (known.target < target) this.needed.set(cid, { ...known, path, target })
      return
    }
    if (this.needed.size >= MAX_CHECKED_BLOCKS) {
      throw new OsError('EFBIG', `more than ${MAX_CHECKED_BLOCKS} blocks: check one folder after the other`)
    }
    this.needed.set(cid, { path, bytes, target })
  }
}
