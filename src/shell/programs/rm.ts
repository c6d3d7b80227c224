// rm: removes files and, with -r, directories.
import { isOsError, OsError } from '../../base/errors.ts'
import { UsageError } from '../options.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'

/** A link itself, not what it leads to. @returns undefined for what is not there, if that is no error. */
async function present(context: ProgramContext, path: string, force: boolean) {
  try {
    return await context.fs.lstat(path, context.cancel)
  } catch (error) {
    if (force && (isOsError(error, 'ENOENT') || isOsError(error, 'ENOTDIR'))) return undefined
    throw error
  }
}

export const rm = defineProgram(
  {
    name: 'rm',
    summary: 'Remove files and directories',
    usage: ['[OPTION]... PATH...'],
    options: {
      recursive: { short: 'r', help: 'remove directories with all that is in them' },
      force: { short: 'f', help: 'say nothing about what is not there' },
      interactive: { short: 'i', help: 'ask before each' },
    },
  },
  async (context, { options, operands }) => {
    if (operands.length === 0 && !options.force) throw new UsageError('missing operand')
    const ask = options.interactive ? context.need('confirm', 'nobody here who could be asked') : undefined
    return forEachOperand(
      context,
      operands,
      async (operand) => {
        const path = context.path(operand)
        if (path === '/') throw new OsError('EPERM', 'the root of the tree stays')
        const info = await present(context, path, options.force)
        if (!info) return
        if (info.isDirectory() && !options.recursive) throw new OsError('EISDIR', `${operand} is a directory`)
        if (ask && !(await ask(`rm: remove '${operand}'?`, context.signal))) return
        await context.fs.rm(path, { recursive: options.recursive, force: options.force, ...context.cancel })
      },
      { describe: (operand) => `cannot remove '${operand}'` },
    )
  },
)
