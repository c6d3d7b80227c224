// keg undo: the last change of a path, taken back.
import { OsError } from '../../../base/errors.ts'
import { defineProgram, forEachOperand } from '../../program.ts'
import { explain } from './versions.ts'

export const undo = defineProgram(
  {
    name: 'keg undo',
    summary: 'Take back the last change of files, such as rm -rf',
    usage: ['PATH...'],
    details: 'What changed elsewhere meanwhile stays. Twice: the first undo is taken back.',
    examples: ['rm -rf /home/docs && keg undo /home/docs'],
    options: {},
    operands: [1, Number.POSITIVE_INFINITY],
  },
  (context, { operands }) =>
    forEachOperand(
      context,
      operands,
      async (operand) => {
        const path = context.path(operand)
        const [last] = await context.keg.log({ path, limit: 1, ...context.cancel })
        if (!last) throw new OsError('ENOENT', 'no version that is remembered has it')
        const from = String(last.version)
        const [, before] = await context.keg.log({ path, all: true, from, limit: 2, ...context.cancel })
        if (!before) throw new OsError('ENOENT', `what was before version ${last.version} is not remembered`)
        await context.keg.checkout(String(before.version), path, { remove: true, ...context.cancel })
        await context.print(
          `${context.shown(`${path} is as it was in ${before.version}, before: ${last.what || 'its last change'}`)}\n`,
        )
      },
      { describe: (operand) => `cannot undo '${operand}'`, explain },
    ),
)
