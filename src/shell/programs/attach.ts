// attach: shows a process that runs already, wherever it was started.
import { OsError } from '../../base/errors.ts'
import { isKidPrefix } from '../../base/ids.ts'
import { followProcess } from '../processes.ts'
import { defineProgram } from '../program.ts'

export const attach = defineProgram(
  {
    name: 'attach',
    summary: 'Show a process of the cluster, from its first line of output',
    usage: ['KID'],
    details: [
      'Any tab may attach to any process, also to one that has ended. It waits for the end and exits with the code of the',
      'process. Ctrl-C leaves the process running; `kill` ends it.',
    ].join('\n'),
    examples: ['run --detach sort.js /big.txt', 'attach K-0123abcd'],
    options: {},
    operands: [1, 1],
  },
  async (context, { operands: [text = ''] }) => {
    if (!isKidPrefix(text)) throw new OsError('EINVAL', 'a process is named by its KID, e.g. K-0123abcd')
    const rows = await context.client.info('processes', context.cancel)
    const found = rows.filter((row) => row.kid.startsWith(text))
    if (found.length > 1) throw new OsError('EINVAL', `${text} is ambiguous: ${found.map(({ kid }) => kid).join(', ')}`)
    const [row] = found
    if (!row) throw new OsError('ESRCH', `there is no process ${text}`)
    const exit = await followProcess(context, row.kid, { kills: false })
    if (exit.error !== null) await context.complain(`${row.program}: ${exit.error}`)
    return exit.code
  },
)
