// ls: what is in a directory.

import { formatBytes } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { ASIDE } from '../../syscalls/mounts.ts'
import type { DirectoryEntry, FileInfo } from '../../syscalls/types.ts'
import { baseName, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, jsonOption, type ProgramContext } from '../program.ts'
import { formatColumns, formatMode, formatTime, printable } from '../table.ts'
import { readable } from './walk.ts'

interface Row extends DirectoryEntry {
  path: string
  /** Where a symbolic link leads. */
  target?: string
}

/** A directory with its entries, or anything else as it is. */
interface Listed {
  /** As it was asked for. */
  operand: string
  directory: boolean
  rows: Row[]
}

interface Options {
  all: boolean
  long: boolean
  recursive: boolean
  directory: boolean
  human: boolean
  time: boolean
  size: boolean
  reverse: boolean
  one: boolean
  json: boolean
}

export const ls = defineProgram(
  {
    name: 'ls',
    summary: 'List files',
    usage: ['[OPTION]... [PATH]...'],
    options: {
      all: { short: 'a', help: 'names that begin with . as well' },
      long: { short: 'l', help: 'mode, size in bytes and time of change of each, and where links lead' },
      recursive: { short: 'R', help: 'directories below as well' },
      directory: { short: 'd', help: 'directories themselves, not what is in them' },
      human: { short: 'h', help: 'sizes in KiB, MiB, …' },
      time: { short: 't', help: 'the latest first' },
      size: { short: 'S', help: 'the largest first' },
      reverse: { short: 'r', help: 'in reverse order' },
      one: { short: '1', help: 'one name on each line' },
      ...jsonOption,
    },
  },
  async (context, { options, operands }) => {
    const listed: Listed[] = []
    const code = await forEachOperand(
      context,
      operands.length > 0 ? operands : ['.'],
      (operand) => list(context, operand, options, listed),
      { failure: 2, describe: (operand) => `cannot access '${operand}'` },
    )
    if (options.json) {
      await context.printJson(listed.flatMap(({ rows }) => rows))
      return code
    }
    const format = (rows: readonly Row[]) => (options.long ? longFormat : shortFormat)(rows, options, context)
    const files = listed.filter(({ directory }) => !directory).flatMap(({ rows }) => rows)
    const blocks = files.length > 0 ? [format(sorted(files, options))] : []
    const headed = options.recursive || operands.length > 1
    for (const { operand, rows } of listed.filter(({ directory }) => directory)) {
      const shown = options.all ? [...dots(rows), ...rows] : rows
      blocks.push((headed ? `${operand}:\n` : '') + format(shown))
    }
    await context.print(blocks.join('\n'))
    return code
  },
)

async function list(context: ProgramContext, operand: string, options: Options, listed: Listed[]): Promise<void> {
  const path = context.path(operand)
  const { info } = await stat(context, operand, options)
  if (info.kind !== 'directory' || options.directory) {
    if (operand.endsWith('/') && info.kind !== 'directory')
      throw new OsError('ENOTDIR', `${operand} is not a directory`)
    listed.push({ operand, directory: false, rows: [rowOf(operand, path, info)] })
    return
  }
  const entries = await context.fs.readdir(path, { withFileTypes: true, ...context.cancel })
  const rows: Row[] = []
  for (const { name, kind, size, mtimeMs, mode } of entries) {
    if (name.startsWith('.') && !options.all) continue
    const row: Row = { name, path: joinPath(path, name), kind, size, mtimeMs, mode }
    if (kind === 'symlink' && (options.long || options.json)) {
      const target = await readable(context, row.path, () => context.fs.readlink(row.path))
      if (target !== undefined) row.target = target
    }
    rows.push(row)
  }
  const shown = sorted(rows, options)
  listed.push({ operand, directory: true, rows: shown })
  if (!options.recursive) return
  for (const row of shown) {
    const name = joinPath(operand, row.name)
    if (row.kind !== 'directory' || ASIDE.has(row.path)) continue
    await readable(context, name, () => list(context, name, options, listed))
  }
}

/** Of a link that was asked for by name: what it leads to, unless links are what is shown. */
async function stat(context: ProgramContext, operand: string, { long, directory }: Options) {
  const path = context.path(operand)
  if (!operand.endsWith('/') && (long || directory)) return context.fs.lstat(path, context.cancel)
  try {
    return await context.fs.stat(path, context.cancel)
  } catch (error) {
    // A link that leads nowhere is there all the same.
    if (error instanceof OsError && error.code === 'ENOENT') return context.fs.lstat(path, context.cancel)
    throw error
  }
}

function rowOf(name: string, path: string, { kind, size, mtimeMs, mode, target }: FileInfo): Row {
  return { name, path, kind, size, mtimeMs, mode, ...(target === undefined ? {} : { target }) }
}

function sorted(rows: readonly Row[], { time, size, reverse }: Options): Row[] {
  const byName = (a: Row, b: Row) => (a.name < b.name ? -1 : 1)
  const compare = (a: Row, b: Row) => (time ? b.mtimeMs - a.mtimeMs : size ? b.size - a.size : 0) || byName(a, b)
  const out = [...rows].sort(compare)
  return reverse ? out.reverse() : out
}

/** `.` and `..`, which the tree does not store. */
function dots(rows: readonly Row[]): Row[] {
  const mtimeMs = Math.max(0, ...rows.map((row) => row.mtimeMs))
  return ['.', '..'].map((name) => ({ name, path: name, kind: 'directory', size: 0, mtimeMs, mode: 0o755 }))
}

function shortFormat(rows: readonly Row[], { one }: Options, context: ProgramContext): string {
  if (one || !context.stdout.isTerminal) return rows.map((row) => `${row.name}\n`).join('')
  const mark = ({ kind, name }: Row) => {
    if (kind === 'symlink') return '@'
    return kind === 'directory' && baseName(name) !== '.' ? '/' : ''
  }
  return formatColumns(
    rows.map((row) => row.name + mark(row)),
    context.columns,
  )
}

function longFormat(rows: readonly Row[], { human }: Options, context: ProgramContext): string {
  const shown = context.stdout.isTerminal ? printable : (name: string) => name
  const sizes = rows.map(({ size }) => (human ? formatBytes(size) : String(size)))
  const width = Math.max(0, ...sizes.map(({ length }) => length))
  return rows
    .map((row, i) => {
      const time = row.mtimeMs > 0 ? formatTime(row.mtimeMs) : ''.padEnd(16)
      const leads = row.target === undefined ? '' : ` -> ${shown(row.target)}`
      return `${formatMode(row)}  ${(sizes[i] ?? '').padStart(width)}  ${time}  ${shown(row.name)}${leads}\n`
    })
    .join('')
}
