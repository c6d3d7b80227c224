// `console` for programs: every method writes a line to the task's standard error, so that stdout stays data.

const MAX_LINE = 64 * 1024

export function taskConsole(log: (line: string) => void): Record<string, (...values: unknown[]) => void> {
  const print = (...values: unknown[]) => log(values.map(show).join(' ').slice(0, MAX_LINE))
  return {
    log: print,
    info: print,
    debug: print,
    warn: print,
    error: print,
    trace: print,
    dir: (value) => print(value),
    table: (value) => print(value),
    assert: (condition, ...values) => {
      if (!condition) print('assertion failed', ...values)
    },
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return value
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (typeof value !== 'object' || value === null) return typeof value === 'bigint' ? `${value}n` : String(value)
  try {
    return (
      JSON.stringify(value, (_key, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part)) ?? String(value)
    )
  } catch {
    return Object.prototype.toString.call(value) // a cycle, or a getter that throws
  }
}
