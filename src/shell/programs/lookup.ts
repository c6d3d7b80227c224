// lookup: what the directory says about a name.
import { OsError } from '../../base/errors.ts'
import { type RecordNamespace, recordNamespaces } from '../../syscalls/table.ts'
import type { RecordAnswer } from '../../syscalls/types.ts'
import { UsageError } from '../options.ts'
import { defineProgram, jsonOption } from '../program.ts'

export const lookup = defineProgram(
  {
    name: 'lookup',
    summary: 'Ask the directory who answers for a name',
    usage: ['[--json] KIND NAME'],
    details: `KIND is one of ${recordNamespaces.join(', ')}; a provider may be named by the path of its file.`,
    options: jsonOption,
    operands: [2, 2],
  },
  async (context, { options, operands: [kind = '', operand = ''] }) => {
    const namespace = recordNamespaces.find((known): known is RecordNamespace => known === kind)
    if (!namespace) throw new UsageError(`there is no kind '${kind}': use ${recordNamespaces.join(', ')}`)
    const isPath = namespace === 'provider' && operand.includes('/')
    const info = isPath ? (await context.fs.stat(context.path(operand), context.cancel)).info : undefined
    if (info && info.cid === undefined) throw new OsError('EINVAL', 'generated content has no CID')
    const args = { topic: 'record', namespace, name: info?.cid ?? operand } as const
    const record = (await context.client.call('info', args, context.cancel)) as RecordAnswer | null
    if (options.json) await context.printJson(record)
    else if (record) await context.print(record.nodes.map((node) => `${node}\n`).join(''))
    else await context.complain(`nobody answers for ${operand}`)
    return record ? 0 : 1
  },
)
