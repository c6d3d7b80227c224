// `console.table`: rows and columns in a frame, as node draws them. Above: console.ts.
import { inspect } from './inspect.ts'

const MAX_ROWS = 1_000
const INDEX = '(index)'
const VALUES = 'Values'

/** @returns undefined for what has no rows. */
export function table(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const rows = rowsOf(value).slice(0, MAX_ROWS)
  const columns: string[] = []
  const cells = rows.map(([, row]) => {
    const known = new Map<string, string>()
    if (typeof row !== 'object' || row === null) return known.set(VALUES, inspect(row, 0))
    for (const key of Object.keys(row)) {
      if (!columns.includes(key)) columns.push(key)
      known.set(key, inspect((row as Record<string, unknown>)[key], 0))
    }
    return known
  })
  const head = [INDEX, ...columns, ...(cells.some((row) => row.has(VALUES)) ? [VALUES] : [])]
  const body = rows.map(([index], i) => [index, ...head.slice(1).map((column) => cells[i]?.get(column) ?? '')])
  return framed([head, ...body])
}

function rowsOf(value: object): [string, unknown][] {
  if (value instanceof Map) return [...value].map(([key, of], i) => [`${i}`, { Key: key, Values: of }])
  if (value instanceof Set) return [...value].map((of, i) => [`${i}`, of])
  return Object.entries(value)
}

function framed([head = [], ...body]: string[][]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...body.map((row) => (row[i] as string).length)) + 2)
  const rule = (left: string, between: string, right: string) =>
    left + widths.map((width) => '─'.repeat(width)).join(between) + right
  const line = (row: string[]) => `│${row.map((cell, i) => ` ${cell}`.padEnd(widths[i] as number)).join('│')}│`
  return [rule('┌', '┬', '┐'), line(head), rule('├', '┼', '┤'), ...body.map(line), rule('└', '┴', '┘')].join('\n')
}
