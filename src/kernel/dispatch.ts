// One handler per syscall (syscalls/table.ts), for two kinds of caller: the user's page and shell, and a running
// event. A caller reaches only what its references and this file allow; what a task may not do is refused here.
import { OsError } from '../base/errors.ts'
import type { Kid } from '../base/ids.ts'
import type {
  CallArgs,
  CallName,
  CallResults,
  InfoResults,
  InfoTopic,
  RecordNamespace,
  VersionChange,
} from '../syscalls/table.ts'
import type { KernelEvent, OnProgress } from '../syscalls/types.ts'
import { kidOfCid, parseCid } from './blocks/cid.ts'
import type { EventLog } from './events.ts'
import type { Fs, FsContext } from './fs/fs.ts'
import type { Closed } from './fs/handles.ts'
import type { TreeHealthService } from './fs/health.ts'
import type { Past } from './fs/past.ts'
import { Paths } from './fs/slash-behind.ts'
import type { Dispatch } from './io/call-server.ts'
import { References } from './io/references.ts'
import { DEFAULT_EVENT_MS } from './limits.ts'
import type { TaskActions } from './process/lease-run.ts'
import type { Processes } from './process/processes.ts'

/** Topics about which nothing more is to be said. */
type PlainTopic = Exclude<InfoTopic, 'path' | 'record' | 'history' | 'versions' | 'diff' | 'health' | 'copies'>

export interface DispatchServices {
  fs: Fs
  past: Past
  health: TreeHealthService
  /** Of a directory, or one of a version below /keg: the CID that other IPFS tools give it. */
  plainCid: (path: string, signal: AbortSignal) => Promise<string>
  processes: Processes
  events: EventLog<KernelEvent>
  info: { [T in PlainTopic]: (signal: AbortSignal) => Promise<InfoResults[T]> }
  record: (namespace: RecordNamespace, name: string, signal: AbortSignal) => Promise<InfoResults['record']>
}

type Handlers = {
  [K in CallName]: (args: CallArgs<K>, signal: AbortSignal, onProgress?: OnProgress) => Promise<CallResults[K]>
}

/** Entries of one `list` answer when the caller sets no limit. */
const LIST_PAGE = 1_000

const refuse = (call: string) => async (): Promise<never> => {
  throw new OsError('ENOSYS', `${call} is not offered to this caller`)
}

function isVersionChange(args: CallArgs<'change'>): args is VersionChange {
  return ['restore', 'name', 'forget', 'copies'].includes(args.op)
}

/** Calls about files: the same for both kinds of caller. */
function fileHandlers(
  fs: Fs,
  refs: References,
  context: (signal: AbortSignal, onProgress?: OnProgress) => FsContext,
  paths: Paths,
) {
  return {
    open: async ({ path, mode, permissions }, signal) => {
      const at = await paths.opened(path, mode, context(signal))
      const handle = await fs.open(at, mode, context(signal), permissions)
      try {
        signal.throwIfAborted()
        return { ref: refs.add(handle), kind: handle.kind, size: handle.size }
      } catch (error) {
        handle.release?.() // nobody gets it
        throw error
      }
    },
    read: ({ ref, offset, length, until }, signal) => refs.get(ref).read(offset, length, signal, until),
    write: async (args, signal) => {
      const handle = refs.get(args.ref)
      if ('size' in args) return { size: await handle.resize(args.size, signal) }
      return { size: await handle.write(args.bytes, args.offset, signal) }
    },
    close: async ({ ref, discard, keep, ack: wanted }, signal) => {
      const handle = keep ? refs.get(ref) : refs.take(ref)
      const closed = discard ? {} : await handle.commit(signal, wanted).finally(() => !keep && handle.release?.())
      if (discard && !keep) handle.release?.()
      const { file, ack, alreadyHere = 0 } = closed as Closed
      if (!file) return {}
      const written = { kid: kidOfCid(parseCid(file.cid)), cid: file.cid, size: file.size, alreadyHere }
      return ack ? { ...written, ack } : written
    },
    change: async (args: CallArgs<'change'>, signal: AbortSignal, onProgress?: OnProgress) => {
      if (isVersionChange(args) || args.op === 'repair') {
        throw new OsError('EACCES', 'versions and repair are for people, not for tasks')
      }
      const asked = context(signal, onProgress)
      return { ack: await fs.change(await paths.changed(args, asked), asked) }
    },
    list: ({ path, after, limit = LIST_PAGE }, signal) =>
      fs.list(paths.absolute(path), { after, limit }, context(signal)),
  } satisfies Partial<Handlers>
}

/** The page and its shell: everything but what only a running event can do. */
export function userDispatch(services: DispatchServices): Dispatch {
  const { fs, past, processes, events } = services
  const paths = new Paths(fs)
  const files = fileHandlers(fs, new References(), (signal, onProgress) => ({ signal, onProgress }), paths)
  const handlers: Handlers = {
    ...files,
    change: async (args, signal, onProgress) => {
      if (args.op === 'repair') {
        await services.health.repair(signal, onProgress)
        return { ack: { level: 'local', devices: 1 } }
      }
      if (!isVersionChange(args)) return files.change(args, signal, onProgress)
      const path = args.path === undefined ? {} : { path: paths.absolute(args.path) }
      return { ack: await past.change({ ...args, ...path }, signal) }
    },
    info: async (args, signal, onProgress) => {
      if (args.topic === 'path') {
        const info = await paths.stat(args, { signal })
        return args.plain && info.kind === 'directory'
          ? { ...info, cid: await services.plainCid(info.path, signal) }
          : info
      }
      if (args.topic === 'record') return services.record(args.namespace, args.name, signal)
      if (args.topic === 'history') {
        return processes.history(await processes.resolve(args.kid, signal), args.after ?? -1, signal)
      }
      if (args.topic === 'versions') return past.rows(args, signal)
      if (args.topic === 'health') return services.health.check(args.path ?? '/', signal, onProgress)
      if (args.topic === 'diff') return past.diff(args, signal)
      if (args.topic === 'copies') return past.copies(args.path, signal)
      return services.info[args.topic](signal)
    },
    run: async ({ program, args, cwd, limits = {} }, signal) => {
      const { eventMs = DEFAULT_EVENT_MS, ...bounds } = limits
      const at = { program: await paths.seen(program, { signal }), cwd: paths.absolute(cwd) }
      return processes.spawn({ ...at, args, eventMs, bounds, signal })
    },
    emit: refuse('emit'),
    wait: async (args, signal) => {
      if (args.for === 'events') return events.after(args.since, signal)
      if (args.for === 'changes')
        return fs.changes({ ...args, path: await paths.seen(args.path, { signal }) }, { signal })
      const kids: Kid[] = []
      for (const kid of args.kids) kids.push(await processes.resolve(kid, signal))
      // Whoever still waits when the answer is known must not wait on.
      const enough = new AbortController()
      const exits = kids.map((kid) => processes.wait(kid, AbortSignal.any([signal, enough.signal])))
      try {
        return { exits: args.any ? [await Promise.race(exits)] : await Promise.all(exits) }
      } finally {
        enough.abort(new OsError('ECANCELED', 'the answer is known'))
        await Promise.allSettled(exits)
      }
    },
    signal: async (args, signal) => {
      if (args.signal === 'EXIT') throw new OsError('EINVAL', 'only a running task can exit')
      const kid = await processes.resolve(args.kid, signal)
      if (args.signal === 'KILL') return { delivered: await processes.kill(kid, signal) }
      return { delivered: await processes.pause(kid, args.signal === 'STOP', signal) }
    },
  }
  return (call, args, signal, onProgress) => handlers[call](args, signal, onProgress)
}

/** A running event: files (staged until it completes), output, emit, exit. */
export function taskDispatch({ fs }: DispatchServices, actions: TaskActions): Dispatch {
  const refs = new References()
  actions.ended.addEventListener('abort', () => refs.end(), { once: true })
  const context = (signal: AbortSignal): FsContext => ({ signal, staging: actions.staging })
  const paths = new Paths(fs, actions.cwd)
  const files = fileHandlers(fs, refs, context, paths)
  const handlers: Handlers = {
    ...files,
    write: async (args, signal) => {
      if (args.ref !== 1 && args.ref !== 2) return files.write(args, signal)
      if (!('bytes' in args)) throw new OsError('EINVAL', 'output has no size')
      await actions.output(args.ref, args.bytes)
      return { size: args.bytes.byteLength }
    },
    info: async (args, signal) => {
      if (args.topic === 'path') return paths.stat(args, context(signal))
      throw new OsError('EACCES', `a task may ask about paths, not about '${args.topic}'`)
    },
    run: refuse('run'),
    emit: async ({ task, data, after, key }) => ({ id: await actions.emit(task, data, after ?? null, key) }),
    wait: async (args, signal) => {
      if (args.for !== 'changes') throw new OsError('EACCES', 'a task may wait for changes of files only')
      // Of those that others see: not what is staged.
      return fs.changes({ ...args, path: await paths.seen(args.path, context(signal)) }, { signal })
    },
    signal: async (args) => {
      if (args.signal !== 'EXIT') throw new OsError('EACCES', 'a task may end only its own process')
      actions.exit(args.code)
      return { delivered: true }
    },
  }
  return (call, args, signal) => handlers[call](args, signal)
}
