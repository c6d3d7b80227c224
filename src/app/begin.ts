// The first code of the page to run: starts the kernel's worker and defines `globalThis.os`. It comes before the
// terminal's code, so that the worker loads while that is evaluated.
import { EventFeed } from '../shell/events.ts'
import { type Kernel, startKernel } from './kernel.ts'
import { boot, type Os } from './os.ts'

declare global {
  var os: Os
}

export interface Begun {
  kernel: Kernel
  events: EventFeed
}

/** Undefined where the browser or the address lacks what a kernel needs: then there is no `os` either. */
export const begun: Begun | undefined = begin()

function begin(): Begun | undefined {
  const possible = isSecureContext && typeof Worker === 'function' && typeof MessageChannel === 'function'
  if (!possible) return undefined
  const kernel = startKernel()
  const events = new EventFeed(kernel.client, (error) => reportError(error))
  globalThis.os = boot({ kernel, events })
  return { kernel, events }
}
