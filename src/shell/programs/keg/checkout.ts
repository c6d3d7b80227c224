// keg checkout: a path becomes what it was in a version.
import { defineProgram, forEachOperand } from '../../program.ts'
import { explain, newest } from './versions.ts'

export const checkout = defineProgram(
  {
    name: 'keg checkout',
    summary: 'Make files what they were in a version',
    usage: ['VERSION [PATH]...'],
    details: [
      'All of / unless told; versions are of the keg that the first PATH is in. That is a change like others: it makes a new version, and the one before it stays.',
      'What was added to a directory since then goes.',
    ].join('\n'),
    examples: ['keg checkout 12 /home/docs', 'keg checkout @10m /notes.txt', 'keg checkout before-lunch'],
    options: {},
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { operands: [version = '', ...paths] }) => {
    const before = await newest(context, paths[0] === undefined ? '/' : context.path(paths[0]))
    const code = await forEachOperand(
      context,
      paths.length > 0 ? paths : ['/'],
      async (operand) => {
        const path = context.path(operand)
        await context.keg.checkout(version, path, context.cancel)
        await context.print(`${context.shown(path)} is as it was in ${version}\n`)
      },
      { describe: (operand) => `cannot check out '${operand}'`, explain },
    )
    const again = ['keg checkout', before?.version, ...paths].join(' ')
    if (before && code === 0) await context.print(`(${again} brings back what was there)\n`)
    return code
  },
)
