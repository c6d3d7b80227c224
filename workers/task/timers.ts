// Timers for programs. They end with the event that started them: a handler leaves nothing behind.

type Callback = (...args: unknown[]) => void
type Start = (callback: Callback, delay?: number, ...args: unknown[]) => number

export interface TaskTimers {
  api: { setTimeout: Start; setInterval: Start; clearTimeout(id?: number): void; clearInterval(id?: number): void }
  clearAll(): void
}

interface PlatformTimers {
  setTimeout: Start
  setInterval: Start
  clearTimeout(id?: number): void
}

export function taskTimers(platform: PlatformTimers): TaskTimers {
  const live = new Set<number>()
  const start = (kind: 'setTimeout' | 'setInterval'): Start => {
    return (callback, delay, ...args) => {
      if (typeof callback !== 'function') throw new TypeError(`${kind} needs a function`) // no strings: they are eval
      const run = () => {
        if (kind === 'setTimeout') live.delete(id)
        callback(...args)
      }
      const id = platform[kind](run, delay)
      live.add(id)
      return id
    }
  }
  const clear = (id?: number) => {
    if (id === undefined || !live.delete(id)) return
    platform.clearTimeout(id) // timeouts and intervals share one list of ids (HTML, "timers")
  }
  return {
    api: {
      setTimeout: start('setTimeout'),
      setInterval: start('setInterval'),
      clearTimeout: clear,
      clearInterval: clear,
    },
    clearAll() {
      for (const id of live) platform.clearTimeout(id)
      live.clear()
    },
  }
}
