// Where `cp` and `mv` put things: the last operand, into it when it is a directory.
import { OsError } from '../../base/errors.ts'
import type { Stats } from '../../syscalls/fs-entries.ts'
import { Complaint, saying } from '../messages.ts'
import { UsageError } from '../options.ts'
import { baseName, endsInDots, joinPath } from '../paths.ts'
import type { ProgramContext } from '../program.ts'

export interface Destination {
  sources: string[]
  /** The target of one source. @throws {OsError} */
  placeOf(source: string): Place
}

export interface Place {
  /** Absolute, as `to` is. */
  from: string
  to: string
  /** `to` as it was asked for. */
  name: string
}

/** What one command has put somewhere: another thing of the same name must not take its place, as in coreutils. */
export class Made {
  /** Where from, by where to. */
  readonly #places = new Map<string, string>()

  add({ from, to }: Place): void {
    this.#places.set(to, from)
  }

  has(to: string): boolean {
    return this.#places.has(to)
  }

  /** @returns whether the same was named before, which is said. @throws {Complaint} EEXIST where another one was. */
  async twice(context: ProgramContext, source: string, { from, to, name }: Place): Promise<boolean> {
    const earlier = this.#places.get(to)
    if (earlier === undefined) return false
    if (earlier !== from) {
      throw new Complaint('EEXIST', `will not overwrite just-created '${name}' with '${source}'`)
    }
    await context.complain(`warning: source file '${source}' specified more than once`)
    return true
  }
}

/** @throws {Complaint} ENOTDIR or ENOENT when the sources cannot go into the target. */
export async function destination(context: ProgramContext, operands: readonly string[]): Promise<Destination> {
  const last = operands.at(-1)
  if (last === undefined) throw new UsageError('missing operand')
  const sources = operands.slice(0, -1)
  const [source = '', second] = sources
  const { target, into } = await saying(`target '${last}'`, async () => {
    const target = context.named(last)
    const exists = await context.fs.exists(context.path(last), context.cancel)
    const into = exists && (await isDirectory(context, target))
    // A directory may get a name that has a slash behind it.
    const named = second === undefined && (!last.endsWith('/') || (!exists && (await isDirectory(context, source))))
    if (!into && !named) throw new OsError(exists ? 'ENOTDIR' : 'ENOENT', `${last} is not a directory`)
    return { target, into }
  })
  const placeOf = (source: string) => {
    const from = context.named(source)
    // Of a directory that is named so, what is in it.
    if (!into || endsInDots(source)) return { from, to: target, name: last }
    return { from, to: joinPath(target, baseName(from)), name: joinPath(last, baseName(from)) }
  }
  return { sources, placeOf }
}

async function isDirectory(context: ProgramContext, operand: string): Promise<boolean> {
  try {
    return (await context.fs.stat(context.named(operand), context.cancel)).isDirectory()
  } catch (error) {
    if (error instanceof OsError && !context.signal.aborted) return false // whoever uses it finds out
    throw error
  }
}

/** Whether something has that name, be it a link that leads nowhere. @throws {OsError} */
export async function isThere(context: ProgramContext, path: string): Promise<boolean> {
  return (await pathOf(context.fs.lstat(path, context.cancel))) !== undefined
}

/** Whether a thing would take its own place, or a link that of what it leads to, which would then be lost. */
export async function sameFile(context: ProgramContext, from: string, to: string): Promise<boolean> {
  if (from === to) return isThere(context, from)
  const there = await pathOf(context.fs.lstat(to, context.cancel))
  if (there === undefined) return false
  const [one, behind] = await Promise.all([
    pathOf(context.fs.lstat(from, context.cancel)),
    pathOf(context.fs.stat(from, context.cancel)),
  ])
  return one === there || behind === there
}

/** The path with links on the way followed, if anything is there. */
async function pathOf(found: Promise<Stats>): Promise<string | undefined> {
  try {
    return (await found).info.path
  } catch (error) {
    if (error instanceof OsError && ['ENOENT', 'ENOTDIR', 'ELOOP'].includes(error.code)) return undefined
    throw error
  }
}
