// Rows of text under a heading, for listings. Columns of numbers are flush right.
import type { FileKind } from '../syscalls/types.ts'

export interface Column<Row> {
  title: string
  right?: boolean
  text: (row: Row) => string
}

/** So much of the last column is to be on the line: the rest of a long text goes on below. */
const LEAST_LAST = 16

/**
 * Lines with a heading; the last column is not padded.
 * @param width of the terminal, if it is for one: where the columns do not fit, the cells of a row stand below each other.
 */
export function formatTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  width = Number.POSITIVE_INFINITY,
): string {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ text }) => printable(text(row)))),
  ]
  const widths = columns.map((_, i) => cells.reduce((most, line) => Math.max(most, line[i]?.length ?? 0), 0))
  const needed = widths.slice(0, -1).reduce((sum, each) => sum + each + 2, Math.min(widths.at(-1) ?? 0, LEAST_LAST))
  if (needed > width && rows.length > 0) return stacked(cells)
  const lines = cells.map((line) =>
    line
      .map((cell, i) => (columns[i]?.right ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
  return `${lines.join('\n')}\n`
}

/** For each row a line for each column, with its title. */
function stacked([titles = [], ...rows]: readonly string[][]): string {
  const pad = titles.reduce((most, title) => Math.max(most, title.length), 0)
  const row = (cells: readonly string[]) =>
    cells.map((cell, i) => `${(titles[i] ?? '').padEnd(pad)}  ${cell}`.trimEnd())
  return `${rows.map((cells) => row(cells).join('\n')).join('\n\n')}\n`
}

/**
 * A name from anybody, for a terminal: control characters, which it would obey, become `?`, as in coreutils' `ls`, and those that turn
 * the direction of what follows, too.
 */
export function printable(name: string): string {
  return name.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, '?')
}

/** Names in as many columns as fit, filled downwards, as `ls` does on a terminal. */
export function formatColumns(names: readonly string[], width: number): string {
  if (names.length === 0) return ''
  const cell = names.reduce((most, name) => Math.max(most, name.length), 0) + 2
  const perLine = Math.max(1, Math.floor(width / cell))
  const rows = Math.ceil(names.length / perLine)
  const lines = Array.from({ length: rows }, (_, row) => {
    let line = ''
    for (let at = row; at < names.length; at += rows) line += printable(names[at] ?? '').padEnd(cell)
    return line.trimEnd()
  })
  return `${lines.join('\n')}\n`
}

const KIND_LETTERS = { directory: 'd', file: '-', symlink: 'l', stream: 's' } as const

/** `drwxr-xr-x`. */
export function formatMode({ kind, mode }: { kind: FileKind; mode: number }): string {
  const bits = [...'rwxrwxrwx'].map((letter, i) => (mode & (0o400 >> i) ? letter : '-'))
  return KIND_LETTERS[kind] + bits.join('')
}

/** `2026-05-01 13:20` in local time. */
export function formatTime(ms: number): string {
  const date = new Date(ms)
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`
}

/** `75 s`, `12 min`, `3.5 h`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, ms / 1000) // two clocks may have measured it
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 120) return `${Math.round(seconds)} s`
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}
