// pwd: the directory of this shell.
import { defineProgram } from '../program.ts'

export const pwd = defineProgram(
  { name: 'pwd', summary: 'Print the directory', usage: [''], options: {}, operands: [0, 0] },
  async (context) => {
    await context.print(`${context.shown(context.session.cwd)}\n`)
    return 0
  },
)
