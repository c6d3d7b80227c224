// Nodes that keep a journal no longer: who is told so, and whether this one believes it. Above: groups.ts. Below: kept.ts, members.ts,
// intake.ts, rpc, the witness.
import { errorLine } from '../../base/errors.ts'
import type { NodeId } from '../../base/ids.ts'
import type { LogSink } from '../../ports/log.ts'
import type { WitnessLink } from '../../ports/witness.ts'
import type { NoteBody } from '../rpc/methods.ts'
import type { RpcNode } from '../rpc/node.ts'
import { type Group, isMember } from './group.ts'
import type { Intake } from './intake.ts'
import type { JournalOwner } from './journal.ts'
import type { Kept } from './kept.ts'
import type { Members } from './members.ts'
import { membersOf } from './raft/config.ts'
import { encodeWitnessFrame, type RaftMessage } from './raft/messages.ts'

type Vote = RaftMessage & { t: 'vote' }

export interface DismissalsOptions {
  rpc: RpcNode
  witness: WitnessLink
  log: LogSink
  kept: Kept
  members: Members
  intake: Intake
  ownerOf(name: string): JournalOwner | undefined
  /** Forgets a journal here. */
  remove(name: string): Promise<void>
}

export class Dismissals {
  readonly #options: DismissalsOptions

  constructor(options: DismissalsOptions) {
    this.#options = options
  }

  /** @param index of the entry with which it is no member any more. */
  tell(id: NodeId, { name, term }: Group, index: number): void {
    this.#options.rpc.note(id, 'journal.dismissed', { group: name, term, index })
  }

  /** The journal ends. */
  tellAll(name: string): void {
    const { kept, members, witness, rpc } = this.#options
    const group = kept.get(name)
    if (!group) return
    for (const id of [...membersOf(group.config), ...members.untold(group)]) {
      if (id === witness.id) witness.send(encodeWitnessFrame({ group: name, retired: true }))
      else if (id !== rpc.self) this.tell(id, group, group.lastIndex)
    }
  }

  /** A peer wants to lead what this node keeps no longer. */
  answer(peer: NodeId, name: string, { term, lastIndex: index, lastTerm }: Vote): void {
    const { kept, rpc } = this.#options
    // It has forgotten what it promised, but not that there is nothing more to lead: whoever was away then hears of it now.
    // Unless somebody led it after this node, which did not know: what was written then is nobody else's to end.
    const over = kept.departed.ended(name) && lastTerm <= kept.departed.termOf(name)
    if (over) rpc.note(peer, 'journal.dismissed', { group: name, term, index })
  }

  /**
   * Whoever was left out while it was away may count on members of then only, none of which leads now: a follower tells it. Not
   * somebody who has had the entry that leaves it out, and so may have acknowledged what came after it: it may be called back.
   */
  leftOut(peer: NodeId, group: Group, vote: Vote): boolean {
    if (isMember(group.config, peer)) return false
    if (group.settled) return true
    return group.agreed && group.leader !== undefined && group.config.voters.length > 0 && group.isBehindMembers(vote)
  }

  /** A peer says that this node keeps that journal no longer. */
  heard(peer: NodeId, said: NoteBody<'journal.dismissed'>): void {
    const { kept, log, ownerOf, remove } = this.#options
    const { group: name } = said
    const loading = kept.loading(name)
    if (loading) return void loading.then(() => this.heard(peer, said)).catch(() => undefined) // logged
    const group = kept.get(name)
    if (!group || !this.#believes(peer, group, said)) return
    try {
      ownerOf(name)?.dismissed?.(name, group.stored())
    } catch (error) {
      log.log('warn', 'journal', `what ${name} kept here stays: ${errorLine(error)}`)
    }
    remove(name).catch((error: unknown) => log.log('warn', 'journal', `${name} cannot be removed: ${errorLine(error)}`))
  }

  #believes(peer: NodeId, group: Group, { term, index }: NoteBody<'journal.dismissed'>): boolean {
    // It may have been called back since.
    if (group.leads || group.configIndex > index) return false
    // One that has not begun has heard of no members: whoever leads it, or sends what it begins with, may take it back.
    const from = [group.leader, this.#options.intake.from(group.name)]
    const unknown = from.every((each) => each === undefined)
    const beginning = group.config.voters.length === 0 && (from.includes(peer) || unknown)
    if (!beginning && !isMember(group.config, peer)) return false
    // A former leader, or anybody else, must not take a copy away that the present one counts on.
    return term >= group.term && (group.leader === undefined || group.leader === peer)
  }
}
