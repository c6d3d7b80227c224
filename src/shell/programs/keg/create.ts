// keg create: a new keg, mounted somewhere.
import { defineProgram, forEachOperand } from '../../program.ts'

export const create = defineProgram(
  {
    name: 'keg create',
    summary: 'Make a keg, and mount it',
    usage: ['PATH...'],
    details: [
      'A keg is a tree of its own, with its own versions, that other devices may keep than those that keep /. It is mounted',
      'for everybody at PATH: an empty directory, or nothing yet.',
    ].join('\n'),
    examples: ['keg create /data'],
    options: {},
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { operands }) =>
    forEachOperand(
      context,
      operands,
      async (operand) => {
        const path = context.path(operand)
        await context.keg.create(path, context.cancel)
        const { info } = await context.fs.stat(path, context.cancel)
        await context.print(`${context.shown(path)}: ${info.keg}\n`)
      },
      { describe: (operand) => `cannot make a keg at '${operand}'` },
    ),
)
