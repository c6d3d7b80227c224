// fsck: whether every block of / is on enough devices, and what to do if not.
import { formatBytes } from '../../base/bytes.ts'
import { shortNode } from '../../base/ids.ts'
import type { TreeHealth } from '../../syscalls/types.ts'
import { saying } from '../messages.ts'
import { defineProgram, jsonOption, type ProgramContext } from '../program.ts'
import { showing } from '../progress.ts'
import { printable } from '../table.ts'

/** Blocks on too few devices. */
const UNDER = 1
/** Blocks on none. */
const LOST = 4

const AWAY = 'lost, unless a device that is away has them'
const NOT_FOUND = 'on none that answered'

const many = (count: number, one: string, more: string) => `${count} ${count === 1 ? one : more}`

/** @param path of what was looked at. */
export function healthLine(path: string, health: TreeHealth): string {
  const { files, directories, logicalBytes, storedBytes, physicalBytes, devices, target, under, lost, silent } = health
  const found = `${many(files, 'file', 'files')} in ${many(directories, 'directory', 'directories')}`
  const what = `${found} ${files === 1 ? 'holds' : 'hold'} ${formatBytes(logicalBytes)}`
  const where = `${formatBytes(storedBytes)} stored once, ${formatBytes(physicalBytes)} on ${many(devices, 'device', 'devices')}`
  const trouble = [
    ...(under > 0 ? [`${many(under, 'block', 'blocks')} on fewer than ${target} devices`] : []),
    ...(lost > 0 ? [`${many(lost, 'block', 'blocks')} ${silent.length > 0 ? NOT_FOUND : AWAY}`] : []),
    ...(silent.length > 0 ? [`${silent.map(shortNode).join(', ')} did not say all that is there: ask again`] : []),
  ]
  const well = target === 1 ? 'no block is lost' : `all blocks are on ${target} or more devices`
  return `${printable(path)}: ${what}: ${where}\n${trouble.length > 0 ? trouble.join('; ') : well}`
}

/** Looks at all blocks there, which takes long where there are many. @throws {Complaint} */
export function healthOf(context: ProgramContext, operand: string): Promise<{ path: string; health: TreeHealth }> {
  return saying(`cannot check '${operand}'`, async () => {
    const path = context.path(operand)
    const args = { topic: 'health', path } as const
    const health = (await showing(context, 'checking', (how) => context.client.call('info', args, how))) as TreeHealth
    return { path, health }
  })
}

export const fsck = defineProgram(
  {
    name: 'fsck',
    summary: 'Check that every block of / is on enough devices',
    usage: ['[OPTION]... [PATH]'],
    details: [
      'Looks for each block of what is at PATH and below, or of all, on every node that is here. With --repair those that',
      'keep / look for all of it first, and fetch what they lack. Exit code 1: too few devices have some, or one that is',
      'here did not say what it has; 4: none has.',
    ].join('\n'),
    options: { repair: { short: 'r', help: 'fetch what is missing where it should be' }, ...jsonOption },
    operands: [0, 1],
  },
  async (context, { options, operands: [operand = '/'] }) => {
    if (options.repair) {
      await showing(context, 'repairing', (how) => context.client.call('change', { op: 'repair' }, how))
    }
    const { path, health } = await healthOf(context, operand)
    if (options.json) await context.printJson(health)
    else {
      await context.print(`${healthLine(path, health)}\n`)
      const { troubles } = health
      const columns = [
        { title: 'DEVICES', right: true, text: (row: (typeof troubles)[number]) => String(row.devices) },
        { title: 'BLOCK', text: (row: (typeof troubles)[number]) => row.cid },
        { title: 'OF', text: (row: (typeof troubles)[number]) => printable(row.path) },
      ]
      if (troubles.length > 0) await context.print(`\n${context.table(troubles, columns)}`)
      const more = health.under + health.lost - troubles.length
      if (more > 0) await context.print(`… and ${more} more\n`)
    }
    const { under, lost, silent } = health
    if (lost > 0 && silent.length === 0) return LOST
    return under + lost + silent.length > 0 ? UNDER : 0
  },
)
