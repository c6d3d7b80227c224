// `console` for programs: every method writes a line to the task's standard error, so that stdout stays data. Values read as
// node shows them (inspect.ts).
import { format, inspect } from './inspect.ts'
import { table } from './table.ts'

const MAX_LINE = 64 * 1024
/** Labels of counters and timers that are remembered. */
const MAX_LABELS = 1_000
const INDENT = '  '

type Print = (...values: unknown[]) => void

export function taskConsole(log: (line: string) => void): Record<string, (...values: unknown[]) => void> {
  const counts = new Map<string, number>()
  const timers = new Map<string, number>()
  let margin = ''
  const write = (text: string) => {
    const line = text.slice(0, MAX_LINE)
    log(margin === '' ? line : margin + line.replaceAll('\n', `\n${margin}`))
  }
  const print: Print = (...values) => write(shown(values))
  const open: Print = (...values) => {
    if (values.length > 0) print(...values)
    if (margin.length < 100) margin += INDENT
  }
  const took = (label: string) => {
    const beganMs = timers.get(label)
    return beganMs === undefined ? undefined : `${label}: ${(performance.now() - beganMs).toFixed(3)}ms`
  }
  return {
    log: print,
    info: print,
    debug: print,
    warn: print,
    error: print,
    trace: (...values) => write(`Trace${values.length > 0 ? `: ${shown(values)}` : ''}`),
    dir: (value, options) => write(tried(() => inspect(value, depthOf(options)), value)),
    dirxml: print,
    table: (value) => write(tried(() => table(value) ?? shown([value]), value)),
    assert: (condition, ...values) => {
      if (condition) return
      const [first, ...rest] = values
      if (typeof first === 'string') print(`Assertion failed: ${first}`, ...rest)
      else print(...(values.length > 0 ? ['Assertion failed:', ...values] : ['Assertion failed']))
    },
    count: (of = 'default') => {
      const label = `${of}`
      if (counts.size >= MAX_LABELS && !counts.has(label)) return
      const count = (counts.get(label) ?? 0) + 1
      counts.set(label, count)
      write(`${label}: ${count}`)
    },
    countReset: (label = 'default') => void counts.delete(`${label}`),
    time: (label = 'default') => {
      if (timers.size < MAX_LABELS) timers.set(`${label}`, performance.now())
    },
    timeLog: (label = 'default', ...values) => {
      const text = took(`${label}`)
      if (text !== undefined) print('%s', text, ...values)
    },
    timeEnd: (label = 'default') => {
      const text = took(`${label}`)
      if (text !== undefined) write(text)
      timers.delete(`${label}`)
    },
    group: open,
    groupCollapsed: open,
    groupEnd: () => {
      margin = margin.slice(INDENT.length)
    },
  }
}

function shown(values: readonly unknown[]): string {
  return tried(() => format(values), ...values)
}

/** A proxy may throw whatever is asked of it. */
function tried(show: () => string, ...values: unknown[]): string {
  try {
    return show()
  } catch {
    return values.map((value) => (typeof value === 'string' ? value : `[${typeof value}]`)).join(' ')
  }
}

/** `null` shows all of it. */
function depthOf(options: unknown): number | undefined {
  const depth: unknown = Object(options).depth
  if (depth === null) return Number.POSITIVE_INFINITY
  return typeof depth === 'number' ? depth : undefined
}
