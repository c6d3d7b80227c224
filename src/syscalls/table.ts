// The ABI: every call a task, the shell or a page can make, one row each. Reading this table teaches the system.
// Above: client.ts (stubs). Below: kernel/dispatch.ts (handlers). At most 13 rows, as in DIOS.
//
// Version 3. A row's arguments are validated strictly: unknown keys are refused, sizes are bounded (limits.ts).
import * as v from 'valibot'
import type { Kid } from '../base/ids.ts'
import { isKid, isKidPrefix } from '../base/ids.ts'
import * as limits from './limits.ts'
import type {
  Ack,
  Data,
  DirectoryEntry,
  ExitStatus,
  FileInfo,
  FileKind,
  HistoryRow,
  KegRow,
  KernelEvent,
  LogLine,
  NodeInfo,
  OpenMode,
  PathChange,
  PeerRow,
  ProcessRow,
  RecordAnswer,
  StorageRow,
  TreeHealth,
  VersionRow,
} from './types.ts'

export const ABI_VERSION = 3

const path = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(limits.MAX_PATH_LENGTH),
  v.check((text) => !text.includes('\0'), 'a path must not contain NUL'),
)
const tooLong = `at most ${limits.MAX_TOGETHER_LENGTH} characters of paths`
const removed = v.pipe(
  v.array(path),
  v.maxLength(limits.MAX_TOGETHER - 1),
  v.check((paths) => paths.reduce((sum, each) => sum + each.length, 0) <= limits.MAX_TOGETHER_LENGTH, tooLong),
)
const moved = v.pipe(
  v.array(v.strictObject({ from: path, to: path })),
  v.maxLength(limits.MAX_TOGETHER - 1),
  v.check(
    (moves) => moves.reduce((sum, { from, to }) => sum + from.length + to.length, 0) <= limits.MAX_TOGETHER_LENGTH,
    tooLong,
  ),
)
const ref = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const offset = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const length = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(limits.MAX_IO_BYTES))
const bytes = v.pipe(
  v.custom<Uint8Array>((value) => value instanceof Uint8Array, 'bytes must be a Uint8Array'),
  v.check((chunk) => chunk.byteLength <= limits.MAX_IO_BYTES, `at most ${limits.MAX_IO_BYTES} bytes per write`),
)
const kid = v.pipe(v.string(), v.check(isKidPrefix, 'a KID is K- and at least four hex digits'))
const wholeKid = v.pipe(v.string(), v.check(isKid, 'a KID of a keg is K- and 64 hex digits'))
const taskName = v.pipe(v.string(), v.regex(/^[A-Za-z_$][\w$]{0,127}$/, 'a task is named like an exported function'))
/** Permission bits, as in POSIX. */
const permissions = v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(0o7777))
const recordName = v.pipe(
  v.string(),
  v.regex(/^[\w.-]{1,200}$/, 'a directory name has 1 to 200 letters, digits, dots, dashes'),
)
/** A version of `/`: its number, its name, the KID of its root, `HEAD`, `HEAD~2` (two before it), `@10m` (then). */
const version = v.pipe(v.string(), v.regex(/^[\w.@~-]{1,80}$/, 'a version is a number, a name, HEAD, HEAD~2 or @10m'))
/** Not a number, a KID, HEAD or a time. */
export const versionName = v.pipe(
  v.string(),
  v.regex(
    /^(?!HEAD$|K-)[A-Za-z_][\w.-]{0,63}$/,
    'a name has up to 64 letters, digits, dots and dashes, a letter first',
  ),
)
/** Devices that are to keep each block of a file's content. */
export const copiesCount = v.pipe(
  v.number(),
  v.integer('copies are counted in whole numbers'),
  v.minValue(1, 'at least 1 copy is kept'),
  v.maxValue(limits.MAX_COPIES, `at most ${limits.MAX_COPIES} copies are kept`),
)
const data = v.custom<Data>(() => true) // checked and measured by the kernel when it encodes it (kernel/process/data.ts)
const count = (max: number) => v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(max))

/** Bounds that a process may be given; absent means the kernel's default. */
export const processLimits = v.strictObject({
  /** A handler that has not answered for this long is ended, and its process with it. */
  eventMs: v.optional(count(24 * 3600 * 1000)),
  /** Events in all. */
  events: v.optional(count(Number.MAX_SAFE_INTEGER)),
  /** Nodes that may work for it at a time. */
  nodes: v.optional(count(Number.MAX_SAFE_INTEGER)),
  /** Time of its tasks, on all nodes together. */
  cpuMs: v.optional(count(Number.MAX_SAFE_INTEGER)),
  /** Data of its events and results at a time. */
  memoryBytes: v.optional(count(Number.MAX_SAFE_INTEGER)),
  /** Output, both streams together. */
  outputBytes: v.optional(count(Number.MAX_SAFE_INTEGER)),
})
export type ProcessLimits = v.InferOutput<typeof processLimits>

/** What the directory answers for: node ids, KIDs of processes, CIDs of files, device ids. */
export const recordNamespaces = ['peer', 'home', 'provider', 'device'] as const
export type RecordNamespace = (typeof recordNamespaces)[number]

const openModes = ['r', 'r+', 'w', 'w+', 'wx', 'wx+', 'a', 'a+', 'ax', 'ax+'] as const satisfies OpenMode[]

/** Arguments of each call. */
export const syscalls = {
  /** A reference to a file or stream. Files open for writing become visible to others when closed. */
  open: v.strictObject({ path, mode: v.picklist(openModes), permissions: v.optional(permissions) }),
  /**
   * Up to `length` bytes at `offset`; empty at the end. A stream's read waits for data or its end. `until`: the caller goes on
   * reading from there up to this offset, so that this much may be fetched ahead, and no more.
   */
  read: v.strictObject({ ref, offset, length, until: v.optional(offset) }),
  /**
   * Writes at an offset, or behind what is there; or cuts the file to a size, or fills it up with zeros. References 1 and 2
   * are a task's output and errors.
   */
  write: v.union([v.strictObject({ ref, bytes, offset: v.optional(offset) }), v.strictObject({ ref, size: offset })]),
  /** Commits a written file (or discards it) and gives the reference back, unless it is to be kept. */
  close: v.strictObject({
    ref,
    discard: v.optional(v.boolean()),
    keep: v.optional(v.boolean()),
    /** How safe the file has to be; as safe as can be had now, unless told. */
    ack: v.optional(v.picklist(['local', 'majority', 'all'])),
  }),
  /** Changes names, and what is known of a file beside its content. A copy shares its content with the original. */
  change: v.variant('op', [
    v.strictObject({
      op: v.literal('mkdir'),
      path,
      recursive: v.optional(v.boolean()),
      mode: v.optional(permissions),
    }),
    v.strictObject({ op: v.literal('symlink'), path, target: path }),
    /**
     * Replaces a file, or an empty directory by a directory; with `exclusive` nothing (EEXIST). With `also`: all of them, in their
     * order, or none, as `remove`.
     */
    v.strictObject({
      op: v.literal('move'),
      from: path,
      to: path,
      also: v.optional(moved),
      exclusive: v.optional(v.boolean()),
    }),
    v.strictObject({ op: v.literal('copy'), from: path, to: path, exclusive: v.optional(v.boolean()) }),
    /** With `also`: all of them or none, in one version; they are in one keg. With `was`, its CID: EEXIST if it is another. */
    v.strictObject({
      op: v.literal('remove'),
      path,
      was: v.optional(v.pipe(v.string(), v.maxLength(limits.MAX_NAME_BYTES))),
      also: v.optional(removed),
      recursive: v.optional(v.boolean()),
    }),
    v.strictObject({
      op: v.literal('set'),
      path,
      mode: v.optional(permissions),
      mtimeMs: v.optional(offset),
      /** How a file is cut into blocks, which rewrites it; of a directory: how files that are made in it are. Not for tasks. */
      chunks: v.optional(v.picklist(['fixed', 'content'])),
    }),
    /** Brings the root of a CAR, which is a file, into the tree at a path where nothing is. Not for tasks. */
    v.strictObject({ op: v.literal('import'), from: path, to: path }),
    /** Mounts a keg, or with null a new one, over an empty directory, which is made if nothing is there. Not for tasks. */
    v.strictObject({ op: v.literal('mount'), path, keg: v.nullable(wholeKid) }),
    /** Not for tasks. */
    v.strictObject({ op: v.literal('umount'), path }),
    /** Makes a path what it was in a version, with all below it; with `remove` also when it was not there. */
    v.strictObject({ op: v.literal('restore'), path, version, remove: v.optional(v.boolean()) }),
    /** Whoever keeps `/` looks for all of it, and fetches what it has not. */
    v.strictObject({ op: v.literal('repair') }),
    /** Names a version, of `/` or of the keg that a path is in, which is then kept; null: the name is given up. */
    v.strictObject({ op: v.literal('name'), name: versionName, version: v.nullable(version), path: v.optional(path) }),
    /** Forgets versions, of `/` or of the keg that a path is in, that are neither named, nor among the `keep` newest, nor from the last `forMs`. */
    v.strictObject({ op: v.literal('forget'), keep: count(1_000_000), forMs: offset, path: v.optional(path) }),
    /** How many devices are to keep each block of files, of `/` or of the keg that a path is in. */
    v.strictObject({ op: v.literal('copies'), copies: copiesCount, path: v.optional(path) }),
  ]),
  /** Entries of a directory, sorted by name, at most `limit` after the name `after`. */
  list: v.strictObject({
    path,
    after: v.optional(v.pipe(v.string(), v.maxLength(limits.MAX_PATH_LENGTH))),
    limit: v.optional(count(10_000)),
  }),
  /** What the kernel knows: about a path, this node, its peers, processes, storage, its log, a record of the directory, the journal of a process, versions of `/` and how well it is kept. */
  info: v.variant('topic', [
    /**
     * `follow: false` tells about a symbolic link instead of what it leads to; `plain`, of a directory, the CID that other
     * IPFS tools give it.
     */
    v.strictObject({
      topic: v.literal('path'),
      path,
      follow: v.optional(v.boolean()),
      plain: v.optional(v.boolean()),
    }),
    v.strictObject({ topic: v.literal('node') }),
    v.strictObject({ topic: v.literal('peers') }),
    v.strictObject({ topic: v.literal('processes') }),
    v.strictObject({ topic: v.literal('storage') }),
    v.strictObject({ topic: v.literal('log') }),
    /** Kegs beside `/`: those that are mounted in it, and others that this node knows. */
    v.strictObject({ topic: v.literal('kegs') }),
    v.strictObject({ topic: v.literal('record'), namespace: v.picklist(recordNamespaces), name: recordName }),
    /** What the journal of a process tells after its entry `after`; nothing when there is no more. */
    v.strictObject({ topic: v.literal('history'), kid, after: v.optional(offset) }),
    /**
     * Versions of `/`; with a path, those of the keg that it is in: in which it, or what is in it, changed, or `all`. From one on:
     * those that came before it in the same tree, not those of a branch that was merged.
     */
    v.strictObject({
      topic: v.literal('versions'),
      path: v.optional(path),
      all: v.optional(v.boolean()),
      from: v.optional(version),
      before: v.optional(offset),
      limit: v.optional(count(10_000)),
    }),
    /** How many devices are to keep each block of files, of `/` or of the keg that a path is in. */
    v.strictObject({ topic: v.literal('copies'), path: v.optional(path) }),
    /** How well what is at a path and below is kept: looks for every block of it on all nodes. */
    v.strictObject({ topic: v.literal('health'), path: v.optional(path) }),
    /** What is another in version `to` than in `from`, at a path and below. */
    v.strictObject({ topic: v.literal('diff'), from: version, to: version, path: v.optional(path) }),
  ]),
  /** Starts a program: a process with one event, `start`. */
  run: v.strictObject({
    program: path,
    args: v.pipe(v.array(v.pipe(v.string(), v.maxLength(limits.MAX_ARG_LENGTH))), v.maxLength(limits.MAX_ARGS)),
    cwd: path,
    limits: v.optional(processLimits),
  }),
  /**
   * Tasks only: a new event for this process; with `after`, one that waits for those events and gets their results; with
   * `key`, a step of the fold of that name, which gets what the step before it returned.
   */
  emit: v.strictObject({
    task: taskName,
    data,
    after: v.optional(v.pipe(v.array(v.pipe(v.string(), v.maxLength(256))), v.maxLength(limits.MAX_EMITS_PER_EVENT))),
    key: v.optional(v.pipe(v.string(), v.maxLength(limits.MAX_KEY_LENGTH))),
  }),
  /**
   * Waits: for all (or any) of a set of processes to end, for kernel events after number `since`, or for a path, or what is in
   * it, to be another than in version `since`; without one, tells the version.
   */
  wait: v.variant('for', [
    v.strictObject({
      for: v.literal('exit'),
      kids: v.pipe(v.array(kid), v.minLength(1), v.maxLength(limits.MAX_WAIT_KIDS)),
      any: v.optional(v.boolean()),
    }),
    v.strictObject({ for: v.literal('events'), since: offset }),
    v.strictObject({
      for: v.literal('changes'),
      path,
      recursive: v.optional(v.boolean()),
      since: v.optional(v.pipe(v.string(), v.maxLength(256))),
    }),
  ]),
  /** Ends a process (KILL), lets it start no more events (STOP) or again (CONT), or ends this one (EXIT; tasks only). */
  signal: v.variant('signal', [
    v.strictObject({ signal: v.picklist(['KILL', 'STOP', 'CONT']), kid }),
    v.strictObject({
      signal: v.literal('EXIT'),
      code: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255)),
    }),
  ]),
} as const

export type CallName = keyof typeof syscalls
export type CallArgs<K extends CallName> = v.InferOutput<(typeof syscalls)[K]>
/** Changes of the versions of `/`, and those of files. */
export type VersionChange = Extract<CallArgs<'change'>, { op: 'restore' | 'name' | 'forget' | 'copies' }>
export type FileChange = Exclude<CallArgs<'change'>, VersionChange | { op: 'repair' }>

export interface InfoResults {
  path: FileInfo
  node: NodeInfo
  peers: PeerRow[]
  processes: ProcessRow[]
  storage: StorageRow[]
  log: LogLine[]
  kegs: KegRow[]
  /** null: nobody knows the name. */
  record: RecordAnswer | null
  history: HistoryRow[]
  versions: VersionRow[]
  diff: Changes
  copies: number
  health: TreeHealth
}
export type InfoTopic = keyof InfoResults

/** `more`: there were too many to tell, or nobody knows what was there before. */
export interface Changes {
  version: string
  changes: PathChange[]
  more: boolean
}

/** Results of each call. */
export interface CallResults {
  open: { ref: number; kind: FileKind; size: number }
  read: { bytes: Uint8Array }
  write: { size: number }
  /**
   * All is there when the reference had written a file, but `ack` for tasks. `alreadyHere`: bytes at its beginning that this
   * node had before they were written, as of an attempt that was interrupted.
   */
  close: { kid?: Kid; cid?: string; size?: number; alreadyHere?: number; ack?: Ack }
  change: { ack: Ack }
  list: { entries: DirectoryEntry[]; more: boolean }
  info: InfoResults[InfoTopic]
  run: { kid: Kid; home: string }
  emit: { id: string }
  wait: { exits?: ExitStatus[]; events?: KernelEvent[]; next?: number } & Partial<Changes>
  signal: { delivered: boolean }
}

/** Checks one call's arguments. @returns the arguments, or a sentence that says what is wrong with them. */
export function parseCall(call: string, args: unknown): { call: CallName; args: never } | { problem: string } {
  if (!Object.hasOwn(syscalls, call)) return { problem: `there is no call '${call.slice(0, 32)}'` }
  const name = call as CallName
  const parsed = v.safeParse(syscalls[name], args)
  if (parsed.success) return { call: name, args: parsed.output as never }
  const issue = parsed.issues[0]
  const where = v.getDotPath(issue)
  return { problem: `${name}: ${where ? `${where}: ` : ''}${issue.message.slice(0, 200)}` }
}
