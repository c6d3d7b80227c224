// df: storage of the nodes.
import { formatBytes } from '../../base/bytes.ts'
import { shortNode } from '../../base/ids.ts'
import type { StorageRow } from '../../syscalls/types.ts'
import { defineProgram, jsonOption } from '../program.ts'
import type { Column } from '../table.ts'
import { healthLine, healthOf } from './fsck.ts'

const COLUMNS: readonly Column<StorageRow>[] = [
  { title: 'NODE', text: (row) => shortNode(row.node) },
  { title: 'DEVICE', text: (row) => row.device.slice(0, 8) },
  { title: 'USED', right: true, text: (row) => formatBytes(row.usedBytes) },
  { title: 'QUOTA', right: true, text: (row) => formatBytes(row.quotaBytes) },
  { title: 'USE%', right: true, text: (row) => percent(row) },
  { title: 'BLOCKS', right: true, text: (row) => String(row.blocks) },
  { title: 'KEPT', text: (row) => (row.persisted ? 'persistent' : 'best effort') },
]

function percent(row: StorageRow): string {
  if (row.storage === 'exhausted') return 'full'
  return row.quotaBytes > 0 ? `${Math.ceil((row.usedBytes / row.quotaBytes) * 100)}%` : '-'
}

export const df = defineProgram(
  {
    name: 'df',
    summary: 'Show the storage of the nodes, and what / takes of it',
    usage: ['[--json] [PATH]'],
    details:
      'Tabs of one device share its quota. The browser may evict what is kept as best effort. fsck tells more of /.\nWith a PATH: what that takes.',
    options: jsonOption,
    operands: [0, 1],
  },
  async (context, { options, operands: [operand = '/'] }) => {
    const { path, health } = await healthOf(context, operand)
    const peers = await context.client.info('peers', context.cancel)
    const rows = await context.client.info('storage', context.cancel)
    const told = new Set(rows.map(({ node }) => node))
    for (const { id, state } of peers) {
      if (!told.has(id)) await context.complain(`${shortNode(id)} (${state}) did not answer: its storage is not shown`)
    }
    if (options.json) {
      await context.printJson(rows)
      return 0
    }
    await context.printTable(rows, COLUMNS)
    await context.print(`\n${healthLine(path, health)}\n`)
    return 0
  },
)
