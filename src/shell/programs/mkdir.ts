// mkdir: makes directories.
import { defineProgram, forEachOperand } from '../program.ts'

export const mkdir = defineProgram(
  {
    name: 'mkdir',
    summary: 'Make directories',
    usage: ['[-p] DIRECTORY...'],
    options: { parents: { short: 'p', help: 'make those above as well; one that exists is no error' } },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  (context, { options, operands }) =>
    forEachOperand(
      context,
      operands,
      (operand) => context.fs.mkdir(context.path(operand), { recursive: options.parents, ...context.cancel }),
      { describe: (operand) => `cannot create directory '${operand}'` },
    ),
)
