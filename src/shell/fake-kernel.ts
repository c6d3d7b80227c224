// A kernel in memory for tests of the shell and the page: a tree, processes that are functions, events. It checks
// every call with the ABI's own validators. Not part of any bundle.
import { concat } from '../base/bytes.ts'
import { OsError, toOsError } from '../base/errors.ts'
import { type Kid, kidFromHex } from '../base/ids.ts'
import { SyscallClient } from '../syscalls/client.ts'
import { type MessageLink, messagesOf, type ReplyMessage } from '../syscalls/protocol.ts'
import { type CallArgs, type CallName, type CallResults, parseCall } from '../syscalls/table.ts'
import type {
  DirectoryEntry,
  FileInfo,
  HistoryRow,
  KernelEvent,
  LogLine,
  NodeInfo,
  OpenMode,
  PeerRow,
  ProcessRow,
  RecordAnswer,
  StorageRow,
  TreeHealth,
} from '../syscalls/types.ts'
import { type FakeProcess, type FakeProgram, Output } from './fake-process.ts'
import { baseName, isInside, parentPath, resolvePath } from './paths.ts'

/** A file's bytes, a symbolic link, or 'directory'. */
type Entry = Uint8Array | 'directory' | { target: string }

interface Running {
  row: ProcessRow
  output: { stdout: Output; stderr: Output }
  kill(): void
}

interface Ref {
  path: string
  mode: OpenMode
  parts: Uint8Array[]
  output?: Output | undefined
}

const ACK = { level: 'local', devices: 1 } as const
const encoder = new TextEncoder()

export class FakeKernel {
  /** What the journal of any process tells. */
  history: HistoryRow[] = []
  /** What files that are written are said to have been here before. */
  alreadyHere = 0
  readonly entries = new Map<string, Entry>([['/', 'directory']])
  /** Of paths that have other ones than usual. */
  readonly attributes = new Map<string, { mode: number; mtimeMs: number }>()
  readonly programs = new Map<string, FakeProgram>()
  readonly calls: { call: string; args: unknown }[] = []
  readonly events: KernelEvent[] = []
  peers: PeerRow[] = []
  health: TreeHealth = {
    ...{ files: 3, directories: 2, blocks: 5, logicalBytes: 3000, storedBytes: 2000, physicalBytes: 4000 },
    ...{ devices: 2, target: 2, under: 0, lost: 0, troubles: [], silent: [] },
  }
  storage: StorageRow[] = []
  log: LogLine[] = []
  /** By `namespace/name`. */
  readonly records = new Map<string, RecordAnswer>()
  node: NodeInfo = {
    id: '12D3KooWFakeNodeOfThisTab',
    device: '0123456789abcdef0123456789abcdef',
    slot: 0,
    cluster: 'test',
    version: '0.1.0',
    slots: 2,
    relay: 'connected',
    relayDetail: '',
    nodes: 1,
    treeHome: null,
    inviteUrl: 'https://192.0.2.1:8443/',
    waiting: 0,
    startedMs: 0,
  }
  /** Called at the end of every handled call: a place to inject failures. */
  intercept: ((call: CallName, args: unknown) => void) | undefined

  readonly #running = new Map<Kid, Running>()
  readonly #refs = new Map<number, Ref>()
  #nextRef = 3
  #nextKid = 1
  #waiting: (() => void)[] = []
  readonly client: SyscallClient

  constructor(files: Readonly<Record<string, string | Uint8Array>> = {}) {
    for (const [path, content] of Object.entries(files)) this.put(path, content)
    this.client = new SyscallClient(this.link())
  }

  /** A connection as the page's port would be: replies arrive later, never within `post`. */
  link(): MessageLink {
    let listener: (message: unknown) => void = () => undefined
    const cancels = new Map<number, () => void>()
    const reply = (message: ReplyMessage) => queueMicrotask(() => listener(message))
    const take = ({ t, id, call, args }: { t: string; id: number; call: string; args: unknown }) => {
      if (t === 'cancel') return cancels.get(id)?.()
      let cancelled = false
      cancels.set(id, () => {
        cancelled = true
        this.#changed()
      })
      this.#handle(call, args, () => cancelled)
        .then(
          (value) => reply({ t: 'reply', id, ok: true, value }),
          (error) => {
            const { code, message: text } = toOsError(error)
            reply({ t: 'reply', id, ok: false, code, message: text })
          },
        )
        .finally(() => cancels.delete(id))
    }
    return {
      post: (message) => {
        for (const each of messagesOf(message)) take(each as Parameters<typeof take>[0])
      },
      onMessage: (on) => {
        listener = on
      },
      close: () => undefined,
    }
  }

  put(path: string, content: string | Uint8Array): void {
    const names = path.split('/').slice(1, -1)
    names.forEach((_, i) => {
      const directory = `/${names.slice(0, i + 1).join('/')}`
      this.entries.set(directory, 'directory')
    })
    this.entries.set(path, typeof content === 'string' ? encoder.encode(content) : content)
  }

  text(path: string): string | undefined {
    const entry = this.entries.get(path)
    return entry instanceof Uint8Array ? new TextDecoder().decode(entry) : undefined
  }

  raise(event: KernelEvent): void {
    this.events.push(event)
    this.#changed()
  }

  #treeChanged(): void {
    this.raise({ type: 'tree', version: this.entries.size, home: this.node.id })
  }

  get rows(): ProcessRow[] {
    return [...this.#running.values()].map(({ row }) => row)
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resume of waiting) resume()
  }

  async #until<T>(test: () => T | undefined, cancelled: () => boolean): Promise<T> {
    for (;;) {
      const value = test()
      if (value !== undefined) return value
      if (cancelled()) throw new OsError('ECANCELED', 'cancelled')
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  async #handle(call: string, args: unknown, cancelled: () => boolean): Promise<unknown> {
    this.calls.push({ call, args })
    const parsed = parseCall(call, args)
    if ('problem' in parsed) throw new OsError('EINVAL', parsed.problem)
    this.intercept?.(parsed.call, args)
    const handler = this.#handlers[parsed.call] as (args: unknown, cancelled: () => boolean) => unknown
    return handler(withoutSlashes(parsed.args), cancelled)
  }

  readonly #handlers: {
    [K in CallName]: (args: CallArgs<K>, cancelled: () => boolean) => CallResults[K] | Promise<CallResults[K]>
  } = {
    open: ({ path, mode }) => {
      const ref = this.#nextRef++
      const output = this.#outputOf(path)
      if (output) {
        this.#refs.set(ref, { path, mode, parts: [], output })
        return { ref, kind: 'stream', size: 0 }
      }
      const at = this.#followed(path)
      const entry = this.entries.get(at)
      if (entry === 'directory') throw new OsError('EISDIR', `${path} is a directory`)
      const bytes = entry instanceof Uint8Array ? entry : undefined
      if (mode.startsWith('r') && !bytes) throw new OsError('ENOENT', `no ${path}`)
      if (mode.includes('x') && bytes) throw new OsError('EEXIST', `${path} exists`)
      if (mode !== 'r') this.#needDirectory(parentPath(at))
      this.#refs.set(ref, { path: at, mode, parts: /^(a|r\+)/.test(mode) && bytes ? [bytes] : [] })
      return { ref, kind: 'file', size: bytes?.length ?? 0 }
    },
    read: async ({ ref, offset, length }, cancelled) => {
      const { path, output } = this.#ref(ref)
      if (output) return { bytes: await this.#until(() => output.at(offset, length), cancelled) }
      const entry = this.entries.get(path)
      if (!(entry instanceof Uint8Array)) throw new OsError('EIO', `${path} has gone`)
      return { bytes: entry.slice(offset, offset + length) }
    },
    write: (args) => {
      const { parts } = this.#ref(args.ref)
      const present = concat(parts)
      if ('size' in args) {
        const cut = new Uint8Array(args.size)
        cut.set(present.subarray(0, args.size))
        parts.splice(0, parts.length, cut)
      } else if (args.offset === undefined) parts.push(args.bytes.slice())
      else {
        const whole = new Uint8Array(Math.max(present.length, args.offset + args.bytes.length))
        whole.set(present)
        whole.set(args.bytes, args.offset)
        parts.splice(0, parts.length, whole)
      }
      return { size: concat(parts).length }
    },
    close: ({ ref, discard, keep, ack = 'local' }) => {
      const { path, mode, parts } = this.#ref(ref)
      if (!keep) this.#refs.delete(ref)
      if (mode === 'r' || discard) return {}
      if (ack !== 'local') throw new OsError('ENOQUORUM', 'too few nodes')
      this.entries.set(path, concat(parts))
      this.#treeChanged()
      return { ack: ACK, alreadyHere: this.alreadyHere }
    },
    change: (args) => {
      this.#change(args)
      this.#treeChanged()
      return { ack: ACK }
    },
    list: ({ path, after, limit = 3 }) => {
      this.#needDirectory(path)
      const names = [...this.entries.keys()]
        .filter((child) => child !== '/' && parentPath(child) === path)
        .map(baseName)
        .sort()
      const rest = names.filter((name) => after === undefined || name > after)
      const entries = rest.slice(0, limit).map((name) => this.#row(path === '/' ? `/${name}` : `${path}/${name}`))
      return { entries, more: rest.length > limit }
    },
    info: (args) => {
      if (args.topic === 'path') return this.#info(args.follow === false ? args.path : this.#followed(args.path))
      if (args.topic === 'node') return this.node
      if (args.topic === 'peers') return this.peers
      if (args.topic === 'record') return this.records.get(`${args.namespace}/${args.name}`) ?? null
      if (args.topic === 'log') return this.log
      if (args.topic === 'processes') return structured(this.rows)
      if (args.topic === 'history') {
        this.#find(args.kid)
        return this.history.filter(({ n }) => n > (args.after ?? -1)).slice(0, 3)
      }
      if (args.topic === 'versions' || args.topic === 'diff' || args.topic === 'copies')
        throw new OsError('ENOSYS', 'nothing is remembered here')
      if (args.topic === 'health') return this.health
      return this.storage
    },
    run: (args) => ({ kid: this.#start(args), home: this.node.id }),
    emit: () => {
      throw new OsError('ENOSYS', 'tasks only')
    },
    wait: async (args, cancelled) => {
      if (args.for === 'events') {
        const events = await this.#until(
          () => (this.events.length > args.since ? this.events.slice(args.since) : undefined),
          cancelled,
        )
        return { events, next: args.since + events.length }
      }
      if (args.for === 'changes') return this.#anotherVersion(args, cancelled)
      const rows = args.kids.map((kid) => this.#find(kid).row)
      const ended = () => rows.filter((row) => row.code !== null)
      await this.#until(() => (ended().length >= (args.any ? 1 : rows.length) ? true : undefined), cancelled)
      return { exits: ended().map(({ kid, state, code, error }) => ({ kid, state, code: code ?? 0, error })) }
    },
    signal: (args) => {
      if (args.signal === 'EXIT') throw new OsError('ENOSYS', 'tasks only')
      const running = this.#find(args.kid)
      const { row } = running
      const wanted = args.signal === 'STOP' ? 'stopped' : 'running'
      const delivered = row.code === null && (args.signal === 'KILL' || row.state !== wanted)
      if (args.signal === 'KILL') running.kill()
      else if (delivered) row.state = wanted
      return { delivered }
    },
  }

  /** Each change of the tree makes another version of all that is there. */
  async #anotherVersion({ path, since }: CallArgs<'wait'> & { for: 'changes' }, cancelled: () => boolean) {
    const versionNow = () => (this.entries.has(this.#followed(path)) ? `${this.events.length}` : '')
    if (since === undefined && versionNow() === '') throw new OsError('ENOENT', `no ${path}`)
    return { version: await this.#until(() => (versionNow() === since ? undefined : versionNow()), cancelled) }
  }

  #change(args: CallArgs<'change'>): void {
    if (args.op === 'mkdir') return this.#mkdir(args.path, args.recursive ?? false)
    if (args.op === 'symlink') return this.#place(args.path, { target: args.target })
    if (args.op === 'remove') {
      const { path, also = [], recursive = false } = args
      return this.#allOrNone([path, ...also], (each) => this.#remove(each, recursive))
    }
    if (args.op === 'set') {
      const path = this.#followed(args.path)
      if (!this.entries.has(path)) throw new OsError('ENOENT', `no ${args.path}`)
      const { mode, mtimeMs } = this.#attributes(path)
      this.attributes.set(path, { mode: args.mode ?? mode, mtimeMs: args.mtimeMs ?? mtimeMs })
      return
    }
    if (!('from' in args) || args.op === 'import') throw new OsError('ENOSYS', 'nothing is remembered here')
    if (args.op === 'copy') return this.#copy(args.from, args.to, args)
    const { from, to, also = [] } = args
    this.#allOrNone([{ from, to }, ...also], (each) => this.#copy(each.from, each.to, args))
  }

  #copy(from: string, to: string, args: { op: 'move' | 'copy'; exclusive?: boolean | undefined }): void {
    const entry = this.entries.get(from)
    if (!entry) throw new OsError('ENOENT', `no ${from}`)
    const there = this.entries.get(to)
    if (there && args.exclusive) throw new OsError('EEXIST', `${to} exists`)
    if (there === 'directory' && entry !== 'directory') throw new OsError('EISDIR', `${to} is a directory`)
    this.#needDirectory(parentPath(to))
    for (const path of [...this.entries.keys()].filter((path) => isInside(path, from))) {
      this.entries.set(to + path.slice(from.length), this.entries.get(path) as Entry)
      if (args.op === 'move') this.entries.delete(path)
    }
  }

  #mkdir(path: string, recursive: boolean): void {
    if (recursive && this.entries.get(path) === 'directory') return
    if (recursive && !this.entries.has(path)) this.put(`${path}/x`, '')
    this.entries.delete(`${path}/x`)
    if (recursive) this.entries.delete(path)
    this.#place(path, 'directory')
  }

  #place(path: string, entry: Entry): void {
    if (this.entries.has(path)) throw new OsError('EEXIST', `${path} exists`)
    this.#needDirectory(parentPath(path))
    this.entries.set(path, entry)
  }

  #allOrNone<T>(all: readonly T[], change: (one: T) => void): void {
    const before = [...this.entries]
    try {
      for (const one of all) change(one)
    } catch (error) {
      this.entries.clear()
      for (const [path, entry] of before) this.entries.set(path, entry)
      throw error
    }
  }

  #remove(path: string, recursive: boolean): void {
    if (!this.entries.has(path)) throw new OsError('ENOENT', `no ${path}`)
    const inside = [...this.entries.keys()].filter((child) => isInside(child, path))
    if (inside.length > 1 && !recursive) throw new OsError('ENOTEMPTY', `${path} is not empty`)
    for (const child of inside) this.entries.delete(child)
  }

  /** Where links in the last place lead. */
  #followed(path: string, hops = 0): string {
    const entry = this.entries.get(path)
    if (!entry || entry === 'directory' || entry instanceof Uint8Array) return path
    if (hops > 9) throw new OsError('ELOOP', `${path}: too many links`)
    const { target } = entry
    return this.#followed(target.startsWith('/') ? target : resolvePath(parentPath(path), target), hops + 1)
  }

  #attributes(path: string) {
    return this.attributes.get(path) ?? { mode: this.entries.get(path) === 'directory' ? 0o755 : 0o644, mtimeMs: 0 }
  }

  #ref(ref: number): Ref {
    const found = this.#refs.get(ref)
    if (!found) throw new OsError('EBADF', `no reference ${ref}`)
    return found
  }

  #find(prefix: string): Running {
    const found = [...this.#running].find(([kid]) => kid.startsWith(prefix))
    if (!found) throw new OsError('ESRCH', `no process ${prefix}`)
    return found[1]
  }

  #outputOf(path: string): Output | undefined {
    const [, kid, stream] = /^\/proc\/(K-[0-9a-f]{64})\/(stdout|stderr)$/.exec(path) ?? []
    return kid ? this.#running.get(kid as Kid)?.output[stream as 'stdout' | 'stderr'] : undefined
  }

  #needDirectory(path: string): void {
    const entry = this.entries.get(path)
    if (!entry) throw new OsError('ENOENT', `no ${path}`)
    if (entry !== 'directory') throw new OsError('ENOTDIR', `${path} is not a directory`)
  }

  #info(path: string): FileInfo {
    if (this.#outputOf(path)) return { path, kind: 'stream', size: 0, mtimeMs: 0, mode: 0o444 }
    const entry = this.entries.get(path)
    if (!entry) {
      const above = this.entries.get(parentPath(path))
      throw new OsError(above instanceof Uint8Array ? 'ENOTDIR' : 'ENOENT', `no ${path}`)
    }
    if (!(entry instanceof Uint8Array) && entry !== 'directory') {
      return { path, kind: 'symlink', size: entry.target.length, target: entry.target, mtimeMs: 0, mode: 0o777 }
    }
    const kind = entry === 'directory' ? 'directory' : 'file'
    const hex = entry === 'directory' ? '00' : entry.length.toString(16).padStart(2, '0')
    const ids = { kid: kidFromHex(hex.padEnd(64, '0')), cid: `bafkrei${hex}` }
    return { path, kind, size: entry === 'directory' ? 0 : entry.length, ...this.#attributes(path), ...ids }
  }

  #row(path: string): DirectoryEntry {
    const { kind, size, mtimeMs, mode } = this.#info(path)
    return { name: baseName(path), kind, size, mtimeMs, mode }
  }

  #start({ program, args, cwd }: CallArgs<'run'>): Kid {
    const main = this.programs.get(program)
    if (!main) throw new OsError(this.entries.has(program) ? 'ENOEXEC' : 'ENOENT', `cannot run ${program}`)
    const kid = kidFromHex((this.#nextKid++).toString(16).padStart(8, '0').padEnd(64, 'a'))
    const row: ProcessRow = {
      ...{ kid, program, args, state: 'running', home: this.node.id, done: 0, total: 1, nodes: 1, working: [] },
      ...{ startedMs: 0, endedMs: null, code: null, error: null },
    }
    const output = { stdout: new Output(() => this.#changed()), stderr: new Output(() => this.#changed()) }
    let onKill: () => void = () => undefined
    const killed = new Promise<void>((resolve) => {
      onKill = resolve
    })
    const end = (state: ProcessRow['state'], code: number, error: string | null) => {
      if (row.code !== null) return
      Object.assign(row, { state, code, error, endedMs: 1 })
      output.stdout.end()
      output.stderr.end()
      this.raise({ type: 'process', kid, state, done: row.done, total: row.total })
    }
    const kill = () => {
      end('killed', 130, 'killed')
      onKill()
    }
    this.#running.set(kid, { row, output, kill })
    const process: FakeProcess = {
      ...{ kid, args, cwd, killed },
      stdout: (text) => output.stdout.add(encoder.encode(text)),
      stderr: (text) => output.stderr.add(encoder.encode(text)),
      progress: (done, total) => {
        Object.assign(row, { done, total })
        this.raise({ type: 'process', kid, state: 'running', done, total })
      },
    }
    Promise.resolve(process)
      .then(main)
      .then(
        (code) => end('exited', code, null),
        (error) => end('failed', 1, error instanceof Error ? error.message : String(error)),
      )
    return kid
  }
}

function structured(rows: readonly ProcessRow[]): ProcessRow[] {
  return rows.map((row) => ({ ...row, args: [...row.args] }))
}

/** What a slash behind a path asks for is the real kernel's to say. */
function withoutSlashes(args: object): object {
  const trimmed = (value: unknown) => (typeof value === 'string' ? value.replace(/(?<=^\/.*)\/+$/, '') : value)
  const names = ['path', 'from', 'to', 'program']
  return Object.fromEntries(
    Object.entries(args).map(([name, value]) => [name, names.includes(name) ? trimmed(value) : value]),
  )
}
