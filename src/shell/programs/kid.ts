// kid: the identifier of a file's content.
import { OsError } from '../../base/errors.ts'
import type { FileInfo } from '../../syscalls/types.ts'
import { defineProgram, forEachOperand, jsonOption } from '../program.ts'

export const kid = defineProgram(
  {
    name: 'kid',
    summary: 'Print the identifier of what a path holds',
    usage: ['[OPTION]... PATH...'],
    details: [
      'Equal content has an equal KID, on every node and at any time. The CID is the one that any IPFS tool gives the same',
      'files (profile unixfs-v1-2025), also of a directory.',
    ].join('\n'),
    options: { cid: { help: 'print the IPFS-compatible CID' }, ...jsonOption },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const rows: { path: string; kid: string; cid: string }[] = []
    const code = await forEachOperand(context, operands, async (operand) => {
      const path = context.named(operand)
      const args = { topic: 'path', path, ...(options.cid ? { plain: true } : {}) } as const
      const info = (await context.client.call('info', args, context.cancel)) as FileInfo
      const { kid, cid } = info
      if (kid === undefined || cid === undefined) throw new OsError('EINVAL', 'generated content has no KID')
      rows.push({ path: info.path, kid, cid })
      const shown = options.cid ? cid : kid
      if (!options.json)
        await context.print(operands.length > 1 ? `${shown}  ${context.shown(operand)}\n` : `${shown}\n`)
    })
    if (options.json) await context.printJson(rows)
    return code
  },
)
