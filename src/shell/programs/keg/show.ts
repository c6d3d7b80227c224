// keg show: one version, and what it changed.
import { OsError } from '../../../base/errors.ts'
import { defineProgram, jsonOption } from '../../program.ts'
import { formatTime } from '../../table.ts'
import { formatChanges } from './versions.ts'

export const show = defineProgram(
  {
    name: 'keg show',
    summary: 'Show what a version changed',
    usage: ['[OPTION]... [VERSION]'],
    details: 'The newest one unless told. `ls /keg/VERSION` and `cat /keg/VERSION/PATH` show what it holds.',
    options: jsonOption,
    operands: [0, 1],
  },
  async (context, { options, operands: [version = 'HEAD'] }) => {
    const [row, before] = await context.keg.log({ from: version, limit: 2, ...context.cancel })
    if (!row) throw new OsError('ENOENT', `no version '${version}' is remembered`)
    const past = before && (await context.keg.diff(String(before.version), String(row.version), context.cancel))
    const { changes, more } = past ?? { changes: [], more: false }
    if (options.json) {
      await context.printJson({ ...row, changes, more })
      return 0
    }
    const rows: [string, string][] = [
      ['Version', String(row.version)],
      ['Names', row.names.join(' ')],
      ['When', formatTime(row.atMs)],
      ['By', row.by ?? ''],
      ['KID', row.kid],
    ]
    const lines = rows.filter(([, text]) => text !== '').map(([name, text]) => `${`${name}:`.padEnd(10)}${text}\n`)
    await context.print(`${lines.join('')}\n${formatChanges(changes, more, '/')}`)
    return 0
  },
)
