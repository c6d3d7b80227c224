// keg list: kegs beside /.
import { defineProgram, jsonOption } from '../../program.ts'
import { printKegs } from '../mount.ts'

export const list = defineProgram(
  {
    name: 'keg list',
    summary: 'List kegs, mounted or not',
    usage: ['[--json]'],
    details: 'Those that are mounted in /, and others that this node keeps or has looked into.',
    options: jsonOption,
    operands: [0, 0],
  },
  async (context, { options }) => {
    const rows = await context.keg.list(context.cancel)
    if (options.json) await context.printJson(rows)
    else await printKegs(context, rows)
    return 0
  },
)
