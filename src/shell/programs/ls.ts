// ls: what is in a directory.

import { formatBytes } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { ASIDE } from '../../syscalls/mounts.ts'
import type { DirectoryEntry, FileInfo } from '../../syscalls/types.ts'
import { Lines } from '../lines.ts'
import { baseName, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, jsonOption, type ProgramContext } from '../program.ts'
import { formatColumns, formatMode, formatTime, printable } from '../table.ts'
import { readable } from './walk.ts'

const EXECUTABLE = 0o111

interface Row extends DirectoryEntry {
  path: string
  /** Where a symbolic link leads. */
  target?: string
}

interface Options {
  all: boolean
  'almost-all': boolean
  classify: boolean
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
      'almost-all': { short: 'A', help: 'the same without . and ..' },
      long: { short: 'l', help: 'mode, size in bytes and time of change of each, and where links lead' },
      recursive: { short: 'R', help: 'directories below as well' },
      directory: { short: 'd', help: 'directories themselves, not what is in them' },
      human: { short: 'h', help: 'sizes in KiB, MiB, …' },
      time: { short: 't', help: 'the latest first' },
      size: { short: 'S', help: 'the largest first' },
      reverse: { short: 'r', help: 'in reverse order' },
      classify: { short: 'F', help: 'after names: / of directories, @ of links, * of programs' },
      one: { short: '1', help: 'one name on each line' },
      ...jsonOption,
    },
  },
  async (context, { options, operands }) => {
    const files: Row[] = []
    const directories: string[] = []
    const failed = { failure: 2, describe: (operand: string) => `cannot access '${operand}'` }
    const sort = async (operand: string) => {
      const { info } = await stat(context, operand, options)
      const directory = info.kind === 'directory'
      if (directory && !options.directory) directories.push(operand)
      else files.push(rowOf(operand, context.path(operand), info))
    }
    const found = await forEachOperand(context, operands.length > 0 ? operands : ['.'], sort, failed)
    const listing = new Listing(context, options, operands.length > 1)
    if (files.length > 0) await listing.files(files)
    const read = await forEachOperand(context, directories, (operand) => listing.directory(operand), failed)
    if (options.json) await context.printJson(listing.rows)
    return Math.max(found, read)
  },
)

/** Files and directories one after the other. */
class Listing {
  readonly #context: ProgramContext
  readonly #options: Options
  readonly #headed: boolean
  #first = true
  /** All of them, where they are to be JSON: then nothing else is printed. */
  readonly rows: Row[] = []

  constructor(context: ProgramContext, options: Options, several: boolean) {
    this.#context = context
    this.#options = options
    this.#headed = several || options.recursive
  }

  files(rows: readonly Row[]): Promise<void> {
    return this.#show(sorted(rows, this.#options))
  }

  /** With those below, where that is asked for. @throws {OsError} for the directory itself. */
  async directory(operand: string): Promise<void> {
    const rows = rowsIn(this.#context, operand, this.#options)
    const below = this.#streams ? await this.#stream(operand, rows) : await this.#whole(operand, rows)
    if (!this.#options.recursive) return
    for (const row of below) {
      if (row.kind !== 'directory' || ASIDE.has(row.path)) continue
      const name = joinPath(operand, row.name)
      await readable(this.#context, name, () => this.directory(name))
    }
  }

  /** Whether a row can be printed before the next one is known. */
  get #streams(): boolean {
    const { long, time, size, reverse, one, json } = this.#options
    return !(long || time || size || reverse || json) && (one || !this.#context.stdout.isTerminal)
  }

  /** @returns the directories among them. */
  async #stream(operand: string, rows: AsyncIterable<Row>): Promise<Row[]> {
    const directories: Row[] = []
    const lines = new Lines(this.#context)
    // Of one that cannot be read nothing is printed.
    let heading = () => {
      heading = () => ''
      return this.#heading(operand) + (this.#options.all ? plain(dots([]), this.#options, this.#context) : '')
    }
    for await (const row of rows) {
      if (row.kind === 'directory') directories.push(row)
      await lines.add(heading() + plain([row], this.#options, this.#context))
    }
    await lines.add(heading())
    await lines.flush()
    return directories
  }

  /** @returns them as they are shown. */
  async #whole(operand: string, rows: AsyncIterable<Row>): Promise<Row[]> {
    const all: Row[] = []
    for await (const row of rows) all.push(row)
    const shown = sorted(all, this.#options)
    await this.#show(shown, operand)
    return shown
  }

  /** @param operand of a directory that they are in. */
  async #show(rows: readonly Row[], operand?: string): Promise<void> {
    if (this.#options.json) {
      for (const row of rows) this.rows.push(row)
      return
    }
    const shown = operand !== undefined && this.#options.all ? [...dots(rows), ...rows] : rows
    const format = this.#options.long ? longFormat : shortFormat
    await this.#context.print(this.#heading(operand) + format(shown, this.#options, this.#context))
  }

  /** What stands before the rows of a directory, or before files. */
  #heading(operand: string | undefined): string {
    const gap = this.#first ? '' : '\n'
    this.#first = false
    return operand !== undefined && this.#headed ? `${gap}${operand}:\n` : gap
  }
}

/** What is in a directory, sorted by name. @throws {OsError} */
async function* rowsIn(context: ProgramContext, operand: string, options: Options): AsyncGenerator<Row> {
  const path = context.path(operand)
  const { long, json } = options
  const all = options.all || options['almost-all']
  for await (const { name, kind, size, mtimeMs, mode } of context.fs.opendir(path, context.cancel)) {
    if (name.startsWith('.') && !all) continue
    const row: Row = { name, path: joinPath(path, name), kind, size, mtimeMs, mode }
    if (kind === 'symlink' && (long || json)) {
      const target = await readable(context, row.path, () => context.fs.readlink(row.path))
      if (target !== undefined) row.target = target
    }
    yield row
  }
}

/** Of a link that was asked for by name: what it leads to, unless links are what is shown. */
async function stat(context: ProgramContext, operand: string, { long, directory }: Options) {
  const path = context.named(operand)
  if (long || directory) return context.fs.lstat(path, context.cancel)
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
  const mtimeMs = rows.reduce((latest, row) => Math.max(latest, row.mtimeMs), 0)
  return ['.', '..'].map((name) => ({ name, path: name, kind: 'directory', size: 0, mtimeMs, mode: 0o755 }))
}

/** What tells the kind of a thing after its name. */
function mark({ kind, mode }: Row): string {
  if (kind === 'directory') return '/'
  if (kind === 'symlink') return '@'
  return mode & EXECUTABLE ? '*' : ''
}

function plain(rows: readonly Row[], { classify }: Options, context: ProgramContext): string {
  return rows.map((row) => `${context.shown(row.name)}${classify ? mark(row) : ''}\n`).join('')
}

function shortFormat(rows: readonly Row[], options: Options, context: ProgramContext): string {
  if (options.one || !context.stdout.isTerminal) return plain(rows, options, context)
  const marked = (row: Row) => {
    if (options.classify) return mark(row)
    if (row.kind === 'symlink') return '@'
    return row.kind === 'directory' && baseName(row.name) !== '.' ? '/' : ''
  }
  return formatColumns(
    rows.map((row) => row.name + marked(row)),
    context.columns,
  )
}

function longFormat(rows: readonly Row[], { human, classify }: Options, context: ProgramContext): string {
  const shown = context.stdout.isTerminal ? printable : (name: string) => name
  const sizes = rows.map(({ size }) => (human ? formatBytes(size) : String(size)))
  const width = sizes.reduce((most, { length }) => Math.max(most, length), 0)
  return rows
    .map((row, i) => {
      const time = row.mtimeMs > 0 ? formatTime(row.mtimeMs) : ''.padEnd(16)
      const marked = classify && row.kind !== 'symlink' ? mark(row) : ''
      const leads = row.target === undefined ? marked : ` -> ${shown(row.target)}`
      return `${formatMode(row)}  ${(sizes[i] ?? '').padStart(width)}  ${time}  ${shown(row.name)}${leads}\n`
    })
    .join('')
}
