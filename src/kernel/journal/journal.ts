// What an owner sees of a replicated journal that this node leads. Above: processes, trees. Below: group.ts.
import type { Ack } from '../../syscalls/types.ts'

export interface Journal {
  readonly name: string
  /** Of the leader's election; rises with every new leader. */
  readonly term: number
  /** Nodes that keep the entries and are here, this one included: how many can acknowledge now. */
  readonly reach: number
  /**
   * Resolves when the entries are as safe as `level` says, `majority` unless told.
   * @throws {OsError} EAGAIN nothing was written; ECONNRESET perhaps written; ENOSPC, EIO: after a failure every later
   * append fails too, so that no gap can arise.
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
