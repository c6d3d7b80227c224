// Programmer errors stop here. Operating errors are OsError (errors.ts).

export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/** @throws {AssertionError} when `condition` is falsy: a bug in this code, never bad input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionError(message)
}

/** Marks a branch that the types prove unreachable. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${JSON.stringify(value)}`)
}
