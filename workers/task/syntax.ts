// Where a program does not parse. `import()` rejects with a SyntaxError that in Chromium has no line; the error
// event of a module worker has one. The worker never runs the program: an import that cannot be resolved stands
// before it, and a module is parsed whole before its imports are looked at.
import type { Place } from '../../src/syscalls/task-error.ts'
import { toPlace } from '../../src/syscalls/task-error.ts'
import { moduleUrl, platform, startModuleWorker } from './primordials.ts'

const GUARD = "import '#';"
/** The event comes within milliseconds; a browser that sends none leaves the message without a line. */
const WAIT_MS = 2000

export function locateSyntaxError(source: string): Promise<Place | undefined> {
  // A hashbang is legal only at the very start; as a comment it keeps its line.
  const url = moduleUrl(GUARD + (source.startsWith('#!') ? `//${source.slice(2)}` : source))
  return new Promise((resolve) => {
    const worker = startModuleWorker(url)
    const finish = (place: Place | undefined) => {
      platform.timers.clearTimeout(timer)
      worker.terminate()
      platform.revokeObjectURL(url)
      resolve(place)
    }
    const timer = platform.timers.setTimeout(() => finish(undefined), WAIT_MS)
    worker.onmessage = () => finish(undefined)
    worker.onerror = (event: ErrorEvent) => {
      event.preventDefault()
      const column = event.lineno === 1 ? event.colno - GUARD.length : event.colno
      finish(event.message?.includes('SyntaxError') ? toPlace(event.lineno, column) : undefined)
    }
  })
}
