// The first code of the page to run: defines `globalThis.os`. The kernel's worker starts when the prompt has been
// painted: the two together would take longer to paint it.
import { EventFeed } from '../shell/events.ts'
import { type Kernel, startKernel } from './kernel.ts'
import { boot, type Os } from './os.ts'

declare global {
  var os: Os
}

export interface Begun {
  kernel: Kernel
  events: EventFeed
  /** Starts the kernel's worker; what it is asked before then waits. */
  start(): void
}

/** Undefined where the browser or the address lacks what a kernel needs: then there is no `os` either. */
export const begun: Begun | undefined = begin()

function begin(): Begun | undefined {
  const possible = isSecureContext && typeof Worker === 'function' && typeof MessageChannel === 'function'
  if (!possible) return undefined
  const { promise: started, resolve: start } = Promise.withResolvers<void>()
  const kernel = startKernel(started)
  const events = new EventFeed(kernel.client, (error) => reportError(error))
  globalThis.os = boot({ kernel, events })
  return { kernel, events, start }
}
