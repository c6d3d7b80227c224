// keg show: one version, and what it changed.
import { OsError } from '../../../base/errors.ts'
import type { VersionRow } from '../../../syscalls/types.ts'
import { UsageError } from '../../options.ts'
import { defineProgram, jsonOption } from '../../program.ts'
import { formatTime } from '../../table.ts'
import { formatChanges, withPath } from './versions.ts'

/** Who made it, and whether that is certain. */
function committed({ committer, proof }: VersionRow): string {
  if (committer === null) return proof === 'none' ? 'not signed' : ''
  return proof === 'signed' ? `signed by ${committer}` : `NOT signed by ${committer}, as it says`
}

/** Of which version they are the changes, where that is not the one it was made of; empty where it is. */
function since({ parent }: VersionRow, before: VersionRow | undefined): string {
  if (parent === null || before?.cid === parent) return ''
  if (!before) return 'What it changed is not known: the versions before it are forgotten.\n'
  return `Since version ${before.version}: those between are forgotten.\n`
}

export const show = defineProgram(
  {
    name: 'keg show',
    summary: 'Show what a version changed',
    usage: ['[OPTION]... [VERSION] [PATH]'],
    details:
      'The newest one unless told, of / or of the keg that PATH is in, which has a slash in it. `ls /keg/VERSION` and `cat /keg/VERSION/PATH` show what it holds.',
    options: jsonOption,
    operands: [0, 2],
  },
  async (context, { options, operands }) => {
    const { words, path } = withPath(context, operands)
    const [version = 'HEAD', extra] = words
    if (extra !== undefined) throw new UsageError(`extra operand '${extra}'`)
    const [row, before] = await context.keg.log({ path, all: true, from: version, limit: 2, ...context.cancel })
    if (!row) throw new OsError('ENOENT', `no version '${version}' is remembered`)
    const past =
      before && (await context.keg.diff(String(before.version), String(row.version), { path, ...context.cancel }))
    const { changes, more } = past ?? { changes: [], more: false }
    if (options.json) {
      await context.printJson({ ...row, since: before?.version ?? null, changes, more })
      return 0
    }
    const rows: [string, string][] = [
      ['Version', String(row.version)],
      ['Names', row.names.join(' ')],
      ['When', formatTime(row.atMs)],
      ['By', row.by ?? ''],
      ['Commit', committed(row)],
      ['Parent', row.parent ?? ''],
      ['KID', row.kid],
    ]
    const lines = rows.filter(([, text]) => text !== '').map(([name, text]) => `${`${name}:`.padEnd(10)}${text}\n`)
    await context.print(`${lines.join('')}\n${since(row, before)}${formatChanges(changes, more, path)}`)
    return 0
  },
)
