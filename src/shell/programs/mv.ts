// mv: renames, and from one keg to another copies and removes.
import { isOsError } from '../../base/errors.ts'
import { baseName, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { destination } from './destination.ts'

export const mv = defineProgram(
  {
    name: 'mv',
    summary: 'Rename files and directories, or move them into a directory',
    usage: ['SOURCE TARGET', 'SOURCE... DIRECTORY'],
    options: {},
    operands: [2, Number.POSITIVE_INFINITY],
  },
  async (context, { operands }) => {
    const { sources, target, into } = await destination(context, operands)
    return forEachOperand(
      context,
      sources,
      (source) => {
        const from = context.path(source)
        return move(context, from, into ? joinPath(target, baseName(from)) : target)
      },
      { describe: (source) => `cannot move '${source}'` },
    )
  },
)

async function move(context: ProgramContext, from: string, to: string): Promise<void> {
  try {
    await context.fs.rename(from, to, context.cancel)
  } catch (error) {
    if (!isOsError(error, 'EXDEV')) throw error
    // Nothing is read: the other keg has the same blocks.
    await context.client.call('change', { op: 'copy', from, to }, context.cancel)
    await context.fs.rm(from, { recursive: true, ...context.cancel })
  }
}
