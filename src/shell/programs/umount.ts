// umount: leaves an empty directory where a keg was mounted.
import { defineProgram, forEachOperand } from '../program.ts'

export const umount = defineProgram(
  {
    name: 'umount',
    summary: 'Unmount kegs',
    usage: ['PATH...'],
    details: 'The keg itself stays, with all that is in it: mount brings it back.',
    options: {},
    operands: [1, Number.POSITIVE_INFINITY],
  },
  (context, { operands }) =>
    forEachOperand(
      context,
      operands,
      async (operand) => {
        await context.keg.umount(context.path(operand), context.cancel)
      },
      { describe: (operand) => `cannot unmount '${operand}'` },
    ),
)
