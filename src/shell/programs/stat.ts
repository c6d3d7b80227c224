// stat: what is known of a file.
import type { FileInfo } from '../../syscalls/types.ts'
import { defineProgram, forEachOperand, jsonOption } from '../program.ts'
import { formatMode, formatTime } from '../table.ts'

/** @param name as it is shown. */
function lines(name: string, info: FileInfo): string {
  const { kind, size, mode, mtimeMs, kid, cid, chunks, keg } = info
  const rows: [string, string | undefined][] = [
    ['File', name],
    ['Type', kind],
    ['Size', String(size)],
    ['Mode', `${mode.toString(8).padStart(4, '0')} ${formatMode(info)}`],
    ['Modified', mtimeMs > 0 ? formatTime(mtimeMs) : undefined],
    ['KID', kid],
    ['CID', cid],
    ['Chunks', chunks],
    ['Keg', keg],
  ]
  return rows.map(([title, value]) => (value === undefined ? '' : `${`${title}:`.padEnd(10)}${value}\n`)).join('')
}

export const stat = defineProgram(
  {
    name: 'stat',
    summary: 'Show what is known of files',
    usage: ['[OPTION]... PATH...'],
    options: { dereference: { short: 'L', help: 'what links lead to, not links themselves' }, ...jsonOption },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const found: FileInfo[] = []
    const code = await forEachOperand(
      context,
      operands,
      async (operand) => {
        const path = context.named(operand)
        const { info } = await (options.dereference
          ? context.fs.stat(path, context.cancel)
          : context.fs.lstat(path, context.cancel))
        found.push(info)
        const { target } = info
        const name = context.shown(target === undefined ? operand : `${operand} -> ${target}`)
        if (!options.json) await context.print(lines(name, info))
      },
      { describe: (operand) => `cannot stat '${operand}'` },
    )
    if (options.json) await context.printJson(found)
    return code
  },
)
