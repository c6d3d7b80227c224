// Written files become visible over what was there when they were opened. What others have done to them meanwhile is not
// lost: whoever appends appends to what is there by then; whoever changed the middle gets a version beside it. Above:
// fs.ts. Below: dag-writer.ts; the tree, as fs.ts gives it.
import { isOsError } from '../../base/errors.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Ack, OpenMode } from '../../syscalls/types.ts'
import type { Blocks } from '../blocks/blocks.ts'
import { TREE_GIVE_UP_MS } from '../limits.ts'
import type { TreeOp } from '../rpc/bodies.ts'
import { DagReader, type FileRoot } from './dag.ts'
import { DagWriter } from './dag-writer.ts'
import { conflicting } from './merge.ts'
import { joinPath, splitPath } from './path.ts'

/** Versions of one file of which one node may keep its own beside somebody else's. */
const MAX_CONFLICTS = 1_000

/** What each mode of opening asks for; see `OpenMode`. */
export function askedBy(mode: OpenMode) {
  const plain = mode.replace('+', '')
  return {
    reads: plain === 'r' || mode !== plain,
    writes: mode !== 'r',
    creates: plain !== 'r',
    exclusive: plain.endsWith('x'),
    truncates: plain.startsWith('w'),
    appends: plain.startsWith('a'),
  }
}

/** A file that is being written, and what was there when that began, or when it was made visible last. */
export interface Target {
  at: string
  asked: ReturnType<typeof askedBy>
  permissions: number
  was: string | undefined
  /** Where what is written here begins, for one that appends. */
  from: number
}

export interface Committed {
  file: FileRoot
  ack: Ack
}

export interface CommitsOptions {
  blocks: Blocks
  clock: Clock
  apply(op: TreeOp, signal: AbortSignal, ack?: Ack['level']): Promise<Ack>
  /** The file at a path now; undefined for nothing. @throws {OsError} EEXIST for what is no file. */
  there(at: string, signal: AbortSignal): Promise<FileRoot | undefined>
  onNotice(text: string): void
  /** Names what is written here where somebody else has written too. */
  label: string
}

export class Commits {
  readonly #options: CommitsOptions
  /** By path: files that this node is appending to. */
  readonly #appends = new Map<string, Promise<void>>()

  constructor(options: CommitsOptions) {
    this.#options = options
  }

  /** @returns the file as it is then. @throws {OsError} EEXIST for one that was to be new. */
  async commit(target: Target, file: FileRoot, signal: AbortSignal, ack?: Ack['level']): Promise<Committed> {
    if (!target.asked.appends) return this.#over(target, file, signal, ack)
    // Those of one node do not get in each other's way.
    const before = this.#appends.get(target.at) ?? Promise.resolve()
    const done = before.then(() => this.#over(target, file, signal, ack))
    const tail = done.then(
      () => undefined,
      () => undefined, // whoever appends is told
    )
    this.#appends.set(target.at, tail)
    try {
      return await done
    } finally {
      if (this.#appends.get(target.at) === tail) this.#appends.delete(target.at)
    }
  }

  /** Puts a file over the one that was there when it was opened; what is done when another is there depends on the mode. */
  async #over(target: Target, file: FileRoot, signal: AbortSignal, ack?: Ack['level']): Promise<Committed> {
    const { asked, permissions } = target
    const giveUpMs = this.#options.clock.nowMs() + TREE_GIVE_UP_MS
    let written = file
    for (;;) {
      const { at, was } = target
      const over = was === undefined ? {} : { was }
      const alone = was === undefined && (asked.exclusive || !asked.truncates) ? { exclusive: true } : {}
      const put = { op: 'put' as const, path: at, ...written, mode: permissions, mtimeMs: this.#options.clock.wallMs() }
      try {
        const reached = await this.#options.apply({ ...put, ...over, ...alone }, signal, ack)
        target.was = written.cid
        target.from = written.size
        return { file: written, ack: reached }
      } catch (error) {
        const isNew = asked.exclusive && was === undefined
        if (!isOsError(error, 'EEXIST') || isNew || this.#options.clock.nowMs() > giveUpMs) throw error
      }
      const there = await this.#options.there(at, signal)
      if (!there)
        target.was = undefined // it has gone: then it is made anew
      else if (there.cid === written.cid)
        target.was = there.cid // ours, of which nobody told us
      else if (!asked.appends) return this.#keepBoth(target, written, signal, ack)
      else {
        written = await this.#appended(file, target.from, there, signal)
        target.was = there.cid
      }
    }
  }

  /** What was appended behind `from`, behind what is there by now. */
  async #appended(file: FileRoot, from: number, there: FileRoot, signal: AbortSignal): Promise<FileRoot> {
    const writer = await DagWriter.open(this.#options.blocks, there, { signal })
    const reader = new DagReader(this.#options.blocks, file, { signal })
    for await (const piece of reader.read(from, file.size)) await writer.write(piece)
    return writer.finish()
  }

  /** Somebody else has changed the file since it was opened: what was written here is kept beside it. */
  async #keepBoth(target: Target, file: FileRoot, signal: AbortSignal, ack?: Ack['level']): Promise<Committed> {
    const { at, permissions } = target
    const names = splitPath(at)
    const name = names.pop() ?? ''
    for (let count = 1; ; count++) {
      const path = joinPath([...names, conflicting(name, this.#options.label, count)])
      const put = {
        op: 'put' as const,
        path,
        ...file,
        mode: permissions,
        mtimeMs: this.#options.clock.wallMs(),
        exclusive: true,
      }
      try {
        const reached = await this.#options.apply(put, signal, ack)
        this.#options.onNotice(`${at} was changed by somebody else meanwhile: what was written here is ${path}`)
        target.at = path
        target.was = file.cid
        return { file, ack: reached }
      } catch (error) {
        if (!isOsError(error, 'EEXIST') || count === MAX_CONFLICTS) throw error
      }
    }
  }
}
