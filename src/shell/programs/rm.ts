// rm: removes files and, with -r, directories.
import { OsError } from '../../base/errors.ts'
import { UsageError } from '../options.ts'
import { defineProgram, forEachOperand } from '../program.ts'

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
        if (options.force && !(await context.fs.exists(path, context.cancel))) return
        const info = await context.fs.stat(path, context.cancel)
        if (info.isDirectory() && !options.recursive) throw new OsError('EISDIR', `${operand} is a directory`)
        if (ask && !(await ask(`rm: remove '${operand}'?`, context.signal))) return
        await context.fs.rm(path, { recursive: options.recursive, force: options.force, ...context.cancel })
      },
      { describe: (operand) => `cannot remove '${operand}'` },
    )
  },
)
