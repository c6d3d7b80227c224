// The kernel's log in a tab: the last lines in memory, warnings and errors on the console as well.
// Implements ports/log.ts; its lines have the shape of syscalls' LogLine.
import type { LogLevel, LogSink } from '../../ports/log.ts'

export interface StoredLogLine {
  atMs: number
  level: LogLevel
  area: string
  message: string
  fields: Record<string, unknown>
}

export interface RingLog extends LogSink {
  /** Oldest first, at most `capacity`. */
  lines(): StoredLogLine[]
}

/** Some hours of a quiet tab, well below a megabyte. */
const CAPACITY = 2000
/** A message is a sentence; whoever logs more has put data into it. */
const MAX_MESSAGE = 1000

export interface RingLogOptions {
  capacity?: number
  nowMs?: () => number
  /** Where warnings and errors go as well. */
  console?: Pick<Console, 'warn' | 'error'>
}

export function ringLog({
  capacity = CAPACITY,
  nowMs = Date.now,
  console: out = globalThis.console,
}: RingLogOptions = {}): RingLog {
  const ring: StoredLogLine[] = []
  let next = 0
  return {
    log(level, area, message, fields = {}) {
      const line = { atMs: nowMs(), level, area, message: message.slice(0, MAX_MESSAGE), fields: { ...fields } }
      ring[next] = line
      next = (next + 1) % capacity
      if (level === 'warn' || level === 'error') out[level](`[${area}] ${line.message}`, line.fields)
    },
    lines: () => [...ring.slice(next), ...ring.slice(0, next)],
  }
}
