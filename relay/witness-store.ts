// What the witness remembers, in one file of the data folder: a line that says whose memory it is, then a line of JSON for
// each change, the last of a journal counts. Every line is on stable storage before its promise resolves; lines that wait
// share a flush. The file is written anew when most of it is history.
import { type FileHandle, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { OsError } from '../src/base/errors.ts'
import type { NodeId } from '../src/base/ids.ts'
import type { WitnessState } from '../src/kernel/journal/raft/witness.ts'
import { readIfThere, reason } from './data.ts'

const int = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const line = v.strictTuple([
  v.string(),
  v.nullable(
    v.strictObject({
      term: int,
      vote: v.nullable(v.custom<NodeId>((value) => typeof value === 'string')),
      index: int,
      lastTerm: int,
      released: v.exactOptional(v.literal(true)),
    }),
  ),
])
const header = v.strictObject({ witness: v.string() })
/** Lines for each journal that is remembered, and beyond that, before the file is written anew. */
const LINES_PER_STATE = 4
const SLACK_LINES = 1_000

export class WitnessStore {
  readonly #path: string
  readonly #witness: string
  readonly #states: Map<string, WitnessState>
  /** Journals that count on it no longer, the longest first. */
  readonly #released = new Set<string>()
  #file: FileHandle
  #lines: number
  #queued: string[] = []
  #next: Promise<void> | undefined
  #tail: Promise<void> = Promise.resolve()
  #failed: OsError | undefined

  private constructor(of: { path: string; witness: string; states: Map<string, WitnessState>; file: FileHandle }) {
    this.#path = of.path
    this.#witness = of.witness
    this.#states = of.states
    this.#file = of.file
    this.#lines = of.states.size
    for (const [name, { released }] of of.states) if (released) this.#released.add(name)
  }

  /**
   * Whether what this witness has promised is not there any more: then it must not go on under its name.
   * @throws {OsError} EIO for a file that cannot be read.
   */
  static forgot(folder: string, witness: string): boolean {
    const path = join(folder, 'witness.log')
    const text = readIfThere(path)?.toString() ?? ''
    if (text === '') return true
    const whose = witnessOf(text)
    return whose !== undefined && whose !== witness // a file of an earlier version does not say
  }

  /**
   * @param witness its id; what another has promised is not its own.
   * @throws {OsError} EIO for a file that cannot be read: forgetting what was promised could elect two leaders.
   */
  static async open(folder: string, witness: string): Promise<WitnessStore> {
    const path = join(folder, 'witness.log')
    const text = readIfThere(path)?.toString() ?? ''
    const whose = witnessOf(text)
    const states = whose !== undefined && whose !== witness ? new Map() : readStates(text, path)
    try {
      return new WitnessStore({ path, witness, states, file: await writeAnew(path, witness, states) })
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

  /** The journal that has not counted on it for the longest time. */
  get leastNeeded(): string | undefined {
    const [first] = this.#released
    return first
  }

  put(name: string, state: WitnessState): Promise<void> {
    this.#states.set(name, state)
    if (!state.released) this.#released.delete(name)
    else this.#released.add(name)
    return this.#write([name, state])
  }

  forget(name: string): Promise<void> {
    this.#released.delete(name)
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
      this.#lines += lines.length
      if (this.#lines > this.#states.size * LINES_PER_STATE + SLACK_LINES) return await this.#compact()
      await this.#file.appendFile(lines.join(''))
      await this.#file.datasync()
    } catch (cause) {
      // Half a line may be on disk: nothing may follow it.
      this.#failed = new OsError('EIO', `cannot write what the witness remembers: ${reason(cause)}`, { cause })
      throw this.#failed
    }
  }

  /** With what is known now, which includes all that waits. */
  async #compact(): Promise<void> {
    this.#lines = this.#states.size
    await this.#file.close()
    this.#file = await writeAnew(this.#path, this.#witness, this.#states)
  }
}

/** Whole or not at all, and on stable storage. @returns the file, to be appended to. */
async function writeAnew(
  path: string,
  witness: string,
  states: ReadonlyMap<string, WitnessState>,
): Promise<FileHandle> {
  const lines = [{ witness }, ...states].map((each) => `${JSON.stringify(each)}\n`)
  const file = await open(`${path}.new`, 'w', 0o600)
  await file.appendFile(lines.join(''))
  await file.sync()
  await rename(`${path}.new`, path)
  return file
}

/** Undefined when the first line is not there or says nothing of that. */
function witnessOf(text: string): string | undefined {
  try {
    return v.parse(header, JSON.parse(text.slice(0, text.indexOf('\n') + 1))).witness
  } catch {
    return undefined
  }
}

function readStates(text: string, path: string): Map<string, WitnessState> {
  const lines = text.split('\n')
  lines.pop() // after the last line's end; a torn line was never answered for
  const states = new Map<string, WitnessState>()
  for (const [i, each] of lines.entries()) {
    if (i === 0 && witnessOf(text) !== undefined) continue
    const [name, state] = parseLine(each, `${path}, line ${i + 1}`)
    states.delete(name)
    if (state) states.set(name, state)
  }
  return states
}

function parseLine(text: string, where: string): v.InferOutput<typeof line> {
  try {
    return v.parse(line, JSON.parse(text))
  } catch (cause) {
    throw new OsError('EIO', `cannot read ${where}: move the data folder away to start as another relay`, { cause })
  }
}
