// What an owner sees of a replicated journal that this node leads. Above: processes, trees. Below: group.ts.
import type { NodeId } from '../../base/ids.ts'
import type { Ack } from '../../syscalls/types.ts'

export interface Journal {
  readonly name: string
  /** Of the leader's election; rises with every new leader. */
  readonly term: number
  /** Nodes that keep the entries and are here, this one included: how many can acknowledge now. */
  readonly reach: number
  /**
   * Resolves when the entries, and all before them, are as safe as `level` says, `majority` unless told. None: when all before are.
   * @throws {OsError} EAGAIN nothing was written; ECONNRESET perhaps written; ENOSPC, EIO: after a failure every later
   * append fails too, so that no gap can arise; the owner is told when this node leads again.
   */
  append(entries: readonly Uint8Array[], level?: Ack['level']): Promise<Ack>
  /** All that is committed. */
  committed(): Journalled
}

/** A snapshot and what was journalled after it. */
export interface Journalled {
  snapshot: Uint8Array
  entries: Uint8Array[]
}

export interface Folded {
  snapshot: Uint8Array
  /** What it stands for: the journal grows by as much before it is folded again. */
  bytes: number
}

/** Whoever journals something under names that begin alike. */
export interface JournalOwner {
  /** This node leads from now on: everything that was journalled, to be replayed, and where to go on. */
  lead(name: string, journal: Journal, before: Journalled): void
  /** Another node leads, or nobody can: what was built on the journal here is no longer true. */
  follow(name: string, leader: NodeId | undefined): void
  /**
   * Fetches what an entry or a snapshot refers to: it counts as stored here only with that. Undefined: nothing to fetch.
   * It may throw for bytes that make no sense, and reject when they cannot be had: the sender tries again.
   */
  hold?(kind: 'entry' | 'snapshot', bytes: Uint8Array, from: NodeId, name: string): Promise<void> | undefined
  /** Entries are about to be sent to that member, perhaps again: what they refer to may go ahead of them, so that it need not be fetched. */
  enclose?(entries: readonly Uint8Array[], to: NodeId): void
  /** Others keep it instead of this node, which forgets it: what was journalled, or perhaps was. */
  dismissed?(name: string, before: Journalled): void
  /** A snapshot of all that: the journal goes on from it. Without this the journal grows. */
  fold?(before: Journalled): Folded | Promise<Folded>
}
