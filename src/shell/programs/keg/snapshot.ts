// keg snapshot: names for versions, which are then kept.
import { Complaint } from '../../messages.ts'
import { UsageError } from '../../options.ts'
import { defineProgram, jsonOption } from '../../program.ts'
import { kegOf, newest, printVersions, withPath } from './versions.ts'

export const snapshot = defineProgram(
  {
    name: 'keg snapshot',
    summary: 'Name a version, so that it is kept',
    usage: ['[OPTION]... [NAME [VERSION]] [PATH]'],
    details:
      'The newest one unless told, of / or of the keg that PATH is in, which has a slash in it. Without a NAME, lists versions that have one.',
    examples: ['keg snapshot before-lunch', 'keg snapshot --delete before-lunch'],
    options: { delete: { short: 'd', help: 'give the NAME up' }, ...jsonOption },
    operands: [0, 3],
  },
  async (context, { options, operands }) => {
    const { words, path } = withPath(context, operands)
    const [name, version, extra] = words
    if (extra !== undefined) throw new UsageError(`extra operand '${extra}'`)
    const of = { path, ...context.cancel }
    if (name === undefined) {
      if (options.delete) throw new UsageError('missing NAME')
      const rows = (await context.keg.log({ all: true, limit: 10_000, ...of })).filter(({ names }) => names.length > 0)
      if (options.json) await context.printJson(rows)
      else await printVersions(context, rows)
      return 0
    }
    if (options.delete) {
      if (version !== undefined) throw new UsageError(`extra operand '${version}'`)
      await context.keg.unname(name, of)
      return 0
    }
    const which = version ?? String((await newest(context, path))?.version ?? 'HEAD')
    const taken = (await context.keg.log({ all: true, limit: 10_000, ...of })).find(({ names }) => names.includes(name))
    const [wanted] = taken ? await context.keg.log({ all: true, limit: 1, from: which, ...of }) : []
    if (taken && wanted && taken.version !== wanted.version) {
      const remove = `keg snapshot --delete ${name}${path === '/' ? '' : ` ${path}`}`
      throw new Complaint('EEXIST', `'${name}' names version ${taken.version} already; remove it first: ${remove}`)
    }
    await context.keg.snapshot(name, which, of)
    const [named] = await context.keg.log({ all: true, limit: 1, from: name, ...of })
    const keg = await kegOf(context, path)
    await context.print(`version ${named?.version ?? which} is ${name}: ls /keg/${keg ? `${keg}@` : ''}${name}\n`)
    return 0
  },
)
