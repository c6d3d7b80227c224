// ps: processes of the cluster.
import { shortKid, shortNode } from '../../base/ids.ts'
import type { ProcessRow } from '../../syscalls/types.ts'
import { defineProgram, jsonOption } from '../program.ts'
import { type Column, formatDuration, printable } from '../table.ts'

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
    usage: ['[--tree | --json]'],
    details: [
      'DONE is events completed / events known so far; TABS is how many of them took part.',
      'With --tree: under each process the tabs that work for it now, and what they are running.',
    ].join('\n'),
    examples: ['ps', 'ps --tree'],
    options: { tree: { short: 't', help: 'show which tabs are running what' }, ...jsonOption },
    operands: [0, 0],
  },
  async (context, { options }) => {
    const rows = await context.client.info('processes', context.cancel)
    if (options.json) await context.printJson(rows)
    else if (options.tree) await context.print(rows.map(branch).join('') || 'no processes\n')
    else await context.printTable(rows, columns(context.host.now()))
    return 0
  },
)

/** A process, and the tabs that work for it. */
function branch(row: ProcessRow): string {
  const { kid, program, args, state, code, done, total, home, working } = row
  const name = [program, ...args].join(' ')
  const lines = [`${shortKid(kid)}  ${code ? `${state} (${code})` : state}  ${done}/${total}  ${name}`]
  const tabs = new Map<string, string[]>()
  for (const { node, task, event } of working) tabs.set(node, [...(tabs.get(node) ?? []), `${task} ${event}`])
  if (state === 'running' && !tabs.has(home)) tabs.set(home, [])
  let left = tabs.size
  for (const [node, events] of tabs) {
    const limb = --left === 0 ? '└─' : '├─'
    lines.push(`${limb} ${shortNode(node)}${node === home ? ' (home)' : ''}  ${events.join(', ')}`)
  }
  return `${lines.map((line) => printable(line).trimEnd()).join('\n')}\n`
}
