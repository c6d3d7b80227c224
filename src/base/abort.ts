// Waiting that ends with a signal.
import type { OsError } from './errors.ts'

/** The promise's outcome, or the error as soon as the signal aborts. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal, error: () => OsError): Promise<T> {
  const { promise: outcome, resolve, reject } = Promise.withResolvers<T>()
  const onAbort = (): void => reject(error())
  if (signal.aborted) onAbort()
  else signal.addEventListener('abort', onAbort, { once: true })
  promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  return outcome
}
