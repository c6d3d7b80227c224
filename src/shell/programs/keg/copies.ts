// keg copies: how many devices keep each block.
import { MAX_COPIES } from '../../../syscalls/limits.ts'
import { UsageError } from '../../options.ts'
import { defineProgram, jsonOption } from '../../program.ts'

export const copies = defineProgram(
  {
    name: 'keg copies',
    summary: 'Show or choose how many devices keep each block',
    usage: ['[--json] [COUNT] [PATH]'],
    details: `Of /, or of the keg that PATH is in, which has a slash in it. Each block of a file of 64 KiB or more is kept by COUNT
devices, 1 to ${MAX_COPIES}, where there are as many (3 unless told): fewer leave more room, more survive when more are lost
at once. Smaller files, directories and versions are kept by the three that keep the keg's journal.`,
    examples: ['keg copies', 'keg copies 2 /scratch', 'keg copies 5 /photos'],
    options: jsonOption,
    operands: [0, 2],
  },
  async (context, { options, operands }) => {
    const [first, ...rest] = operands
    const sets = first !== undefined && !first.includes('/')
    const [operand = '/'] = sets ? rest : operands
    if (!sets && operands.length > 1) throw new UsageError(`extra operand '${operands[1]}'`)
    const path = context.path(operand)
    if (sets) {
      const count = /^\d{1,3}$/.test(first) ? Number(first) : 0
      if (count < 1 || count > MAX_COPIES)
        throw new UsageError(`invalid number of copies '${first}': 1 to ${MAX_COPIES}`)
      await context.keg.setCopies(count, { path, ...context.cancel })
      return 0
    }
    const count = await context.keg.copies({ path, ...context.cancel })
    if (options.json) await context.printJson({ path, copies: count })
    else await context.print(`${count}\n`)
    return 0
  },
)
