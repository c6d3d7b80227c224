// peers: the other tabs of the cluster.
import { shortNode } from '../../base/ids.ts'
import type { PeerRow } from '../../syscalls/types.ts'
import { defineProgram, jsonOption } from '../program.ts'
import type { Column } from '../table.ts'

const COLUMNS: readonly Column<PeerRow>[] = [
  { title: 'NODE', text: (row) => shortNode(row.id) },
  { title: 'DEVICE', text: (row) => row.device.slice(0, 8) },
  { title: 'STATE', text: (row) => row.state },
  { title: 'DIRECT', text: (row) => (row.direct ? 'yes' : 'no') },
  { title: 'RTT', right: true, text: (row) => (row.rttMs === null ? '-' : `${row.rttMs.toFixed(1)} ms`) },
  { title: 'RUNNING', right: true, text: (row) => `${row.running}/${row.slots}` },
]

export const peers = defineProgram(
  {
    name: 'peers',
    summary: 'List the tabs that this one knows',
    usage: ['[--json]'],
    details: 'RUNNING is events running now / workers offered.',
    options: jsonOption,
    operands: [0, 0],
  },
  async (context, { options }) => {
    const rows = await context.client.info('peers', context.cancel)
    if (options.json) await context.printJson(rows)
    else if (rows.length === 0) await context.print('No other tabs yet. Open one more, or use invite.\n')
    else await context.printTable(rows, COLUMNS)
    return 0
  },
)
