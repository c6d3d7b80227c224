// mv: renames within the tree.
import { baseName, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand } from '../program.ts'
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
        return context.fs.rename(from, into ? joinPath(target, baseName(from)) : target, context.cancel)
      },
      { describe: (source) => `cannot move '${source}'` },
    )
  },
)
