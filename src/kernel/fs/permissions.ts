// What a mode allows. Of its bits, those of the owner for files count. Above: fs.ts, tree-edit.ts.
import { OsError } from '../../base/errors.ts'

export const READ = 0o400
export const WRITE = 0o200

/** @throws {OsError} EACCES. */
export function permit(at: string, { mode }: { mode: number }, rights: number): void {
  if ((mode & rights) === rights) return
  const what = mode & READ ? 'written' : 'read'
  throw new OsError('EACCES', `${at} may not be ${what}: its mode is ${mode.toString(8).padStart(4, '0')}`)
}

export function readOnly(path: string): OsError {
  return new OsError('EROFS', `${path} is on a read-only part of the tree`)
}
