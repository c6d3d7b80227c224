// keg snapshot: names for versions, which are then kept.
import { UsageError } from '../../options.ts'
import { defineProgram, jsonOption } from '../../program.ts'
import { formatVersions, newest } from './versions.ts'

export const snapshot = defineProgram(
  {
    name: 'keg snapshot',
    summary: 'Name a version, so that it is kept',
    usage: ['[OPTION]... [NAME [VERSION]]'],
    details: 'The newest one unless told. Without a NAME, lists versions that have one.',
    examples: ['keg snapshot before-lunch', 'keg snapshot --delete before-lunch'],
    options: { delete: { short: 'd', help: 'give the NAME up' }, ...jsonOption },
    operands: [0, 2],
  },
  async (context, { options, operands: [name, version] }) => {
    if (name === undefined) {
      if (options.delete) throw new UsageError('missing NAME')
      const rows = (await context.keg.log({ limit: 10_000, ...context.cancel })).filter(({ names }) => names.length > 0)
      if (options.json) await context.printJson(rows)
      else await context.print(formatVersions(rows))
      return 0
    }
    if (options.delete) {
      if (version !== undefined) throw new UsageError(`extra operand '${version}'`)
      await context.keg.unname(name, context.cancel)
      return 0
    }
    const which = version ?? String((await newest(context))?.version ?? 'HEAD')
    await context.keg.snapshot(name, which, context.cancel)
    await context.print(`version ${which} is ${name}: ls /keg/${name}\n`)
    return 0
  },
)
