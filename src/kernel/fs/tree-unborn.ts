// The tree that this node would begin with: until somebody writes it, it is a name, and nobody else knows anything of it.
// Above: tree-in-use.ts. Below: tree-branch.ts, tree-keeper.ts.
import { isOsError } from '../../base/errors.ts'
import type { Kid } from '../../base/ids.ts'
import type { TreeHead } from '../rpc/bodies.ts'
import type { TreeBranch } from './tree-branch.ts'
import type { TreeKeeper } from './tree-keeper.ts'
import { orCanceled } from './tree-news.ts'

export interface UnbornTreeOptions {
  keeper: Pick<TreeKeeper, 'name'>
  branch: Pick<TreeBranch, 'begin'>
  /** It has another name from now on. */
  renamed(before: TreeHead, now: TreeHead): void
}

export class UnbornTree {
  readonly #options: UnbornTreeOptions
  #head: TreeHead | undefined
  /** Its journal begins. */
  #bearing: Promise<void> | undefined

  constructor(options: UnbornTreeOptions) {
    this.#options = options
  }

  /** Undefined once a written one is known. */
  get head(): TreeHead | undefined {
    return this.#head
  }

  set head(head: TreeHead | undefined) {
    this.#head = head
  }

  is(tree: Kid): boolean {
    return tree === this.#head?.tree
  }

  /** Its first change: its journal begins. @throws {OsError} ETIMEDOUT, ECANCELED. */
  async bear(signal?: AbortSignal): Promise<void> {
    const head = this.#head
    if (!head) return
    // Whoever asked for it may give up: its name is spent all the same.
    this.#bearing ??= this.#begin(head).finally(() => {
      this.#bearing = undefined
    })
    await orCanceled(this.#bearing, signal)
  }

  async #begin(head: TreeHead): Promise<void> {
    try {
      await this.#options.branch.begin(head, null)
    } catch (error) {
      if (isOsError(error, 'ETIMEDOUT')) await this.#rename(head)
      throw error
    }
  }

  /** Those who should have kept it may have it all the same, and agree on it without this node: the name is spent. */
  async #rename(before: TreeHead): Promise<void> {
    const { kid, bornMs } = await this.#options.keeper.name()
    if (this.#head !== before) return
    this.#head = { ...before, tree: kid, bornMs }
    this.#options.renamed(before, this.#head)
  }
}
