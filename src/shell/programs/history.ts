// history: the lines typed before.
import { defineProgram, jsonOption } from '../program.ts'

export const history = defineProgram(
  {
    name: 'history',
    summary: 'List the commands typed before',
    usage: ['[OPTION]'],
    options: { clear: { short: 'c', help: 'forget them all' }, ...jsonOption },
    operands: [0, 0],
  },
  async (context, { options }) => {
    const store = context.session.history
    if (options.clear) {
      store.clear()
      return 0
    }
    const lines = store.lines()
    if (options.json) await context.printJson(lines)
    else await context.print(lines.map((line, i) => `${String(i + 1).padStart(5)}  ${line}\n`).join(''))
    return 0
  },
)
