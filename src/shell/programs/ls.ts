// ls: what is in a directory.
import { OsError } from '../../base/errors.ts'
import type { DirectoryEntry } from '../../syscalls/types.ts'
import { baseName, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, jsonOption, type ProgramContext } from '../program.ts'
import { formatColumns, formatTime, printable } from '../table.ts'

interface Row extends DirectoryEntry {
  path: string
}

/** One operand: a directory with its entries, or anything else as it is. */
interface Listed {
  operand: string
  directory: boolean
  rows: Row[]
}

export const ls = defineProgram(
  {
    name: 'ls',
    summary: 'List files',
    usage: ['[OPTION]... [PATH]...'],
    options: {
      all: { short: 'a', help: 'names that begin with . as well' },
      long: { short: 'l', help: 'kind (d directory, - file, s stream), size in bytes and time of change' },
      ...jsonOption,
    },
  },
  async (context, { options, operands }) => {
    const listed: Listed[] = []
    const code = await forEachOperand(
      context,
      operands.length > 0 ? operands : ['.'],
      async (operand) => void listed.push(await list(context, operand, options.all)),
      { failure: 2, describe: (operand) => `cannot access '${operand}'` },
    )
    if (options.json) {
      await context.printJson(listed.flatMap(({ rows }) => rows))
      return code
    }
    const format = (rows: readonly Row[]) => (options.long ? longFormat : shortFormat)(rows, context)
    const files = listed.filter(({ directory }) => !directory).flatMap(({ rows }) => rows)
    const blocks = files.length > 0 ? [format(files)] : []
    for (const { operand, rows } of listed.filter(({ directory }) => directory)) {
      const shown = options.all ? [...dots(rows), ...rows] : rows
      blocks.push((operands.length > 1 ? `${operand}:\n` : '') + format(shown))
    }
    await context.print(blocks.join('\n'))
    return code
  },
)

async function list(context: ProgramContext, operand: string, all: boolean): Promise<Listed> {
  const path = context.path(operand)
  const { info } = await context.fs.stat(path, context.cancel)
  if (info.kind !== 'directory') {
    if (operand.endsWith('/')) throw new OsError('ENOTDIR', `${operand} is not a directory`)
    const { kind, size, mtimeMs } = info
    return { operand, directory: false, rows: [{ name: operand, path, kind, size, mtimeMs }] }
  }
  const entries = await context.fs.readdir(path, { withFileTypes: true, ...context.cancel })
  const rows = entries
    .filter(({ name }) => all || !name.startsWith('.'))
    .map(({ name, kind, size, mtimeMs }) => ({ name, path: joinPath(path, name), kind, size, mtimeMs }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return { operand, directory: true, rows }
}

/** `.` and `..`, which the tree does not store. */
function dots(rows: readonly Row[]): Row[] {
  const mtimeMs = Math.max(0, ...rows.map((row) => row.mtimeMs))
  return ['.', '..'].map((name) => ({ name, path: name, kind: 'directory', size: 0, mtimeMs }))
}

function shortFormat(rows: readonly Row[], context: ProgramContext): string {
  if (!context.stdout.isTerminal) return rows.map((row) => `${row.name}\n`).join('')
  return formatColumns(
    rows.map((row) => row.name + (row.kind === 'directory' && baseName(row.name) !== '.' ? '/' : '')),
    context.columns,
  )
}

const KIND_LETTERS = { directory: 'd', file: '-', stream: 's' } as const

function longFormat(rows: readonly Row[], context: ProgramContext): string {
  const shown = context.stdout.isTerminal ? printable : (name: string) => name
  const width = Math.max(0, ...rows.map((row) => String(row.size).length))
  return rows
    .map((row) => {
      const time = row.mtimeMs > 0 ? formatTime(row.mtimeMs) : ''.padEnd(16)
      return `${KIND_LETTERS[row.kind]}  ${String(row.size).padStart(width)}  ${time}  ${shown(row.name)}\n`
    })
    .join('')
}
