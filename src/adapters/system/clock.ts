// Time from the platform. Implements ports/clock.ts for pages and workers.
import type { Clock, Timer } from '../../ports/clock.ts'

/** setTimeout takes a signed 32-bit number; a longer delay would fire at once. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1

export function systemClock(): Clock {
  return {
    nowMs: () => performance.now(),
    wallMs: () => Date.now(),
    setTimer(callback, delayMs) {
      return startTimer(callback, performance.now() + delayMs)
    },
  }
}

function startTimer(callback: () => void, dueMs: number): Timer {
  let handle: ReturnType<typeof setTimeout>
  const wait = () => {
    const restMs = dueMs - performance.now()
    // Rounded up: browsers may fire up to a millisecond early.
    handle = setTimeout(() => (performance.now() < dueMs ? wait() : callback()), clamp(Math.ceil(restMs)))
  }
  wait()
  return { cancel: () => clearTimeout(handle) }
}

function clamp(ms: number): number {
  return Math.min(Math.max(ms, 0), MAX_TIMEOUT_MS)
}
