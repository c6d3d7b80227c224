// Where `cp` and `mv` put things: the last operand, into it when it is a directory.
import { OsError } from '../../base/errors.ts'
import { UsageError } from '../options.ts'
import type { ProgramContext } from '../program.ts'

export interface Destination {
  sources: string[]
  /** Absolute. */
  target: string
  /** The target is a directory that receives the sources under their own names. */
  into: boolean
}

/** @throws {OsError} ENOTDIR or ENOENT when several sources cannot go into the target. */
export async function destination(context: ProgramContext, operands: readonly string[]): Promise<Destination> {
  const last = operands.at(-1)
  if (last === undefined) throw new UsageError('missing operand')
  const sources = operands.slice(0, -1)
  const target = context.path(last)
  const exists = await context.fs.exists(target, context.cancel)
  const into = exists && (await context.fs.stat(target, context.cancel)).isDirectory()
  if (into || (sources.length === 1 && !last.endsWith('/'))) return { sources, target, into }
  throw new OsError(exists ? 'ENOTDIR' : 'ENOENT', `target '${last}' is not a directory`)
}
