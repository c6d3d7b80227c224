// What syscalls carry: rows, events and data. Shared by the kernel, the shell, tasks and the page.
import type { Kid } from '../base/ids.ts'

/** Data that events, results and arguments may hold. Depth ≤ 64; encoded size ≤ MAX_EVENT_BYTES. */
export type Data = null | boolean | number | string | Uint8Array | Data[] | { [key: string]: Data }

/** As in node:fs. With `+` it is read as well. What is written is visible to others when it is closed. */
export type OpenMode =
  | 'r' // read an existing file or stream
  | 'r+' // change an existing file
  | 'w' // replace or create
  | 'w+'
  | 'wx' // create; EEXIST if the path exists, also when it does by the time of closing
  | 'wx+'
  | 'a' // write behind the present content, or create
  | 'a+'
  | 'ax'
  | 'ax+'

export type FileKind = 'file' | 'directory' | 'symlink' | 'stream'

/** How durable a write is, and on how many distinct devices. */
export interface Ack {
  level: 'local' | 'majority' | 'all'
  devices: number
}

/** How far a long call is. */
export interface Progress {
  done: number
  /** Absent where nobody knows yet. */
  total?: number
  unit: 'bytes' | 'files' | 'blocks' | 'nodes'
}
export type OnProgress = (progress: Progress) => void

export interface FileInfo {
  path: string
  kind: FileKind
  /** Bytes; 0 for directories and streams. */
  size: number
  /** Unix time in ms of the last change. */
  mtimeMs: number
  /** Permission bits, e.g. 0o644. */
  mode: number
  /** Identifier of the content; absent for generated files (/proc). */
  kid?: Kid
  cid?: string
  /** Where a symbolic link leads. */
  target?: string
  /** Of a file: where its content is cut into blocks, unless that is every mebibyte. Of a directory: of files made in it. */
  chunks?: 'content'
  /** The keg that is mounted there. */
  keg?: Kid
}

/** Where a file's content is cut into blocks: every mebibyte, or where the content itself says so. */
export type Chunking = 'fixed' | 'content'

/** What has become of a path, relative to the one that is watched; empty for that one itself. */
export interface PathChange {
  what: 'added' | 'changed' | 'removed'
  path: string
}

/** A keg beside `/`. */
export interface KegRow {
  kid: Kid
  /** Where in `/` it is mounted. */
  paths: string[]
  /** The node that leads it; null when nobody answers. */
  home: string | null
  version: number | null
  /** Whether this node keeps a copy. */
  here: boolean
}

export interface DirectoryEntry {
  name: string
  kind: FileKind
  size: number
  mtimeMs: number
  /** Permission bits. */
  mode: number
}

export type PeerState =
  | 'connecting'
  | 'alive'
  | 'hidden' // its tab is in the background: slower, not gone
  | 'frozen' // the browser froze its tab: silent by announcement
  | 'stalled' // silent although its network stack still answers: busy

export interface PeerRow {
  id: string
  device: string
  state: PeerState
  /** True when connected without a relay in between. */
  direct: boolean
  /** Smoothed round-trip time in ms; null before the first measurement. */
  rttMs: number | null
  /** Workers that it offers. */
  slots: number
  /** Events that it is running now, for anybody. */
  running: number
  /** How well it can keep what others count on. */
  storage: StorageClass
  /** Its wall clock less the one here when they met, in ms, by what it said; null: nothing. */
  clockMs: number | null
  /** How long this node has known it without a break, in ms. */
  knownMs: number
}

/** None but for what makes room; next to none; some; a gibibyte or more; as much, and the browser has promised not to evict it. */
export const storageClasses = ['exhausted', 'full', 'scarce', 'ample', 'persistent'] as const
export type StorageClass = (typeof storageClasses)[number]

/** `stopped`: it starts no events until it is continued. */
export type ProcessState = 'running' | 'stopped' | 'exited' | 'failed' | 'killed'

export interface ProcessRow {
  kid: Kid
  /** Path of the program as it was started. */
  program: string
  args: string[]
  state: ProcessState
  /** Node that keeps the journal. */
  home: string
  /** Events completed and events known so far. */
  done: number
  total: number
  /** Nodes that have completed at least one event. */
  nodes: number
  /** Events that are running now, some of them. */
  working: { event: string; task: string; node: string }[]
  startedMs: number
  endedMs: number | null
  /** 0 success; 1–125 as the program said; 126 not a program; 130 killed; null while running. */
  code: number | null
  error: string | null
}

/** One thing that the journal of a process tells. */
export interface HistoryRow {
  /** Its place in the journal. */
  n: number
  what: 'spawned' | 'home' | 'assigned' | 'lost' | 'completed' | 'stopped' | 'continued' | 'ended'
  /** Unix time; null where the journal does not say. */
  atMs: number | null
  event: string | null
  task: string | null
  /** Where. */
  node: string | null
  /** Why, or how it went. */
  detail: string
}

export interface NodeInfo {
  id: string
  device: string
  /** Number of the slot that this tab holds in its browser profile. */
  slot: number
  cluster: string
  version: string
  slots: number
  relay: 'offline' | 'connecting' | 'connected'
  relayDetail: string
  /** Number of nodes, this one included. */
  nodes: number
  /** Node that keeps the head of `/`; null while unknown. */
  treeHome: string | null
  /** Journals kept here (processes, `/`) that nobody leads: too few of those who keep them are here. */
  waiting: number
  /** Base URL for invitations; null when the relay offers none. */
  inviteUrl: string | null
  startedMs: number
}

export interface StorageRow {
  /** Node id. */
  node: string
  device: string
  usedBytes: number
  /** As the browser says. Chromium always says that 10 GiB are free. */
  quotaBytes: number
  blocks: number
  persisted: boolean
  /** How well it can keep more. */
  storage: StorageClass
}

export interface LogLine {
  atMs: number
  level: 'debug' | 'info' | 'warn' | 'error'
  area: string
  message: string
  fields: Record<string, unknown>
}

/** What the directory says about a name, asked anew. */
export interface RecordAnswer {
  /** Nodes that answer for the name. */
  nodes: string[]
  /** Of two records for one name the higher number wins. */
  seq: number
  /** How long it took until the first valid record was there. */
  ms: number
}

/** What `wait` for kernel events delivers, and what `os.on` hands to listeners. */
export type KernelEvent =
  | { type: 'peer-joined'; peer: string }
  | { type: 'peer-left'; peer: string; reason: string }
  | { type: 'peer-changed'; peer: string; state: PeerState }
  | { type: 'relay'; state: 'offline' | 'connecting' | 'connected'; detail: string }
  | { type: 'process'; kid: Kid; state: ProcessState; done: number; total: number }
  /** `/` has changed, or another node leads it. */
  | { type: 'tree'; version: number; home: string }
  | { type: 'notice'; message: string }

export interface ExitStatus {
  kid: Kid
  state: ProcessState
  code: number
  error: string | null
}

/** What a task's handler receives. */
export interface TaskEvent {
  /** Deterministic: the parent's id and an index, e.g. `0.3.1`. */
  id: string
  task: string
  data: Data
}

/** A version of `/` that is remembered. */
export interface VersionRow {
  version: number
  /** Unix time at which it was made. */
  atMs: number
  /** The node that asked for it; null when that is not known. */
  by: string | null
  /** Its first change in words, and how many more there were. */
  what: string
  /** That people have given it. */
  names: string[]
  /** Of its root: /keg/<KID> is that version, read-only. */
  kid: Kid
  cid: string
  /** CID of the root that it was made of, and the node that made it of that: whoever led its keg then. null: it is not told. */
  parent: string | null
  committer: string | null
  /** Whether the committer has signed it; wrong: it has not, and that version is not used. */
  proof: 'signed' | 'none' | 'wrong'
  /** Whether it was a version of another tree, of a branch perhaps, that was merged into this one. */
  branch: boolean
}

/** A block that is on too few devices. */
export interface BlockTrouble {
  /** The first file or directory that needs it. */
  path: string
  cid: string
  /** Devices that are here and have it; 0: it is lost, unless a device that is away has it. */
  devices: number
}

/** How well a part of `/` is kept. */
export interface TreeHealth {
  files: number
  directories: number
  blocks: number
  /** Of all files, each as often as it stands there. */
  logicalBytes: number
  /** Equal content once. */
  storedBytes: number
  /** On all nodes that are here together. */
  physicalBytes: number
  /** Devices that are here, and on how many of them each block should be. */
  devices: number
  target: number
  /** Blocks on fewer devices than that, and on none. */
  under: number
  lost: number
  /** Some of those. */
  troubles: BlockTrouble[]
  /** Nodes that are here and did not say all that they hold, as one that has much to do: what counts as lost may be there. */
  silent: string[]
}
