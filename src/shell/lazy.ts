// Code that comes with its first use, or ahead of it (engine.ts): that it cannot be fetched is said in words.
import { OsError } from '../base/errors.ts'

/** What browsers say of a module that they could not fetch; Chromium and Firefox: "dynamically imported module". */
const NOT_FETCHED = /dynamically imported module|importing a module script/i

/**
 * @param loading what `import()` gave.
 * @throws {OsError} EHOSTUNREACH when it cannot be fetched.
 */
export async function lazily<T>(loading: Promise<T>): Promise<T> {
  try {
    return await loading
  } catch (cause) {
    if (!(cause instanceof TypeError && NOT_FETCHED.test(cause.message))) throw cause
    throw new OsError('EHOSTUNREACH', `the relay is away, and this page has not loaded that command yet`, { cause })
  }
}
