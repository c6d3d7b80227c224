// A journal as its owner sees it while this node leads it. Above: the owners. Below: group.ts.
import { OsError } from '../../base/errors.ts'
import type { Ack } from '../../syscalls/types.ts'
import type { Group } from './group.ts'
import type { Journal, Journalled } from './journal.ts'

/**
 * Once the owner has been told that this node no longer leads, nothing is written through it: the node may lead again before
 * all that was under way has heard of that, and what the owner made of the journal before lacks what was committed since.
 */
export class Led implements Journal {
  readonly name: string
  readonly term: number
  readonly #group: Group
  #ended = false

  constructor(group: Group) {
    this.name = group.name
    this.term = group.term
    this.#group = group
  }

  get reach(): number {
    return this.#group.reach
  }

  append(entries: readonly Uint8Array[], level?: Ack['level']): Promise<Ack> {
    if (this.#ended) return Promise.reject(new OsError('EAGAIN', 'this node no longer leads, or does so anew'))
    return this.#group.append(entries, level)
  }

  committed(): Journalled {
    return this.#group.committed()
  }

  end(): void {
    this.#ended = true
  }
}
