// What the witness remembers, in one file of the data folder: a line of JSON for each change, the last of a journal
// counts. Every line is on stable storage before its promise resolves; lines that wait share a flush.
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { OsError } from '../src/base/errors.ts'
import type { NodeId } from '../src/base/ids.ts'
import type { WitnessState } from '../src/kernel/journal/raft/witness.ts'
import { readIfThere, reason, writePrivate } from './data.ts'

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const line = v.strictTuple([
  v.string(),
  v.nullable(
    v.strictObject({
      term: int,
      vote: v.nullable(v.custom<NodeId>((value) => typeof value === 'string')),
      index: int,
      lastTerm: int,
    }),
  ),
])
/** Lines beyond the journals that are known before the file is written anew at a start. */
const SLACK_LINES = 1_000

export class WitnessStore {
  readonly #states: Map<string, WitnessState>
  readonly #file: FileHandle
  #queued: string[] = []
  #next: Promise<void> | undefined
  #tail: Promise<void> = Promise.resolve()
  #failed: OsError | undefined

  private constructor(states: Map<string, WitnessState>, file: FileHandle) {
    this.#states = states
    this.#file = file
  }

  /** @throws {OsError} EIO for a file that cannot be read: forgetting what was promised could elect two leaders. */
  static async open(folder: string): Promise<WitnessStore> {
    const path = join(folder, 'witness.log')
    const text = readIfThere(path)?.toString() ?? ''
    const lines = text.split('\n')
    lines.pop() // after the last line's end; a torn line was never answered for
    const states = new Map<string, WitnessState>()
    for (const [i, each] of lines.entries()) {
      const [name, state] = parseLine(each, `${path}, line ${i + 1}`)
      if (state) states.set(name, state)
      else states.delete(name)
    }
    if (lines.length > states.size * 2 + SLACK_LINES || !text.endsWith('\n')) {
      writePrivate(path, [...states].map((entry) => `${JSON.stringify(entry)}\n`).join(''))
    }
    try {
      return new WitnessStore(states, await open(path, 'a', 0o600))
    } catch (cause) {
      throw new OsError('EACCES', `cannot write ${path}: ${reason(cause)}`, { cause })
    }
  }

  get size(): number {
    return this.#states.size
  }

  get(name: string): WitnessState | undefined {
    return this.#states.get(name)
  }

  put(name: string, state: WitnessState): Promise<void> {
    this.#states.set(name, state)
    return this.#write([name, state])
  }

  forget(name: string): Promise<void> {
    return this.#states.delete(name) ? this.#write([name, null]) : Promise.resolve()
  }

  /** Resolves when everything that was put is on disk. */
  settled(): Promise<void> {
    return this.#failed ? Promise.reject(this.#failed) : (this.#next ?? this.#tail)
  }

  async close(): Promise<void> {
    await this.settled().catch(() => undefined) // told to whoever wrote
    await this.#file.close()
  }

  #write(entry: readonly [string, WitnessState | null]): Promise<void> {
    this.#queued.push(`${JSON.stringify(entry)}\n`)
    if (!this.#next) {
      const flush = this.#tail.then(() => this.#flush())
      this.#next = flush
      this.#tail = flush.catch(() => undefined) // each writer gets the error from its own promise
    }
    return this.#next
  }

  async #flush(): Promise<void> {
    const lines = this.#queued
    this.#queued = []
    this.#next = undefined
    if (this.#failed) throw this.#failed
    try {
      await this.#file.appendFile(lines.join(''))
      await this.#file.datasync()
    } catch (cause) {
      // Half a line may be on disk: nothing may follow it.
      this.#failed = new OsError('EIO', `cannot write what the witness remembers: ${reason(cause)}`, { cause })
      throw this.#failed
    }
  }
}

function parseLine(text: string, where: string): v.InferOutput<typeof line> {
  try {
    return v.parse(line, JSON.parse(text))
  } catch (cause) {
    throw new OsError('EIO', `cannot read ${where}: move the data folder away to start as another relay`, { cause })
  }
}
