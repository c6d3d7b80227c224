// What a member of a tree's journal has to have before it may acknowledge an entry or a snapshot: directories and the
// content of files. Above: tree-keeper.ts. Below: copies.ts, tree-edit.ts, the blocks.
import { errorLine, isOsError, OsError } from '../../base/errors.ts'
import { type Kid, type NodeId, shortNode } from '../../base/ids.ts'
import type { Signer } from '../../ports/crypto.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Blocks, FetchOptions, OwnBlocks } from '../blocks/blocks.ts'
import type { CidText } from '../blocks/cid.ts'
import { HOLD_BATCH_ROOTS } from '../limits.ts'
import { mutated } from '../mutations.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { isSigned } from './commit-signature.ts'
import { type Care, holdFiles, smallFiles, TreeCopies } from './copies.ts'
import { type Elsewhere, isLost } from './leaves.ts'
import type { Tree } from './tree.ts'
import { TreeEdit } from './tree-edit.ts'
import { commitOf, decodeTreeEntry, signedBy, type TreeBirth, type TreeChange } from './tree-journal.ts'
import type { PastVersion } from './versions.ts'

export interface TreeHoldingOptions {
  tree: Tree
  blocks: Blocks
  log: LogSink
  signer: Signer
  /** Of a tree: which leaves need not be here, as that node says, which leads it. */
  elsewhere(tree: Kid, leader: NodeId): Elsewhere
}

/** A small file, and who had it before. */
interface Small {
  cid: CidText
  from: NodeId
}

/** An entry or a snapshot, and whose word it is. */
interface Sent {
  kind: 'entry' | 'snapshot'
  bytes: Uint8Array
  from: NodeId
}

/** The tree that something is for, and which of its leaves others keep. */
type TreeCare = Required<Pick<Care, 'scope' | 'elsewhere'>>

export class TreeHolding {
  readonly #options: TreeHoldingOptions
  readonly copies: TreeCopies
  /** What is being copied for the journals, so that the same is not copied twice at once. */
  readonly #holding = new Map<string, Promise<void>>()
  /** Small files of entries that were made here, and to whom each entry was sent. */
  readonly #small = new WeakMap<Uint8Array, { files: readonly Small[]; told: Set<NodeId> }>()
  /** Old versions that are being copied, one tree after the other. */
  #older: Promise<void> = Promise.resolve()

  constructor(options: TreeHoldingOptions) {
    this.#options = options
    const { tree, blocks, log } = options
    const onMissing = (path: string) => log.log('warn', 'fs', `nobody who is here has ${path}: keeping / without it`)
    this.copies = new TreeCopies({ tree, blocks, onMissing })
  }

  /** These changes become that entry. */
  made(entry: Uint8Array, changes: readonly { ops: readonly TreeOp[]; from: NodeId }[]): void {
    const files = changes.flatMap(({ ops, from }) => smallFiles(ops).map((cid) => ({ cid, from })))
    if (files.length > 0) this.#small.set(entry, { files, told: new Set() })
  }

  /** Sends a member the small files of entries, unless it had them before. Once: what is sent again asks for what it lacks. */
  enclose(entries: readonly Uint8Array[], to: NodeId): void {
    const lacking: CidText[] = []
    for (const entry of entries) {
      const small = this.#small.get(entry)
      if (!small || small.told.has(to)) continue
      small.told.add(to)
      for (const { cid, from } of small.files) if (from !== to) lacking.push(cid)
    }
    if (lacking.length > 0) this.#options.blocks.enclose(to, lacking)
  }

  /** Fetches what an entry or a snapshot stands for. @returns undefined when all is here. */
  hold(tree: Kid, { kind, bytes, from }: Sent): Promise<void> | undefined {
    if (mutated('skip-hold')) return undefined
    const entry = decodeTreeEntry(bytes)
    if (entry.t === 'tree' && kind === 'entry') throw new OsError('EPROTO', 'a tree begins twice')
    if (entry.t !== 'tree' && entry.t !== 'changed') return undefined
    if (entry.t === 'tree') this.#holdOlder(tree, entry, from)
    const checked = entry.t === 'changed' ? this.#check(tree, entry) : undefined
    if (this.copies.has(entry.root, tree) && pastOf(entry).length === 0) return checked
    const key = `${kind} ${tree} ${entry.root} ${pastOf(entry).length}`
    const held = this.#holding.get(key) ?? this.#fetch(tree, entry, from).finally(() => this.#holding.delete(key))
    this.#holding.set(key, held)
    return checked ? Promise.all([checked, held]).then(() => undefined) : held
  }

  /** @throws {OsError} EPROTO for a commit that whoever is said to have signed it has not. */
  async #check(tree: Kid, change: TreeChange): Promise<void> {
    const [commit, signed] = [commitOf(tree, change), signedBy(change)]
    if (!commit || !signed || (await isSigned(this.#options.signer, commit, signed))) return
    throw new OsError('EPROTO', `version ${commit.version} has a signature that ${shortNode(signed.by)} did not make`)
  }

  /**
   * For a leader: all that these changes put into the tree.
   * @returns whether all of it is here, or with others. @throws {OsError} EIO, ENOSPC.
   */
  holdAll(ops: readonly TreeOp[], options: FetchOptions, care: TreeCare): Promise<boolean> {
    return this.#allOrNothing((own) => this.#holdAll(ops, { ...options, own }, care))
  }

  /** The same of what is there already, in a tree that is merged: what nobody has any more is passed over. @throws {OsError} EIO, ENOSPC. */
  holdRest(ops: readonly TreeOp[], options: FetchOptions, care: TreeCare): Promise<void> {
    return this.#allOrNothing(async (own) => {
      if (await this.#has(ops, { ...options, own }, care)) return
      for (const op of ops) await this.#has([op], { ...options, own }, care)
    })
  }

  /** Versions of a tree that is merged, but for what of them is lost. @returns those whose root is here. @throws {OsError} EIO, ENOSPC. */
  async holdPast(past: readonly PastVersion[], options: FetchOptions, care: TreeCare): Promise<PastVersion[]> {
    const roots = [...new Set(past.map(([root]) => root))]
    await this.#allOrNothing(async (own) => {
      await this.copies.ahead(roots, { ...options, own }, care)
      for (const root of roots) await this.copies.everything(root, { ...options, own }, { ...care, quiet: true })
    })
    const here = await this.#options.blocks.hasMany(roots)
    return past.filter(([root]) => here[roots.indexOf(root)])
  }

  async #holdAll(ops: readonly TreeOp[], options: FetchOptions, care: TreeCare): Promise<boolean> {
    await holdFiles(this.#options.blocks, ops, options, care.elsewhere)
    let whole = true
    for (const op of ops) {
      if (op.op !== 'graft' || op.kind !== 'directory') continue
      whole = (await this.copies.everything(op.cid, options, care)) && whole
    }
    return whole
  }

  /** @returns false when nobody has some of them any more: then the tree goes on without them, as for a newcomer. */
  async #has(ops: readonly TreeOp[], options: FetchOptions, care: TreeCare): Promise<boolean> {
    try {
      return await this.#holdAll(ops, options, care)
    } catch (error) {
      if (!isLost(error)) throw error
      return false
    }
  }

  async #fetch(tree: Kid, entry: TreeBirth | TreeChange, from: NodeId): Promise<void> {
    const release = this.#options.blocks.pin()
    try {
      const care = { scope: tree, elsewhere: this.#options.elsewhere(tree, from) }
      await this.#allOrNothing((own) => this.#fetchAll(entry, { hints: [from], own }, care))
    } finally {
      release()
    }
  }

  /** What there is no room for as a whole must not fill the disk either. */
  async #allOrNothing<T>(hold: (own: OwnBlocks) => Promise<T>): Promise<T> {
    const own: OwnBlocks = new Map()
    try {
      return await hold(own)
    } catch (error) {
      if (isOsError(error, 'ENOSPC')) await this.#options.blocks.takeBack(own)
      throw error
    }
  }

  async #fetchAll(entry: TreeBirth | TreeChange, options: FetchOptions, care: TreeCare): Promise<void> {
    const { copies } = this
    const past = pastOf(entry)
    if (past.length > 0) await this.holdPast(past, options, care)
    if (entry.t === 'changed' && entry.ops) {
      if (!(await this.#has(entry.ops, options, care))) return void (await copies.everything(entry.root, options, care))
      const edit = new TreeEdit(this.#options.tree, options)
      let root = entry.from
      for (const op of entry.ops) root = await edit.apply(root, op)
      const settled = await edit.settle(root)
      if (settled.root === entry.root) {
        await this.#options.tree.keep(settled.drafts)
        if (copies.has(entry.from, care.scope)) copies.note(entry.root, care.scope)
        return
      }
    }
    await copies.everything(entry.root, options, care)
  }

  /**
   * Copies what only older versions have, the newest of them first, when the tree itself is here. A newcomer counts as a
   * member before it has them: what is lost of the past makes no tree unsafe.
   */
  #holdOlder(tree: Kid, { root, versions }: TreeBirth, from: NodeId): void {
    const all = (versions?.rows ?? []).map(([, old]) => old)
    const roots = all.filter((old) => old !== root && !this.copies.has(old, tree))
    if (roots.length === 0) return
    const { log } = this.#options
    const care = { quiet: true, scope: tree, elsewhere: this.#options.elsewhere(tree, from) }
    this.#older = this.#older.then(async () => {
      const release = this.#options.blocks.pin()
      await this.#holding.get(`snapshot ${tree} ${root} 0`)?.catch(() => undefined) // whoever waits for it hears of it
      try {
        const newest = roots.toReversed()
        for (let at = 0; at < newest.length; at += HOLD_BATCH_ROOTS) {
          const some = newest.slice(at, at + HOLD_BATCH_ROOTS)
          await this.copies.ahead(some, { hints: [from] }, care)
          for (const old of some) await this.copies.everything(old, { hints: [from] }, care)
        }
      } catch (error) {
        log.log('debug', 'fs', `older versions of / are not all copied: ${errorLine(error)}`)
      } finally {
        release()
      }
    })
  }
}

function pastOf(entry: TreeBirth | TreeChange): readonly PastVersion[] {
  return (entry.t === 'changed' && entry.past) || []
}
