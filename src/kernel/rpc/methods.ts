// Every call that one kernel may make on another, one row each: validators, lane and lifetime. The handlers are
// registered by the services that own the data. A method that is not here does not exist on the wire.
import * as v from 'valibot'
import { isKid, type Kid, type NodeId } from '../../base/ids.ts'
import type { StreamKind } from '../../ports/network.ts'
import { copiesCount, versionName } from '../../syscalls/table.ts'
import type { ExitStatus, HistoryRow, ProcessRow, StorageRow } from '../../syscalls/types.ts'
import { groupName, raftMessage } from '../journal/raft/messages.ts'
import * as limits from '../limits.ts'

const text = (max: number) => v.pipe(v.string(), v.maxLength(max))
const int = (max = Number.MAX_SAFE_INTEGER) => v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(max))
const bytes = (max: number) =>
  v.pipe(
    v.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes'),
    v.check((value) => value.byteLength <= max, `more than ${max} bytes`),
  )
const kid = v.custom<Kid>((value) => typeof value === 'string' && isKid(value), 'expected a KID')
/** The same as plain text: branded types have no name where types are written out. */
const kidText = v.pipe(v.string(), v.check(isKid, 'expected a KID'))
const cid = v.pipe(v.string(), v.regex(/^b[a-z2-7]{20,120}$/, 'expected a CIDv1 in base32'))
const cids = v.pipe(v.array(cid), v.maxLength(limits.MAX_CIDS_PER_CALL))
const NODE_ID = /^[1-9A-HJ-NP-Za-km-z]{8,80}$/
const nodeId = v.custom<NodeId>((value) => typeof value === 'string' && NODE_ID.test(value))
const nodeText = v.pipe(v.string(), v.regex(NODE_ID, 'expected a node id'))
const path = text(4096)

/** Where a tree stands, in the words of the node that leads it (fs/tree-in-use.ts). */
export const treeHead = v.strictObject({
  tree: kid,
  /** Unix time of the tree's birth: where two trees meet the older one stays. */
  bornMs: int(),
  /** Of the leader's election. */
  term: int(),
  /** 0: nobody has ever written it. */
  version: int(),
  root: cid,
  home: nodeId,
  /** The keg that it is a tree of; absent for `/`. */
  keg: v.exactOptional(kid),
  /** Devices that are to keep each leaf of its files; absent: COPIES. */
  copies: v.exactOptional(copiesCount),
})
export type TreeHead = v.InferOutput<typeof treeHead>

/** Where a symbolic link leads: a path, absolute or from the link's own directory. */
const linkTarget = v.pipe(v.string(), v.minLength(1), v.maxLength(4096))

/** See Entry in fs/directory.ts. */
const chunks = v.optional(v.literal('content'))

/** It was perhaps made already: then it changes nothing. */
const again = v.optional(v.boolean())

/** A change of the shared tree. Paths are absolute and normalised. */
export const treeOp = v.variant('op', [
  v.strictObject({
    op: v.literal('put'),
    path,
    cid,
    size: int(),
    mode: int(0o7777),
    mtimeMs: int(),
    chunks,
    exclusive: v.optional(v.boolean()),
    /** Makes missing parent directories: for what tasks write. */
    parents: v.optional(v.boolean()),
    /** What it replaces: refused if something else stands there by now. */
    was: v.optional(cid),
  }),
  v.strictObject({
    op: v.literal('mkdir'),
    path,
    recursive: v.boolean(),
    mtimeMs: int(),
    mode: v.optional(int(0o7777)),
    /** That of the directory that it is made in, unless told. */
    chunks,
  }),
  /** A name for another path, which need not exist. */
  v.strictObject({ op: v.literal('symlink'), path, target: linkTarget, mtimeMs: int(), was: v.optional(cid), again }),
  v.strictObject({
    op: v.literal('remove'),
    path,
    recursive: v.boolean(),
    force: v.optional(v.boolean()),
    was: v.optional(cid),
    /** Becomes the time of the directory that it was in. */
    mtimeMs: v.optional(int()),
  }),
  v.strictObject({ op: v.literal('move'), from: path, to: path, mtimeMs: int() }),
  /** The same content under another name: whatever its size, nothing is copied. */
  v.strictObject({
    op: v.literal('copy'),
    from: path,
    to: path,
    mtimeMs: int(),
    exclusive: v.optional(v.boolean()),
    again,
  }),
  /** What is known of a file beside its content. */
  v.strictObject({
    op: v.literal('set'),
    path,
    mode: v.optional(int(0o7777)),
    mtimeMs: v.optional(int()),
    /** Of directories: how files that are made in it are cut. */
    chunks: v.optional(v.picklist(['fixed', 'content'])),
    again,
  }),
  /** What stood somewhere in a version, with all below it, takes the place of whatever is there. Of `/` too. */
  v.strictObject({
    op: v.literal('graft'),
    path,
    kind: v.picklist(['file', 'directory', 'symlink']),
    cid,
    size: int(),
    mode: int(0o7777),
    mtimeMs: int(),
    chunks,
    /** Of a directory over which a keg is mounted. */
    keg: v.exactOptional(kidText),
    /** When it is done: of directories in which a name appears or goes. */
    atMs: int(),
    exclusive: v.optional(v.boolean()),
    /** In the way of nothing but an empty directory, and where there is one for it: as a copy. */
    beside: v.optional(v.boolean()),
  }),
  /** A keg is mounted over an empty directory, which is made if nothing is there. */
  v.strictObject({ op: v.literal('mount'), path, keg: kidText, mtimeMs: int() }),
  /** It is an empty directory again. */
  v.strictObject({ op: v.literal('umount'), path, mtimeMs: int() }),
])
export type TreeOp = v.InferOutput<typeof treeOp>

/** What is noted in a tree's journal of its versions. */
export const treeMark = v.variant('mark', [
  /** A name for a version, or none any longer. */
  v.strictObject({ mark: v.literal('name'), name: versionName, version: v.nullable(int()) }),
  /** All but the `keep` newest, those of the last `forMs` and the named ones are forgotten. */
  v.strictObject({ mark: v.literal('forget'), keep: int(), forMs: int() }),
  /** So many devices are to keep each leaf of its files. */
  v.strictObject({ mark: v.literal('copies'), copies: copiesCount }),
])
export type TreeMark = v.InferOutput<typeof treeMark>

/** A version of a tree (fs/versions.ts). */
const treeVersion = v.strictObject({
  version: int(),
  root: cid,
  atMs: int(),
  by: v.nullable(nodeId),
  what: text(limits.MAX_WHAT_CHARS),
  parent: v.nullable(cid),
  signed: v.nullable(v.strictObject({ by: nodeText, signature: bytes(limits.MAX_SIGNATURE_BYTES) })),
})

const ackLevel = v.picklist(['local', 'majority', 'all'])
export const ack = v.strictObject({ level: ackLevel, devices: int(1e6) })

const leasedEvent = v.strictObject({
  id: text(256),
  task: text(128),
  /** The event's number: the ids of those that it emits begin with it. */
  number: int(),
  /** Events that it may emit before it asks its home for room. */
  room: int(),
  /** Encoded data; absent when it is larger than INLINE_INPUT_BYTES and must be pulled with `process.input`. */
  input: v.optional(bytes(limits.INLINE_INPUT_BYTES)),
  /** Fencing token: a completion with an older one is refused. */
  token: int(),
})
export type LeasedEvent = v.InferOutput<typeof leasedEvent>

const lease = v.strictObject({
  kid,
  /** Path of the program, for messages; its source is the blob `programCid`. */
  program: path,
  programCid: cid,
  cwd: path,
  eventMs: int(24 * 3600 * 1000),
  /** They run one after the other, on one slot. */
  events: v.pipe(v.array(leasedEvent), v.minLength(1), v.maxLength(limits.MAX_LEASED_TOGETHER)),
})
export type Lease = v.InferOutput<typeof lease>

/** Arguments of one row, and rows of one answer. */
export const MAX_ROW_ARGS = 64
export const MAX_ROWS = 4096
/** Answers to a question for a KID: two are enough to say that it is ambiguous, some more to show. */
export const MAX_FOUND = 8
const time = v.pipe(v.number(), v.minValue(0), v.maxValue(Number.MAX_SAFE_INTEGER))
const processState = v.picklist(['running', 'stopped', 'exited', 'failed', 'killed'])
const processRow: v.GenericSchema<unknown, ProcessRow> = v.strictObject({
  kid,
  program: path,
  args: v.pipe(v.array(text(limits.MAX_ROW_CHARS)), v.maxLength(MAX_ROW_ARGS + 1)),
  state: processState,
  home: nodeText,
  done: int(),
  total: int(),
  nodes: int(),
  working: v.pipe(
    v.array(v.strictObject({ event: text(256), task: text(128), node: nodeText })),
    v.maxLength(limits.MAX_WORKING),
  ),
  startedMs: time,
  endedMs: v.nullable(time),
  code: v.nullable(int(255)),
  error: v.nullable(text(limits.MAX_ROW_CHARS)),
})
const historyRow: v.GenericSchema<unknown, HistoryRow> = v.strictObject({
  n: int(),
  what: v.picklist(['spawned', 'home', 'assigned', 'lost', 'completed', 'stopped', 'continued', 'ended']),
  atMs: v.nullable(time),
  event: v.nullable(text(256)),
  task: v.nullable(text(128)),
  node: v.nullable(nodeText),
  detail: text(limits.MAX_ROW_CHARS),
})
const exitStatus: v.GenericSchema<unknown, ExitStatus> = v.strictObject({
  kid,
  state: processState,
  code: int(255),
  error: v.nullable(text(65_536)),
})
const storageRow: v.GenericSchema<unknown, StorageRow> = v.strictObject({
  node: nodeText,
  device: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  usedBytes: time,
  quotaBytes: time,
  blocks: int(),
  persisted: v.boolean(),
})

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
   * Sends those blocks as items [index, offset, total, bytes]; skips what it does not hold. The index by itself, before a block:
   * somebody has read that one here lately.
   */
  'blocks.get': {
    lane: 'bulk',
    /** `read`: it is for somebody who reads it, and not to be kept in any case. */
    args: v.strictObject({ cids, read: v.optional(v.boolean()) }),
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
    result: v.nullable(v.strictObject({ root: cid, version: int() })),
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
