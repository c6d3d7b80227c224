// A typed event emitter. Listeners run in order of registration; one that throws does not stop the others.

export type Listener<T> = (value: T) => void

export class Emitter<T> {
  readonly #listeners = new Set<Listener<T>>()
  readonly #onListenerError: (error: unknown) => void

  /** @param onListenerError where a listener's own exception goes: a log, never nowhere. */
  constructor(onListenerError: (error: unknown) => void) {
    this.#onListenerError = onListenerError
  }

  /** @returns a function that removes the listener; calling it twice is harmless. */
  on(listener: Listener<T>): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  emit(value: T): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(value)
      } catch (error) {
        this.#onListenerError(error)
      }
    }
  }

  get size(): number {
    return this.#listeners.size
  }

  clear(): void {
    this.#listeners.clear()
  }
}

/**
 * Resolves as soon as the condition holds; it is looked at now and after each change. @param over why it never will.
 * @throws what `over` returns, or the signal's reason.
 */
export function until(
  changes: Emitter<void>,
  condition: () => boolean,
  over: () => Error | undefined,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const look = () => {
    const error = over()
    if (condition()) resolve()
    else if (error) reject(error)
  }
  const onAbort = () => reject(signal.reason)
  const off = changes.on(look)
  signal.addEventListener('abort', onAbort, { once: true })
  look()
  if (signal.aborted) onAbort()
  return promise.finally(() => {
    off()
    signal.removeEventListener('abort', onAbort)
  })
}
