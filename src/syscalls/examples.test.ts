// The example programs and the task runtime over a fake kernel: events and a file tree in memory, several workers, and
// every third event done twice, its first run thrown away as if its node had died.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { OsError } from '../base/errors.ts'
import { examplesContract, type ProgramHost, type ProgramRun } from './examples.contract.ts'
import type { MessageLink, TaskMessage } from './protocol.ts'
import { type CallArgs, type CallName, type CallResults, parseCall } from './table.ts'
import { runTasks } from './task-runtime.ts'
import type { Data, TaskEvent } from './types.ts'

const EXAMPLES = join(import.meta.dirname, '../../public/examples')

type Listener = (message: unknown) => void

/** Two ends of a channel with the semantics of a MessagePort. */
function linkPair(): [MessageLink, MessageLink] {
  const listeners: [Listener?, Listener?] = []
  const end = (self: 0 | 1): MessageLink => ({
    post(message) {
      const copy: unknown = structuredClone(message)
      setImmediate(() => listeners[self === 0 ? 1 : 0]?.(copy))
    },
    onMessage(listener) {
      listeners[self] = listener
    },
    close() {},
  })
  return [end(0), end(1)]
}

interface Waiting {
  event: TaskEvent
  after: string[]
}

/** What one run of an event has done so far; applied when it completes. */
class Effects {
  readonly writes = new Map<string, Uint8Array | undefined>()
  readonly emits: Waiting[] = []
  readonly output: [ref: number, bytes: Uint8Array][] = []
  exitCode: number | undefined
}

class FakeKernel implements ProgramHost {
  readonly files = new Map<string, Uint8Array>()
  readonly #workers: number
  constructor(workers = 3) {
    this.#workers = workers
  }

  async writeFile(path: string, bytes: Uint8Array): Promise<void> {
    this.files.set(path, bytes)
  }

  async readFile(path: string): Promise<Uint8Array | undefined> {
    return this.files.get(path)
  }

  async list(path: string): Promise<string[]> {
    return [...this.files.keys()].filter((name) => name.startsWith(`${path}/`))
  }

  async run(name: string, args: string[]): Promise<ProgramRun> {
    const source = readFileSync(join(EXAMPLES, name), 'utf8')
    const process = new FakeProcess(this.files, args)
    await Promise.all(Array.from({ length: this.#workers }, () => process.work(name, source)))
    return process.outcome()
  }
}

class FakeProcess {
  readonly #files: Map<string, Uint8Array>
  readonly #results = new Map<string, Data>()
  readonly #output: [ref: number, bytes: Uint8Array][] = []
  #waiting: Waiting[]
  #running = 0
  #started = 0
  #exit: { code: number; error: string } | undefined
  #wake: (() => void)[] = []

  constructor(files: Map<string, Uint8Array>, args: string[]) {
    this.#files = files
    this.#waiting = [{ event: { id: '0', task: 'start', data: { args, cwd: '/' } }, after: [] }]
  }

  outcome(): ProgramRun {
    const said = (ref: number) =>
      Buffer.concat(this.#output.filter(([to]) => to === ref).map(([, bytes]) => bytes)).toString()
    const error = this.#exit?.error ?? ''
    return { stdout: said(1), stderr: said(2) + error, code: this.#exit?.code ?? 0 }
  }

  /** One worker of the process: takes events until there are none. */
  async work(name: string, source: string): Promise<void> {
    const worker = new FakeWorker(this.#files)
    await worker.load(name, source)
    for (;;) {
      const waiting = this.#take()
      if (!waiting) {
        if (this.#exit || (this.#running === 0 && this.#waiting.length === 0)) return
        await new Promise<void>((resolve) => this.#wake.push(resolve))
        continue
      }
      this.#running++
      if (++this.#started % 3 === 0) await worker.run(this.#filled(waiting)) // a run whose completion gets lost
      const { effects, message } = await worker.run(this.#filled(waiting))
      this.#running--
      this.#complete(waiting.event.id, effects, message)
      for (const wake of this.#wake.splice(0)) wake()
    }
  }

  #take(): Waiting | undefined {
    if (this.#exit) return
    const at = this.#waiting.findLastIndex(({ after }) => after.every((id) => this.#results.has(id)))
    return at < 0 ? undefined : this.#waiting.splice(at, 1)[0]
  }

  #filled({ event, after }: Waiting): TaskEvent {
    if (after.length === 0) return event
    return { ...event, data: { results: after.map((id) => this.#results.get(id) ?? null), data: event.data } }
  }

  #complete(id: string, effects: Effects, message: TaskMessage): void {
    this.#output.push(...effects.output)
    if (message.t !== 'done') {
      this.#exit = { code: 1, error: JSON.stringify(message) }
      return
    }
    this.#results.set(id, message.result)
    for (const [path, bytes] of effects.writes) {
      if (bytes) this.#files.set(path, bytes)
      else
        for (const name of [...this.#files.keys()])
          if (name === path || name.startsWith(`${path}/`)) this.#files.delete(name)
    }
    this.#waiting.push(...effects.emits)
    if (effects.exitCode !== undefined) this.#exit = { code: effects.exitCode, error: '' }
  }
}

type Handlers = { [K in CallName]?: (args: CallArgs<K>) => CallResults[K] }

class FakeWorker {
  readonly #files: Map<string, Uint8Array>
  readonly #link: MessageLink
  readonly #inbox: TaskMessage[] = []
  #wake: () => void = () => {}
  #effects = new Effects()
  #eventId = ''
  #refs: { path: string; bytes: Uint8Array; parts?: Uint8Array[] }[] = []

  constructor(files: Map<string, Uint8Array>) {
    this.#files = files
    const [kernel, task] = linkPair()
    this.#link = kernel
    kernel.onMessage((message) => this.#receive(message as TaskMessage))
    runTasks(task, (source) => import(/* @vite-ignore */ `data:text/javascript;base64,${btoa(source)}`))
  }

  async load(name: string, source: string): Promise<void> {
    this.#link.post({ t: 'load', name, source: toLatin1(source) })
    expect(await this.#next()).toEqual({ t: 'ready' })
    expect(await this.#next()).toMatchObject({ t: 'loaded' })
  }

  async run(event: TaskEvent): Promise<{ effects: Effects; message: TaskMessage }> {
    this.#effects = new Effects()
    this.#eventId = event.id
    this.#link.post({ t: 'run', events: [event] })
    return { message: await this.#next(), effects: this.#effects }
  }

  async #next(): Promise<TaskMessage> {
    while (this.#inbox.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    return this.#inbox.shift() as TaskMessage
  }

  #receive(message: TaskMessage): void {
    if (message.t === 'call') {
      const parsed = parseCall(message.call, message.args)
      try {
        if ('problem' in parsed) throw new OsError('EINVAL', parsed.problem)
        const handler = this.#handlers[parsed.call] as ((args: unknown) => unknown) | undefined
        if (!handler) throw new OsError('ENOSYS', `the fake kernel has no ${parsed.call}`)
        this.#link.post({ t: 'reply', id: message.id, ok: true, value: handler(parsed.args) })
      } catch (error) {
        const { code, message: text } = error as OsError
        this.#link.post({ t: 'reply', id: message.id, ok: false, code, message: text })
      }
    } else {
      this.#inbox.push(message)
      this.#wake()
    }
  }

  readonly #handlers: Handlers = {
    open: ({ path, mode }) => {
      if (mode !== 'r' && path.startsWith('/bin/')) throw new OsError('EROFS', `${path}: read-only file system`)
      const bytes = mode === 'r' ? this.#file(path) : new Uint8Array()
      const ref = this.#refs.push({ path, bytes, ...(mode === 'r' ? {} : { parts: [] }) }) + 2
      return { ref, kind: 'file', size: bytes.byteLength }
    },
    // Short reads are allowed: never more than a block's rest.
    read: ({ ref, offset, length }) => {
      const end = Math.min(offset + length, Math.ceil((offset + 1) / 65_536) * 65_536)
      return { bytes: this.#ref(ref).bytes.slice(offset, end) }
    },
    write: (args) => {
      const { ref, bytes = new Uint8Array() } = args as { ref: number; bytes?: Uint8Array }
      if (ref <= 2) this.#effects.output.push([ref, bytes])
      else this.#ref(ref).parts?.push(bytes)
      return { size: bytes.byteLength }
    },
    close: ({ ref, discard }) => {
      const { path, parts } = this.#ref(ref)
      if (parts && !discard) this.#effects.writes.set(path, new Uint8Array(Buffer.concat(parts)))
      return {}
    },
    change: (args) => {
      if (args.op === 'remove') this.#effects.writes.set(args.path, undefined)
      return { ack: { level: 'local', devices: 1 } }
    },
    info: (args) => {
      if (args.topic !== 'path') throw new OsError('ENOSYS', args.topic)
      if ([...this.#files.keys()].some((name) => name.startsWith(`${args.path}/`.replace('//', '/')))) {
        return { path: args.path, kind: 'directory', size: 0, mtimeMs: 0, mode: 0o755 }
      }
      const { byteLength: size } = this.#file(args.path)
      return { path: args.path, kind: 'file', size, mtimeMs: 0, mode: 0o644 }
    },
    emit: ({ task, data, after = [] }) => {
      const id = `${this.#eventId}.${this.#effects.emits.length}`
      this.#effects.emits.push({ event: { id, task, data: data as Data }, after })
      return { id }
    },
    signal: (args) => {
      if (args.signal === 'EXIT') this.#effects.exitCode = args.code
      return { delivered: true }
    },
  }

  #ref(ref: number) {
    const found = this.#refs[ref - 3]
    if (!found) throw new OsError('EBADF', `no reference ${ref}`)
    return found
  }

  #file(path: string): Uint8Array {
    const bytes = this.#files.get(path.replace(/^\/+/, '/'))
    if (!bytes) throw new OsError('ENOENT', `no such file: ${path}`)
    return bytes
  }
}

/** `btoa` takes Latin-1: the UTF-8 bytes of the source as characters. */
function toLatin1(source: string): string {
  return Buffer.from(source, 'utf8').toString('latin1')
}

examplesContract('a fake kernel', async () => new FakeKernel())

describe('the example programs', () => {
  it('stay short enough to be read', () => {
    const lines = (name: string) => readFileSync(join(EXAMPLES, name), 'utf8').split('\n').length
    expect(lines('primes.js')).toBeLessThan(120)
    expect(lines('mandelbrot.js')).toBeLessThan(120)
    expect(lines('wordcount.js')).toBeLessThan(220)
  })
})
