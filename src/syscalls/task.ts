// The library that a program's tasks get as `os`: emit, gather, output, files. Above: user programs
// (docs/programs.md). Below: client.ts. It does not know where the task runs.
import { utf8 } from '../base/bytes.ts'
import { OsError } from '../base/errors.ts'
import { check, notThis } from './arguments.ts'
import { binderOf } from './bound.ts'
import type { SyscallClient } from './client.ts'
import { assertData } from './data.ts'
import { FileSystem } from './fs.ts'
import { TaskOutput } from './task-output.ts'
import type { Data, TaskEvent } from './types.ts'

/** References that every task holds from its start. */
export const STDOUT = 1
export const STDERR = 2

/** An exported function of a program. What it returns is the event's result. */
export type TaskHandler = (event: TaskEvent, os: TaskOs) => Data | undefined | Promise<Data | undefined>

/** `event.data` of the first event, `start`. */
export type StartData = { args: string[]; cwd: string }

/** `event.data` of an event that `gather` made: `results` in the order of the ids. */
export type GatherData = { results: Data[]; data: Data }

/** `event.data` of a step of a fold: `state` is what the step before it returned. */
export type FoldData = { state: Data; data: Data }

/** How an event ends by `exit`. */
export interface Exiting {
  /** What its handler does from now on, and how it ends, is of no account. */
  begins(): void
  /** The kernel has taken note of it; with an error: it has not. */
  ends(failure?: { error: unknown }): void
}

const never = () => new Promise<never>(() => {})

/** One per event. When its event is over, its calls are never answered. */
export class TaskOs {
  /** Files, named as in node:fs/promises. What a task writes becomes visible when its event completes. */
  readonly fs: FileSystem
  readonly #client: SyscallClient
  readonly #stdout: TaskOutput
  readonly #stderr: TaskOutput
  readonly #onExit: Exiting
  #exiting = false

  constructor(client: SyscallClient, onExit: Exiting) {
    this.#client = client
    this.#onExit = onExit
    this.#stdout = new TaskOutput(client, STDOUT)
    this.#stderr = new TaskOutput(client, STDERR)
    this.fs = new FileSystem(client)
    bindMethods(this)
  }

  /**
   * A new event for this process: some node will run the exported function `task` with `event.data = data`.
   * @returns the event's id, for `gather`.
   * @throws {OsError} EINVAL for what is not plain data, EFBIG for more than 1 MiB of it.
   */
  async emit(task: string, data: Data = null): Promise<string> {
    if (this.#exiting) return never()
    check('os.emit', { task: [task, 'text'] })
    assertData(data, 'data')
    return (await this.#client.call('emit', { task, data })).id
  }

  /**
   * One event that runs when all of `ids` have completed, with `event.data = { results, data }`.
   * @param ids what `emit` or `gather` returned, in the order in which the results shall come.
   * @returns the id of that event.
   * @throws {OsError} EINVAL for ids that are no texts: those of `emit` come when it is awaited.
   */
  async gather(ids: readonly string[], task: string, data: Data = null): Promise<string> {
    if (this.#exiting) return never()
    check('os.gather', { ids: [ids, 'texts'], task: [task, 'text'] })
    assertData(data, 'data')
    return (await this.#client.call('emit', { task, data, after: [...ids] })).id
  }

  /**
   * One event that runs alone among those of its `key`, in the order in which they were emitted, with
   * `event.data = { state, data }`. What it returns is the state for the next; the first gets null.
   * @returns the id of that event; `gather` waits for it and gets null for it.
   * @throws {OsError} EINVAL for a key that is no text, or longer than 256 characters.
   */
  async fold(key: string, task: string, data: Data = null): Promise<string> {
    if (this.#exiting) return never()
    check('os.fold', { key: [key, 'text'], task: [task, 'text'] })
    assertData(data, 'data')
    return (await this.#client.call('emit', { task, data, key })).id
  }

  /** A line on the standard output, with a space between several texts. Await it in long loops: it then waits for a slow reader. */
  async print(...texts: unknown[]): Promise<void> {
    return this.#write(this.#stdout, line('os.print', texts))
  }

  /** Bytes, or text without a line end, on the standard output. */
  async write(content: Uint8Array | string): Promise<void> {
    check('os.write', { content: [content, 'content'] })
    return this.#write(this.#stdout, typeof content === 'string' ? utf8(content) : content)
  }

  /** A line on the standard error output. */
  async error(...texts: unknown[]): Promise<void> {
    return this.#write(this.#stderr, line('os.error', texts))
  }

  /** Resolves when all output has reached the kernel. A task's end does it by itself. */
  async flush(): Promise<void> {
    await Promise.all([this.#stdout.flush(), this.#stderr.flush()])
  }

  /**
   * Ends the whole process with `code` (0–255). Never returns: the handler stops here, also one that does not await it, as
   * far as anybody can see.
   * @throws {OsError} EINVAL for another code.
   */
  async exit(code = 0): Promise<never> {
    if (!Number.isInteger(code) || code < 0 || code > 255) {
      throw new OsError('EINVAL', `os.exit: code: expected a whole number from 0 to 255${notThis(code)}`)
    }
    if (this.#exiting) return never()
    this.#exiting = true
    this.#onExit.begins()
    try {
      await this.flush()
      await this.#client.call('signal', { signal: 'EXIT', code })
      this.#onExit.ends()
    } catch (error) {
      this.#onExit.ends({ error })
    }
    return never()
  }

  #write(output: TaskOutput, bytes: Uint8Array): Promise<void> {
    return this.#exiting ? never() : output.write(bytes)
  }
}

/** @throws {OsError} EINVAL for what was not awaited: `[object Promise]` tells nobody. */
function line(call: string, texts: readonly unknown[]): Uint8Array {
  for (const text of texts) {
    if (text instanceof Promise) throw new OsError('EINVAL', `${call}: expected texts${notThis(text)}`)
  }
  return utf8(`${texts.map(String).join(' ')}\n`)
}

const bindMethods = binderOf(TaskOs)
