// Every call that one kernel may make on another, one row each: validators, lane and lifetime. The handlers are
// registered by the services that own the data. A method that is not here does not exist on the wire.
import * as v from 'valibot'
import type { StreamKind } from '../../ports/network.ts'
import { versionName } from '../../syscalls/table.ts'
import { groupName, raftMessage } from '../journal/raft/messages.ts'
import * as limits from '../limits.ts'
import {
  ack,
  ackLevel,
  bytes,
  cid,
  cids,
  exitStatus,
  historyRow,
  int,
  kid,
  lease,
  MAX_FOUND,
  MAX_ROWS,
  nodeId,
  once,
  pastVersion,
  processRow,
  storageRow,
  text,
  treeHead,
  treeMark,
  treeOp,
  treeVersion,
} from './bodies.ts'

interface Method {
  lane: StreamKind
  args: v.GenericSchema
  result: v.GenericSchema
  /** Default time that a caller waits, in ms; 0 means until it cancels. */
  timeoutMs: number
}

export const methods = {
  /** Which of these blocks do you hold? One byte per CID, 1 for yes. */
  'blocks.have': {
    lane: 'control',
    /** `rely`: whoever asks is about to free its own copies, so what is there has to stay for a while. */
    args: v.strictObject({ cids, rely: v.optional(v.boolean()) }),
    result: bytes(limits.MAX_CIDS_PER_CALL),
    timeoutMs: 2_000,
  },
  /**
   * Sends those blocks as items [index, offset, total, bytes], several small ones behind each other, or [index, offset, total,
   * length, packed] (blocks/packing.ts); skips what it does not hold. The index by itself, before a block: somebody has read that
   * one here lately.
   */
  'blocks.get': {
    lane: 'bulk',
    /** `read`: it is for somebody who reads it, and not to be kept in any case. `plain`: who asks cannot unpack. */
    args: v.strictObject({ cids, read: v.optional(v.boolean()), plain: v.optional(v.boolean()) }),
    result: v.null(),
    timeoutMs: 0,
  },
  /** The head of that tree, or of the one of that keg (of `/`) that the answering node leads, when it is certain that it does. */
  'tree.head': {
    lane: 'control',
    args: v.strictObject({ tree: v.nullable(kid), keg: v.exactOptional(kid) }),
    result: v.nullable(treeHead),
    timeoutMs: 3_000,
  },
  /** A tree as the journal of the answering node has it, perhaps with changes that were never committed; null: it keeps it not. */
  'tree.stored': {
    lane: 'control',
    args: v.strictObject({ tree: kid }),
    result: v.nullable(
      v.strictObject({ root: cid, version: int(), once: v.pipe(v.array(once), v.maxLength(limits.MAX_TREE_ONCE)) }),
    ),
    timeoutMs: 2_000,
  },
  /** Changes a tree, all or none; only its leader accepts. Pulls the files that it lacks from the caller. */
  'tree.apply': {
    lane: 'control',
    args: v.strictObject({
      tree: kid,
      ops: v.pipe(v.array(treeOp), v.maxLength(4096)),
      ack: v.optional(ackLevel),
      absorbs: v.optional(v.strictTuple([kid, int()])),
      mark: v.optional(treeMark),
      once: v.optional(once),
      names: v.optional(v.pipe(v.array(once), v.maxLength(limits.MAX_TREE_ONCE))),
      past: v.optional(v.pipe(v.array(pastVersion), v.maxLength(limits.MAX_VERSIONS_BROUGHT))),
    }),
    result: v.strictObject({ head: treeHead, ack }),
    timeoutMs: 120_000,
  },
  /** Up to which version the tree that the answering node leads contains another, and its own root then. */
  'tree.absorbed': {
    lane: 'control',
    args: v.strictObject({ tree: kid, other: kid }),
    result: v.nullable(v.strictObject({ version: int(), root: cid })),
    timeoutMs: 3_000,
  },
  /** Looks for all that it should have of a tree, and fetches what it has not: whether it has all then; null: it keeps it not. */
  'tree.repair': {
    lane: 'control',
    args: v.strictObject({ tree: kid }),
    result: v.nullable(v.boolean()),
    timeoutMs: 600_000,
  },
  /** From whoever leads a tree: keep these leaves for it, which `hints` have. One byte per CID, 1 for those that are kept now. */
  'tree.keep': {
    lane: 'control',
    args: v.strictObject({
      tree: kid,
      keg: v.exactOptional(kid),
      cids,
      hints: v.pipe(v.array(nodeId), v.maxLength(limits.MAX_HINTS)),
    }),
    result: bytes(limits.MAX_CIDS_PER_CALL),
    timeoutMs: limits.KEEP_TIMEOUT_MS,
  },
  /** Which of these do you keep for that tree? One byte per CID: 0 no, 1 as a member of its journal, 2 because you were asked to. */
  'tree.kept': {
    lane: 'control',
    args: v.strictObject({ tree: kid, cids }),
    result: bytes(limits.MAX_CIDS_PER_CALL),
    timeoutMs: 5_000,
  },
  /** From a member to its leader: 1 for leaves that enough others keep. The asking node is not counted on for them then. */
  'tree.placed': {
    lane: 'control',
    args: v.strictObject({
      tree: kid,
      cids,
      /** It has no room: they are to be kept elsewhere, soon. */
      relieve: v.exactOptional(v.boolean()),
    }),
    result: bytes(limits.MAX_CIDS_PER_CALL),
    timeoutMs: 10_000,
  },
  /** To a member of a tree's journal: 1 for leaves that some version needs as far as it knows, 0 for others; 2 more if it leads the tree. */
  'tree.needs': {
    lane: 'control',
    args: v.strictObject({ tree: kid, cids }),
    result: v.strictObject({
      answer: bytes(limits.MAX_CIDS_PER_CALL),
      /** Who keeps the tree's journal, as far as the answering node knows. */
      members: v.pipe(v.array(nodeId), v.maxLength(2 * limits.MAX_VOTERS)),
    }),
    timeoutMs: 10_000,
  },
  /** Versions of a tree that the answering node leads, older than `before`, from the newest on; and all names of versions. */
  'tree.versions': {
    lane: 'control',
    args: v.strictObject({ tree: kid, before: v.nullable(int()) }),
    result: v.strictObject({
      rows: v.pipe(v.array(treeVersion), v.maxLength(limits.MAX_VERSION_ROWS)),
      names: v.pipe(v.array(v.strictTuple([versionName, int()])), v.maxLength(limits.MAX_VERSION_NAMES)),
      more: v.boolean(),
    }),
    timeoutMs: 5_000,
  },
  /** Runs the events of a lease. Items: output, and encoded completions, in pieces (process/completion.ts). */
  'process.execute': { lane: 'control', args: lease, result: v.null(), timeoutMs: 0 },
  /** Items: the encoded data of a leased event. */
  'process.input': {
    lane: 'bulk',
    args: v.strictObject({ kid, event: text(256) }),
    result: v.null(),
    timeoutMs: 60_000,
  },
  /** Resolves with how many more events a leased event may emit, when the queue of its process has room. */
  'process.room': {
    lane: 'control',
    args: v.strictObject({ kid, event: text(256), token: int() }),
    result: int(),
    timeoutMs: 0,
  },
  /** Output from `offset` of stream 1 or 2; waits for some. Empty bytes: the process has ended. */
  'process.read': {
    lane: 'control',
    args: v.strictObject({ kid, stream: v.picklist([1, 2]), offset: int(), length: int(limits.BLOCK_BYTES) }),
    result: bytes(limits.BLOCK_BYTES),
    timeoutMs: 0,
  },
  'process.wait': { lane: 'control', args: v.strictObject({ kid }), result: exitStatus, timeoutMs: 0 },
  'process.kill': { lane: 'control', args: v.strictObject({ kid }), result: v.boolean(), timeoutMs: 10_000 },
  /** Starts no more events, or goes on. The result is false when it has ended, or did so already. */
  'process.pause': {
    lane: 'control',
    args: v.strictObject({ kid, paused: v.boolean() }),
    result: v.boolean(),
    timeoutMs: 10_000,
  },
  /** What the journal tells after its entry `after`, some of it; nothing when there is no more. */
  'process.history': {
    lane: 'control',
    args: v.strictObject({ kid, after: v.pipe(v.number(), v.safeInteger(), v.minValue(-1)) }),
    result: v.pipe(v.array(historyRow), v.maxLength(limits.MAX_HISTORY_ROWS)),
    timeoutMs: 10_000,
  },
  /** Processes at home on the answering node. */
  'process.list': {
    lane: 'control',
    args: v.null(),
    result: v.pipe(v.array(processRow), v.maxLength(MAX_ROWS)),
    timeoutMs: 3_000,
  },
  /** Full KIDs of processes whose journal the answering node keeps. */
  'process.find': {
    lane: 'control',
    args: v.strictObject({ prefix: v.pipe(v.string(), v.regex(/^K-[0-9a-f]{4,64}$/)) }),
    result: v.pipe(v.array(kid), v.maxLength(MAX_FOUND)),
    timeoutMs: 2_000,
  },
  'storage.usage': { lane: 'control', args: v.null(), result: storageRow, timeoutMs: 3_000 },
} as const satisfies Record<string, Method>

export type MethodName = keyof typeof methods
export type MethodArgs<M extends MethodName> = v.InferOutput<(typeof methods)[M]['args']>
export type MethodResult<M extends MethodName> = v.InferOutput<(typeof methods)[M]['result']>

/** One-way messages: no answer, no retry. */
export const notes = {
  /** Peers that the sender is connected to. */
  'membership.peers': v.strictObject({ peers: v.pipe(v.array(nodeId), v.maxLength(limits.MAX_GOSSIP_PEERS)) }),
  /** The sender, whom that peer promised heartbeats, hears none. */
  'membership.silent': v.strictObject({ peer: nodeId }),
  /** Blocks that the sender's next message names: whoever needs them need not ask. */
  'blocks.enclosed': v.strictObject({
    blocks: v.pipe(
      v.array(v.strictTuple([cid, bytes(limits.SMALL_BLOCK_BYTES)])),
      v.maxLength(limits.MAX_CIDS_PER_CALL),
    ),
  }),
  /** One message of a replicated journal. */
  'journal.step': v.strictObject({ group: groupName, message: raftMessage }),
  /** From its leader to somebody who no longer keeps it. */
  'journal.dismissed': v.strictObject({ group: groupName, term: int(), index: int() }),
  'tree.head': treeHead,
  /** The sender knows of a tree that was written, whether or not anybody leads it now. */
  'tree.known': v.strictObject({ tree: kid, keg: v.exactOptional(kid) }),
  /** From its leader to those who keep a tree: these roots of versions are forgotten. */
  'tree.forgotten': v.strictObject({
    tree: kid,
    roots: v.pipe(v.array(cid), v.maxLength(limits.MAX_VERSIONS)),
    /** Somebody asked for it. */
    soon: v.boolean(),
  }),
  /** From its leader: enough others keep these leaves of that tree. */
  'tree.release': v.strictObject({ tree: kid, cids }),
  /** The sender, which led that tree, does not know any longer who does. */
  'tree.resigned': v.strictObject({ tree: kid, keg: v.exactOptional(kid) }),
  /** The process has ended: executors drop its workers. */
  'process.ended': v.strictObject({ kid }),
} as const

export type NoteName = keyof typeof notes
export type NoteBody<N extends NoteName> = v.InferOutput<(typeof notes)[N]>
