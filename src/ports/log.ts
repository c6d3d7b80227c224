// Port: where the kernel's log lines go. In a tab: a bounded ring that `os.log()` and the console read.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface LogSink {
  /** `fields` must be plain JSON values; never block data or secrets. */
  log(level: LogLevel, area: string, message: string, fields?: Readonly<Record<string, unknown>>): void
}
