// Programs in simulations and in tests of whole kernels: loaded into this very thread.
import type { Clock } from '../ports/clock.ts'

/** `load` and `settle` for a Cluster: no virtual time passes while a program is being loaded. */
export function programLoader(settle: () => Promise<void>) {
  let loading = 0
  return {
    load: async (source: string) => {
      loading++
      try {
        return await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(source)}`)
      } finally {
        loading--
      }
    },
    settle: async () => {
      do await settle()
      while (loading > 0)
    },
  }
}

/** While `action` runs, programs may wait in virtual time: `globalThis.brittlestarSim.sleep(ms)`. */
export async function withSleep<T>(clock: Clock, action: () => Promise<T>): Promise<T> {
  const sleep = (ms: number) => new Promise<void>((resolve) => clock.setTimer(resolve, ms, 'task sleeps'))
  Object.assign(globalThis, { brittlestarSim: { sleep } })
  try {
    return await action()
  } finally {
    Reflect.deleteProperty(globalThis, 'brittlestarSim')
  }
}
