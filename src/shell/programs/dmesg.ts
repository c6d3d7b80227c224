// dmesg: what this tab's kernel has logged lately.
import type { LogLine } from '../../syscalls/types.ts'
import { UsageError } from '../options.ts'
import { defineProgram, jsonOption } from '../program.ts'
import { formatTime } from '../table.ts'

const LEVELS: readonly LogLine['level'][] = ['debug', 'info', 'warn', 'error']

export const dmesg = defineProgram(
  {
    name: 'dmesg',
    summary: 'Print the latest messages of this kernel',
    usage: ['[--level LEVEL] [--json]'],
    details: `LEVEL is one of ${LEVELS.join(', ')}.`,
    options: { level: { value: 'LEVEL', help: 'leave out what is less grave' }, ...jsonOption },
    operands: [0, 0],
  },
  async (context, { options }) => {
    const least = LEVELS.findIndex((level) => level === (options.level ?? 'debug'))
    if (least < 0) throw new UsageError(`there is no level '${options.level}': use ${LEVELS.join(', ')}`)
    const all = await context.client.info('log', context.cancel)
    const lines = all.filter(({ level }) => LEVELS.indexOf(level) >= least)
    if (options.json) await context.printJson(lines)
    else await context.print(lines.map(text).join(''))
    return 0
  },
)

function text({ atMs, level, area, message, fields }: LogLine): string {
  const more = Object.keys(fields).length > 0 ? ` ${JSON.stringify(fields)}` : ''
  return `${formatTime(atMs)} ${level.padEnd(5)} ${area}: ${message}${more}\n`
}
