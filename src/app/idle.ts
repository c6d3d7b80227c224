// Work that may wait until the page has painted.

/** Resolves when the browser has nothing better to do, at the latest after `timeoutMs`. */
export function whenIdle(timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    if ('requestIdleCallback' in globalThis) requestIdleCallback(() => resolve(), { timeout: timeoutMs })
    else setTimeout(resolve, Math.min(50, timeoutMs)) // Safari
  })
}
