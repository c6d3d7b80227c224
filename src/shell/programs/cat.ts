// cat: files to stdout.
import { defineProgram, forEachOperand } from '../program.ts'

export const cat = defineProgram(
  {
    name: 'cat',
    summary: 'Print files one after the other',
    usage: ['[FILE]...'],
    details: 'Without a FILE, or where it is -: standard input.',
    options: {},
  },
  (context, { operands }) =>
    forEachOperand(context, operands.length > 0 ? operands : ['-'], async (operand) => {
      if (operand !== '-') {
        for await (const piece of context.fs.read(context.named(operand), context.cancel)) {
          await context.stdout.write(piece)
        }
        return
      }
      for (let piece = await context.stdin.read(); piece.byteLength > 0; piece = await context.stdin.read()) {
        await context.stdout.write(piece)
      }
    }),
)
