// Structured logs: one JSON object per line on stderr. stdout belongs to what people read (banner.ts).

export const logLevels = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]
export type Fields = Record<string, unknown>

export interface Log {
  /** Something is broken and somebody should look. */
  error(msg: string, fields?: Fields): void
  /** Refused or wrong, and dealt with. */
  warn(msg: string, fields?: Fields): void
  /** The relay's own life: started, renewed, stopped. */
  info(msg: string, fields?: Fields): void
  /** Per connection. */
  debug(msg: string, fields?: Fields): void
}

export function createLog(level: LogLevel, write: (line: string) => void = (line) => process.stderr.write(line)): Log {
  const threshold = logLevels.indexOf(level)
  const at = (name: LogLevel) => {
    if (logLevels.indexOf(name) > threshold) return () => {}
    return (msg: string, fields: Fields = {}) => {
      write(`${JSON.stringify({ time: new Date().toISOString(), level: name, msg, ...fields }, plain)}\n`)
    }
  }
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') }
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Error) return `${value.name}: ${value.message}`
  return value
}
