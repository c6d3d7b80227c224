// Where a program does not parse. In Chromium the SyntaxError of a failed `import()` tells no line, but the engine
// knows it: `reportError` makes an error event from the error, and that has file, line and column.
import { type Place, toPlace } from '../../src/syscalls/task-error.ts'

const report = typeof reportError === 'function' ? reportError.bind(globalThis) : undefined

export interface ErrorLocator {
  /** Give it every error event first. @returns true when the event was its own. */
  take(event: ErrorEvent): boolean
  /** The place, if it lies in the program of that URL. Runs nothing of the program. */
  locate(error: unknown, programUrl: string): Place | undefined
}

export function errorLocator(): ErrorLocator {
  let asked = false
  let heard: ErrorEvent | undefined
  return {
    take(event) {
      if (!asked) return false
      heard ??= event
      event.stopImmediatePropagation()
      return true
    },
    locate(error, programUrl) {
      asked = true
      heard = undefined
      try {
        report?.(error) // dispatches at once
      } finally {
        asked = false
      }
      const event = heard as ErrorEvent | undefined
      return event?.filename === programUrl ? toPlace(event.lineno, event.colno) : undefined
    },
  }
}
