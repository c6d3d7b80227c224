// Messages on their way into journals: those with something to store wait until what it refers to is here. Above:
// groups.ts. Below: group.ts, the owners of journals.
import { errorLine, isOsError } from '../../base/errors.ts'
import { type NodeId, shortNode } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { Group } from './group.ts'
import type { JournalOwner } from './journal.ts'
import type { RaftMessage } from './raft/messages.ts'

export class Intake {
  readonly #ownerOf: (name: string) => JournalOwner | undefined
  readonly #log: LogSink
  /** What is being fetched, and for whom, by journal. */
  readonly #holding = new Map<string, { done: Promise<void>; from: NodeId }>()

  constructor(ownerOf: (name: string) => JournalOwner | undefined, log: LogSink) {
    this.#ownerOf = ownerOf
    this.#log = log
  }

  /** The node whose message for that journal waits. */
  from(name: string): NodeId | undefined {
    return this.#holding.get(name)?.from
  }

  /** Nobody waits for that journal any more. */
  forget(name: string): void {
    this.#holding.delete(name)
  }

  /** What a node sent that has gone must not come true when what it refers to was had elsewhere: nobody leads by it. */
  lost(peer: NodeId): void {
    for (const [name, { from }] of this.#holding) if (from === peer) this.#holding.delete(name)
  }

  /** Hands the message on, at once or when it can be stored with all that it refers to. */
  step(peer: NodeId, group: Group, message: RaftMessage): void {
    // Only what has to be stored waits for what it refers to: votes do not wait for the files of a dead leader.
    if ((message.t !== 'append' && message.t !== 'snapshot') || message.term < group.term) {
      return this.take(peer, group, message)
    }
    // A leader sends one at a time: another one is the same again, because the first takes long. What a former leader
    // sent comes too late after it.
    if (this.from(group.name) === peer) return
    const held = this.#hold(peer, group.name, message)
    if (held.length === 0) return this.take(peer, group, message)
    const done = Promise.all(held)
      .then(() => {
        if (this.#holding.get(group.name)?.done === done) this.take(peer, group, message)
      })
      .catch((error: unknown) => {
        const what = `what ${group.name} refers to cannot be had from ${shortNode(peer)}`
        this.#log.log('warn', 'journal', `${what}: ${errorLine(error)}`)
        if (isOsError(error, 'ENOSPC')) group.lacksRoom(peer)
      })
      .finally(() => {
        if (this.#holding.get(group.name)?.done === done) this.#holding.delete(group.name)
      })
    this.#holding.set(group.name, { done, from: peer })
  }

  /** What waits for nothing. A journal that is closed takes nothing. */
  take(peer: NodeId, group: Group, message: RaftMessage): void {
    try {
      group.step(peer, message)
    } catch (error) {
      const what = `${shortNode(peer)} said what cannot be about ${group.name}`
      this.#log.log('warn', 'journal', `${what}: ${errorLine(error)}`)
    }
  }

  /** Begins to fetch what the message's entries refer to. */
  #hold(peer: NodeId, name: string, message: RaftMessage & { t: 'append' | 'snapshot' }): Promise<void>[] {
    const owner = this.#ownerOf(name)
    const hold = (kind: 'entry' | 'snapshot', bytes: Uint8Array) => {
      try {
        return owner?.hold?.(kind, bytes, peer, name) ?? []
      } catch (error) {
        return Promise.reject(error) // bytes that make no sense
      }
    }
    const data = message.t === 'append' ? message.entries.filter(({ kind }) => kind === 'data') : []
    const held =
      message.t === 'append'
        ? data.flatMap(({ bytes }) => hold('entry', bytes))
        : [hold('snapshot', message.snapshot.data)].flat()
    for (const each of held) each.catch(() => undefined) // reported for all of them together
    return held
  }
}
