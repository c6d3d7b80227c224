// keg log: which versions are remembered.
import { defineProgram, jsonOption } from '../../program.ts'
import { printVersions } from './versions.ts'

export const log = defineProgram(
  {
    name: 'keg log',
    summary: 'List versions, the newest first',
    usage: ['[OPTION]... [PATH]'],
    details: 'With a PATH, only those in which it, or what is in it, changed.',
    options: {
      lines: { short: 'n', value: 'COUNT', number: 'whole', help: 'at most so many (20 unless told)' },
      ...jsonOption,
    },
    operands: [0, 1],
  },
  async (context, { options, operands: [path] }) => {
    const which = path === undefined ? {} : { path: context.path(path) }
    const rows = await context.keg.log({ ...which, limit: options.lines ?? 20, ...context.cancel })
    if (options.json) await context.printJson(rows)
    else await printVersions(context, rows)
    return 0
  },
)
