// mkdir: makes directories.
import { defineProgram, forEachOperand } from '../program.ts'
import { changedMode } from './chmod.ts'
import { isThere } from './destination.ts'

export const mkdir = defineProgram(
  {
    name: 'mkdir',
    summary: 'Make directories',
    usage: ['[OPTION]... DIRECTORY...'],
    options: {
      parents: { short: 'p', help: 'make those above as well; one that exists is no error' },
      mode: { short: 'm', value: 'MODE', help: 'who may do what, as for chmod' },
      verbose: { short: 'v', help: 'say what was made' },
    },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  (context, { options: { parents, mode, verbose }, operands }) => {
    const how = { recursive: parents, ...(mode === undefined ? {} : { mode: changedMode(0o777, mode) }) }
    const make = async (operand: string) => {
      const path = context.named(operand)
      const old = verbose && parents && (await isThere(context, path))
      await context.fs.mkdir(path, { ...how, ...context.cancel })
      if (verbose && !old) await context.print(`mkdir: created directory '${context.shown(operand)}'\n`)
    }
    return forEachOperand(context, operands, make, { describe: (operand) => `cannot create directory '${operand}'` })
  },
)
