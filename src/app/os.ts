// `globalThis.os`: the system for scripts, tests and embedders. Everything in it goes through the same syscalls as
// the terminal; it is no back door.
//
//   await os.ready
//   const { stdout, code } = await os.sh('ls -l / && peers --json')
//   await os.fs.writeFile('/hello.txt', 'hello')
//   const process = await os.run('/bin/examples/primes.js', ['1000'])
//   for await (const piece of process.stdout) …
//   const off = os.on('peer-joined', ({ peer }) => …)
import { concat, fromUtf8 } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'
import type { Kid } from '../base/ids.ts'
import { EventFeed } from '../shell/events.ts'
import { killProcess, processOutput, waitForExit } from '../shell/follow.ts'
import type { ShellHost } from '../shell/host.ts'
import { createShell, type ExecuteOptions, type ExecuteResult } from '../shell/shell.ts'
import type { UserStore } from '../shell/user.ts'
import { check, notThis } from '../syscalls/arguments.ts'
import type { SyscallClient } from '../syscalls/client.ts'
import { FileSystem } from '../syscalls/fs.ts'
import { Keg } from '../syscalls/keg.ts'
import type { ExitStatus, KernelEvent, NodeInfo, PeerRow } from '../syscalls/types.ts'
import { pageHost } from './host.ts'
import { type Kernel, startKernel } from './kernel.ts'
import { storedUsers } from './users.ts'

export type EventType = KernelEvent['type']
export type EventOf<T extends EventType> = Extract<KernelEvent, { type: T }>

export interface RunOptions {
  /** Directory in which the program starts; `/` unless given. */
  cwd?: string
  /** Cancels the start. A process that runs is ended by `kill`. */
  signal?: AbortSignal
}

/** A process started by `os.run`. */
export interface OsProcess {
  readonly kid: Kid
  /** Node that keeps its journal. */
  readonly home: string
  /** Pieces as they are produced, from the first one on; may be read again. */
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  /** Resolves when it has ended, whatever its exit code. */
  wait(options?: { signal?: AbortSignal }): Promise<ExitStatus>
  /** @returns false when it had ended already. */
  kill(): Promise<boolean>
}

export interface OutputStream extends AsyncIterable<Uint8Array> {
  /** All of it, once the process has ended. */
  text(): Promise<string>
}

export interface Os {
  /** Resolves when programs and files work; rejects with OsError when the kernel cannot start. */
  readonly ready: Promise<void>
  /** This node, as of the last change. @throws {OsError} EAGAIN before `ready`. */
  readonly node: NodeInfo
  /** Files, shaped as `node:fs/promises`. */
  readonly fs: FileSystem
  /** Versions of `/`. */
  readonly keg: Keg
  /**
   * Runs a command line in a shell that all calls share (directory, variables); the terminal has another.
   * Never rejects for what a command does: see `code` (2 syntax, 127 not found, 130 cancelled) and `stderr`.
   * @throws {OsError} EINVAL for a line that is no text, or options that are none.
   */
  sh(line: string, options?: ExecuteOptions): Promise<ExecuteResult>
  peers(): Promise<PeerRow[]>
  /** @throws {OsError} ENOENT, ENOEXEC; EINVAL for arguments that are no texts. */
  run(program: string, args?: readonly string[], options?: RunOptions): Promise<OsProcess>
  /**
   * A listener's own exception is the page's, as in the DOM; others are told nonetheless.
   * @returns a function that removes the listener.
   * @throws {OsError} EINVAL for what is no event or no function.
   */
  on<T extends EventType>(event: T, listener: (event: EventOf<T>) => void): () => void
}

export interface BootOptions {
  /** A kernel that runs already; without it one is started in a worker of this page. */
  kernel?: Kernel
  /** What the shell's commands may use of the page. */
  host?: ShellHost
  /** Events shared with the rest of the page. */
  events?: EventFeed
  /** Whose name this device remembers. */
  users?: UserStore
}

/** Starts a node in this page. Returns at once: calls wait until the kernel listens. Once per page. */
export function boot(options: BootOptions = {}): Os {
  const { client, booted } = options.kernel ?? startKernel()
  const { host = pageHost(), events = new EventFeed(client, reportLater), users = storedUsers(localStorage) } = options
  const shell = createShell({ client, host, events, users })
  let node: NodeInfo | undefined
  const refresh = async () => {
    node = await client.info('node')
  }
  const ready = booted.then(refresh)
  ready.then(
    () => events.on((event) => changesNode(event, node) && refresh().catch(() => undefined)), // the old row stays
    () => undefined, // whoever awaits `ready` sees the error; nobody has to
  )
  return {
    ready,
    get node() {
      if (!node) throw new OsError('EAGAIN', 'the node is still starting: await os.ready first')
      return node
    },
    fs: new FileSystem(client),
    keg: new Keg(client),
    async sh(line, options = {}) {
      check('os.sh', { line: [line, 'text'], options: [options, SH_OPTIONS] })
      return shell.execute(line, options)
    },
    peers: () => client.info('peers'),
    async run(program, args = [], options = {}) {
      const given = { program: [program, 'text'], args: [args, 'texts'], options: [options, RUN_OPTIONS] } as const
      check('os.run', given)
      return run(client, { program, args: [...args], options })
    },
    on(type, listener) {
      if (!Object.hasOwn(EVENTS, type)) {
        const known = Object.keys(EVENTS).join(', ')
        throw new OsError('EINVAL', `os.on: event: expected one of ${known}${notThis(type)}`)
      }
      check('os.on', { listener: [listener, 'function'] })
      return events.on((event) => {
        if (event.type === type) listener(event as EventOf<typeof type>)
      })
    },
  }
}

const EVENTS: Readonly<Record<EventType, true>> = {
  'peer-joined': true,
  'peer-left': true,
  'peer-changed': true,
  relay: true,
  process: true,
  tree: true,
  notice: true,
}
const SH_OPTIONS = { stdin: 'source', signal: 'signal', onStdout: 'function', onStderr: 'function' } as const
const RUN_OPTIONS = { cwd: 'text', signal: 'signal' } as const

function changesNode(event: KernelEvent, node: NodeInfo | undefined): boolean {
  if (event.type === 'tree') return event.home !== node?.treeHome
  return event.type === 'peer-joined' || event.type === 'peer-left' || event.type === 'relay'
}

/** An exception of somebody's listener belongs to the window's error handlers, not to the feed. */
function reportLater(error: unknown): void {
  reportError(error)
}

async function run(
  client: SyscallClient,
  { program, args, options }: { program: string; args: string[]; options: RunOptions },
): Promise<OsProcess> {
  const { cwd = '/', signal } = options
  const { kid, home } = await client.call('run', { program, args, cwd }, { signal })
  return {
    kid,
    home,
    stdout: outputStream(client, kid, 'stdout'),
    stderr: outputStream(client, kid, 'stderr'),
    async wait(waitOptions = {}) {
      check('process.wait', { options: [waitOptions, { signal: 'signal' }] })
      return waitForExit(client, kid, waitOptions)
    },
    kill: () => killProcess(client, kid),
  }
}

function outputStream(client: SyscallClient, kid: Kid, name: 'stdout' | 'stderr'): OutputStream {
  return {
    [Symbol.asyncIterator]: () => processOutput(client, kid, name),
    async text() {
      const parts: Uint8Array[] = []
      for await (const piece of processOutput(client, kid, name)) parts.push(piece)
      return fromUtf8(concat(parts))
    },
  }
}
