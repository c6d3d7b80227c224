// clear: empties the screen.
import { defineProgram } from '../program.ts'

export const clear = defineProgram(
  { name: 'clear', summary: 'Clear the screen', usage: [''], options: {}, operands: [0, 0] },
  async (context) => {
    context.need('clearScreen', 'no screen here')()
    return 0
  },
)
