// env: the exported variables.
import { defineProgram, jsonOption } from '../program.ts'

export const env = defineProgram(
  {
    name: 'env',
    summary: 'List the exported variables',
    usage: ['[--json]'],
    options: jsonOption,
    operands: [0, 0],
  },
  async (context, { options }) => {
    const rows = context.session.environment()
    if (options.json) await context.printJson(Object.fromEntries(rows))
    else await context.print(rows.map(([name, value]) => `${name}=${value}\n`).join(''))
    return 0
  },
)
