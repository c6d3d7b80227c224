// touch: makes empty files, and sets the time of what is there.
import { isOsError } from '../../base/errors.ts'
import { defineProgram, forEachOperand } from '../program.ts'

export const touch = defineProgram(
  {
    name: 'touch',
    summary: 'Make empty files, or set their time to now',
    usage: ['[-c] FILE...'],
    options: { 'no-create': { short: 'c', help: 'make no file' } },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  (context, { options, operands }) =>
    forEachOperand(
      context,
      operands,
      async (operand) => {
        const path = context.path(operand)
        const now = Date.now() / 1000
        try {
          await context.fs.utimes(path, now, now, context.cancel)
        } catch (error) {
          if (!isOsError(error, 'ENOENT')) throw error
          if (!options['no-create']) await context.fs.writeFile(path, '', { flag: 'a', ...context.cancel })
        }
      },
      { describe: (operand) => `cannot touch '${operand}'` },
    ),
)
