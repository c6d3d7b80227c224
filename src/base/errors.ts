// The one error type that crosses layers, tabs and the task boundary. Nothing stands below it.
// Programmer errors are asserted (assert.ts); operating errors are OsError with a stable code.

/** Stable error codes: POSIX names where POSIX has one, plus a few of our own (documented beside them). */
export const errorCodes = [
  'EACCES', // the caller's reference does not carry that right
  'EAGAIN', // a bounded queue is full; try again
  'EBADF', // no such open file reference
  'EBUSY',
  'ECANCELED', // the caller aborted, or the process was killed
  'ECONNRESET', // the peer or its link went away in the middle of a call
  'EEXIST',
  'EFBIG', // larger than a documented limit
  'EHOSTUNREACH', // no link to that node
  'EINVAL',
  'EIO', // stored or received bytes are wrong or missing
  'EISDIR',
  'ELOOP',
  'EMFILE', // too many of them are open
  'ENAMETOOLONG',
  'ENOENT',
  'ENOEXEC', // not a program: does not parse, or has no start task
  'ENOQUORUM', // too few of the nodes that keep it are here for it to be as safe as asked
  'ENOSPC', // the browser's storage quota is used up
  'ENOSYS', // no such call, or not offered to this caller
  'ENOTDIR',
  'ENOTEMPTY',
  'ENOTSUP', // the browser lacks something that is needed
  'EPERM',
  'EPIPE', // the reader of a stream has gone
  'EPROTO', // the other side broke the protocol
  'EROFS',
  'ESRCH', // no such process
  'ETASK', // a task threw; the message holds its error and the line in its source
  'ETIMEDOUT',
  'EXDEV',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** An operating error: what went wrong, why, and what to do, in one sentence. */
export class OsError extends Error {
  override readonly name = 'OsError'
  readonly code: ErrorCode
  /** Of errors of `os.fs`: the call as node names it, and the one or two paths that it was about, as they were given. */
  declare syscall?: string
  declare path?: string
  declare dest?: string

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

export function isOsError(error: unknown, code?: ErrorCode): error is OsError {
  return error instanceof OsError && (code === undefined || error.code === code)
}

/** Any thrown value as an OsError; foreign errors become `fallback` and keep their cause. */
export function toOsError(error: unknown, fallback: ErrorCode = 'EIO'): OsError {
  if (error instanceof OsError) return error
  if (error instanceof Error) {
    const code = error.name === 'AbortError' ? 'ECANCELED' : error.name === 'QuotaExceededError' ? 'ENOSPC' : fallback
    return new OsError(code, error.message, { cause: error })
  }
  return new OsError(fallback, String(error), { cause: error })
}

/** One line for a log or a terminal. */
export function errorLine(error: unknown): string {
  if (error instanceof OsError) return `${error.code}: ${error.message}`
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
