// Paths: absolute, slash-separated, NFC is left alone. Pure.
import { utf8 } from '../../base/bytes.ts'
import { OsError } from '../../base/errors.ts'
import { MAX_NAME_BYTES, MAX_PATH_LENGTH } from '../../syscalls/limits.ts'
import { MAX_TREE_DEPTH } from '../limits.ts'

/**
 * Names of an absolute path, with `.` and `..` resolved; `..` above the root stays at the root.
 * @throws {OsError} EINVAL for a relative path or a NUL, ENAMETOOLONG.
 */
export function splitPath(path: string): string[] {
  if (!path.startsWith('/')) throw new OsError('EINVAL', `'${path}' is not an absolute path`)
  if (path.length > MAX_PATH_LENGTH)
    throw new OsError('ENAMETOOLONG', `a path is at most ${MAX_PATH_LENGTH} characters`)
  if (path.includes('\0')) throw new OsError('EINVAL', 'a path must not contain NUL')
  // Half a surrogate pair has no UTF-8: it would come back from its directory as another name.
  if (!path.isWellFormed()) throw new OsError('EINVAL', 'a path must be proper Unicode')
  const names: string[] = []
  for (const name of path.split('/')) {
    if (name === '' || name === '.') continue
    if (name === '..') names.pop()
    else {
      if (utf8(name).byteLength > MAX_NAME_BYTES) {
        throw new OsError('ENAMETOOLONG', `'${name.slice(0, 40)}…' is longer than ${MAX_NAME_BYTES} bytes`)
      }
      names.push(name)
    }
  }
  if (names.length > MAX_TREE_DEPTH) throw new OsError('ENAMETOOLONG', `a path has at most ${MAX_TREE_DEPTH} names`)
  return names
}

export function joinPath(names: readonly string[]): string {
  return `/${names.join('/')}`
}

export function normalPath(path: string): string {
  return joinPath(splitPath(path))
}

/** Whether these names lead to something below a directory. */
export function isWithin(names: readonly string[], directory: readonly string[]): boolean {
  return names.length > directory.length && directory.every((name, i) => names[i] === name)
}
