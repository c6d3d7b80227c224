// IndexedDB's failures as OsError: quota → ENOSPC, everything else that a database may do to us → EIO.
import { OsError } from '../../base/errors.ts'

export function storageError(error: unknown): OsError {
  if (error instanceof OsError) return error
  const name = error instanceof Error || error instanceof DOMException ? error.name : ''
  if (name === 'QuotaExceededError') {
    return new OsError('ENOSPC', 'the browser’s storage for this site is full; delete files or free disk space', {
      cause: error,
    })
  }
  const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  return new OsError('EIO', `the browser’s storage failed: ${detail}`, { cause: error })
}

/** True when the connection is no longer usable, so that opening the database again may help. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof DOMException)) return false
  return error.name === 'InvalidStateError' || (error.name === 'AbortError' && /clos/i.test(error.message))
}
