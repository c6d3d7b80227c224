// keg diff: what changed between two versions.

import { UsageError } from '../../options.ts'
import { defineProgram, jsonOption } from '../../program.ts'
import { formatChanges, withPath } from './versions.ts'

export const diff = defineProgram(
  {
    name: 'keg diff',
    summary: 'List what changed from one version to another',
    usage: ['[OPTION]... VERSION [VERSION] [PATH]'],
    details:
      'To the newest one, unless told. A: added, M: changed, D: removed. A PATH has a slash in it: versions are of its keg.',
    examples: ['keg diff 12', 'keg diff HEAD~3 HEAD /home', 'cat /keg/12/notes.txt'],
    options: jsonOption,
    operands: [1, 3],
  },
  async (context, { options, operands }) => {
    const { words, path } = withPath(context, operands)
    const [from, to = 'HEAD', extra] = words
    if (from === undefined) throw new UsageError('missing VERSION')
    if (extra !== undefined) throw new UsageError('two versions and one path at most')
    const { changes, more } = await context.keg.diff(from, to, { path, ...context.cancel })
    if (options.json) await context.printJson({ changes, more })
    else await context.print(formatChanges(changes, more, path))
    return 0
  },
)
