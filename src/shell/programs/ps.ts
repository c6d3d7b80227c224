// ps: processes of the cluster.
import { shortKid, shortNode } from '../../base/ids.ts'
import type { ProcessRow } from '../../syscalls/types.ts'
import { defineProgram, jsonOption } from '../program.ts'
import { type Column, formatDuration, formatTable } from '../table.ts'

function columns(nowMs: number): readonly Column<ProcessRow>[] {
  return [
    { title: 'KID', text: (row) => shortKid(row.kid) },
    { title: 'STATE', text: (row) => (row.code ? `${row.state} (${row.code})` : row.state) },
    { title: 'HOME', text: (row) => shortNode(row.home) },
    { title: 'DONE', right: true, text: (row) => `${row.done}/${row.total}` },
    { title: 'TABS', right: true, text: (row) => String(row.nodes) },
    { title: 'TIME', right: true, text: (row) => formatDuration((row.endedMs ?? nowMs) - row.startedMs) },
    { title: 'PROGRAM', text: (row) => [row.program, ...row.args].join(' ') },
  ]
}

export const ps = defineProgram(
  {
    name: 'ps',
    summary: 'List processes',
    usage: ['[--json]'],
    details: 'DONE is events completed / events known so far; TABS is how many of them took part.',
    options: jsonOption,
    operands: [0, 0],
  },
  async (context, { options }) => {
    const rows = await context.client.info('processes', context.cancel)
    if (options.json) await context.printJson(rows)
    else await context.print(formatTable(rows, columns(context.host.now())))
    return 0
  },
)
