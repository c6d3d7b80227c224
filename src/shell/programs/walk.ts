// Everything below a path, for programs that look at whole directories.

import { ASIDE } from '../../syscalls/mounts.ts'
import type { FileInfo } from '../../syscalls/types.ts'
import { joinPath } from '../paths.ts'
import { forEachOperand, type ProgramContext } from '../program.ts'

export interface Visited extends Pick<FileInfo, 'kind' | 'size' | 'mtimeMs' | 'mode'> {
  /** As it was asked for, and names below. */
  name: string
  path: string
  depth: number
}

interface How {
  most: number
  depthFirst: boolean
}

const WHOLE: How = { most: Number.POSITIVE_INFINITY, depthFirst: false }

/**
 * A path, then what is in it, sorted by name; links are not followed, nor, from /, what holds all of it once more. A
 * directory below that cannot be read is reported, and the walk goes on.
 * @param failed told of each such directory.
 * @param how `most`: so many levels; `depthFirst`: a directory after what is in it.
 * @throws {OsError} for the path itself.
 */
export async function* walk(
  context: ProgramContext,
  operand: string,
  failed: () => void,
  how: Partial<How> = {},
): AsyncGenerator<Visited> {
  const path = context.path(operand)
  const { info } = await context.fs.lstat(context.named(operand), context.cancel)
  const { kind, size, mtimeMs, mode } = info
  yield* visit(context, { name: operand, path, kind, size, mtimeMs, mode, depth: 0 }, { ...WHOLE, ...how }, failed)
}

async function* visit(context: ProgramContext, one: Visited, how: How, failed: () => void): AsyncGenerator<Visited> {
  if (!how.depthFirst) yield one
  const entered = one.kind === 'directory' && one.depth < how.most && (one.depth === 0 || !ASIDE.has(one.path))
  if (entered) yield* inside(context, one, how, failed)
  if (how.depthFirst) yield one
}

async function* inside(context: ProgramContext, one: Visited, how: How, failed: () => void): AsyncGenerator<Visited> {
  const entries = context.fs.opendir(one.path, context.cancel)
  const next = () => readable(context, one.name, () => entries.next())
  for (let read = await next(); !read?.done; read = await next()) {
    if (!read) return failed()
    const { name, kind, size, mtimeMs, mode } = read.value
    const below = { name: joinPath(one.name, name), path: joinPath(one.path, name), depth: one.depth + 1 }
    const child = { ...below, kind, size, mtimeMs, mode }
    if (kind === 'directory') yield* visit(context, child, how, failed)
    else yield child
  }
}

/** @returns undefined for what cannot be read, which is reported. */
export async function readable<T>(
  context: ProgramContext,
  name: string,
  read: () => Promise<T>,
): Promise<T | undefined> {
  let found: T | undefined
  const work = async () => {
    found = await read()
  }
  await forEachOperand(context, [name], work, { describe: (each) => `cannot read '${each}'` })
  return found
}
