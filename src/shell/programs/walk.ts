// Everything below a path, for programs that look at whole directories.
import type { FileInfo } from '../../syscalls/types.ts'
import { joinPath } from '../paths.ts'
import type { ProgramContext } from '../program.ts'

export interface Visited extends Pick<FileInfo, 'kind' | 'size' | 'mtimeMs' | 'mode'> {
  /** As it was asked for, and names below. */
  name: string
  path: string
  depth: number
}

/** A path, then what is in it, sorted by name; links are not followed. @throws {OsError} */
export async function* walk(
  context: ProgramContext,
  operand: string,
  most = Number.POSITIVE_INFINITY,
): AsyncGenerator<Visited> {
  const path = context.path(operand)
  const { info } = await context.fs.lstat(path, context.cancel)
  const { kind, size, mtimeMs, mode } = info
  yield* visit(context, { name: operand, path, kind, size, mtimeMs, mode, depth: 0 }, most)
}

async function* visit(context: ProgramContext, one: Visited, most: number): AsyncGenerator<Visited> {
  yield one
  if (one.kind !== 'directory' || one.depth >= most) return
  const entries = await context.fs.readdir(one.path, { withFileTypes: true, ...context.cancel })
  for (const { name, kind, size, mtimeMs, mode } of entries) {
    const below = { name: joinPath(one.name, name), path: joinPath(one.path, name), depth: one.depth + 1 }
    yield* visit(context, { ...below, kind, size, mtimeMs, mode }, most)
  }
}
