// What kernels say to each other, piece by piece: validators, each of which bounds what it lets through. Above: methods.ts, which says
// what is asked and answered with them, and the services that own the data.
import * as v from 'valibot'
import { isKid, type Kid, type NodeId } from '../../base/ids.ts'
import { copiesCount, versionName } from '../../syscalls/table.ts'
import {
  type ExitStatus,
  type HistoryRow,
  type ProcessRow,
  type StorageRow,
  storageClasses,
} from '../../syscalls/types.ts'
import * as limits from '../limits.ts'

export const text = (max: number) => v.pipe(v.string(), v.maxLength(max))
export const int = (max = Number.MAX_SAFE_INTEGER) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(max))
export const bytes = (max: number) =>
  v.pipe(
    v.custom<Uint8Array>((value) => value instanceof Uint8Array, 'expected bytes'),
    v.check((value) => value.byteLength <= max, `more than ${max} bytes`),
  )
export const kid = v.custom<Kid>((value) => typeof value === 'string' && isKid(value), 'expected a KID')
/** The same as plain text: branded types have no name where types are written out. */
const kidText = v.pipe(v.string(), v.check(isKid, 'expected a KID'))
export const cid = v.pipe(v.string(), v.regex(/^b[a-z2-7]{20,120}$/, 'expected a CIDv1 in base32'))
export const cids = v.pipe(v.array(cid), v.maxLength(limits.MAX_CIDS_PER_CALL))
const NODE_ID = /^[1-9A-HJ-NP-Za-km-z]{8,80}$/
export const nodeId = v.custom<NodeId>((value) => typeof value === 'string' && NODE_ID.test(value))
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
  v.strictObject({
    op: v.literal('move'),
    from: path,
    to: path,
    mtimeMs: int(),
    exclusive: v.optional(v.boolean()),
  }),
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

/** Names a change, so that it is made once however often it is asked for. */
export const once = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/, 'expected 16 hexadecimal digits'))

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
export const treeVersion = v.strictObject({
  version: int(),
  root: cid,
  atMs: int(),
  by: v.nullable(nodeId),
  what: text(limits.MAX_WHAT_CHARS),
  parent: v.nullable(cid),
  signed: v.nullable(v.strictObject({ by: nodeText, signature: bytes(limits.MAX_SIGNATURE_BYTES) })),
  branch: v.boolean(),
})

/** A version of a tree that is merged: its root, who asked for it, what it did, and one of its names. */
export const pastVersion = v.strictTuple([
  cid,
  v.nullable(nodeId),
  text(limits.MAX_WHAT_CHARS),
  v.nullable(versionName),
])

export const ackLevel = v.picklist(['local', 'majority', 'all'])
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

export const lease = v.strictObject({
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
export const processRow: v.GenericSchema<unknown, ProcessRow> = v.strictObject({
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
export const historyRow: v.GenericSchema<unknown, HistoryRow> = v.strictObject({
  n: int(),
  what: v.picklist(['spawned', 'home', 'assigned', 'lost', 'completed', 'stopped', 'continued', 'ended']),
  atMs: v.nullable(time),
  event: v.nullable(text(256)),
  task: v.nullable(text(128)),
  node: v.nullable(nodeText),
  detail: text(limits.MAX_ROW_CHARS),
})
export const exitStatus: v.GenericSchema<unknown, ExitStatus> = v.strictObject({
  kid,
  state: processState,
  code: int(255),
  error: v.nullable(text(65_536)),
})
export const storageRow: v.GenericSchema<unknown, StorageRow> = v.strictObject({
  node: nodeText,
  device: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  usedBytes: time,
  quotaBytes: time,
  blocks: int(),
  persisted: v.boolean(),
  storage: v.picklist(storageClasses),
})
