// log: what the journal of a process tells, in order.
import { shortNode } from '../../base/ids.ts'
import type { HistoryRow } from '../../syscalls/types.ts'
import { processHistory } from '../journal.ts'
import { defineProgram, jsonOption } from '../program.ts'
import { printable } from '../table.ts'

const PAGE = 256

export const log = defineProgram(
  {
    name: 'log',
    summary: 'Show the journal of a process',
    usage: ['[--json] KID'],
    details: [
      'One line for each thing that happened: seconds since the start, what, which event and task, on which tab, and why',
      'there or how it went. The journal survives the tab that keeps it, so this is the same in every tab. `why` sums it up.',
    ].join('\n'),
    examples: ['run --detach sort.js /big.txt', 'log K-0123abcd'],
    options: jsonOption,
    operands: [1, 1],
  },
  async (context, { options, operands: [kid = ''] }) => {
    const rows: HistoryRow[] = []
    let startMs: number | null = null
    for await (const row of processHistory(context, kid)) {
      startMs ??= row.atMs
      rows.push(row)
      if (options.json || rows.length < PAGE) continue
      await context.print(
        rows
          .splice(0)
          .map((each) => lineOf(each, startMs))
          .join(''),
      )
    }
    if (options.json) await context.printJson(rows)
    else await context.print(rows.map((each) => lineOf(each, startMs)).join(''))
    return 0
  },
)

function lineOf({ what, atMs, event, task, node, detail }: HistoryRow, startMs: number | null): string {
  const since = atMs === null || startMs === null ? '' : ((atMs - startMs) / 1000).toFixed(2)
  const about = event === null ? '' : `${event} ${task ?? '?'}`
  const cells = [since.padStart(8), what.padEnd(9), about.padEnd(16), (node ? shortNode(node) : '').padEnd(8), detail]
  return `${printable(cells.join('  ')).trimEnd()}\n`
}
