// Paths as text. Pure functions; the tree itself is the kernel's.
import { OsError } from '../base/errors.ts'
import { MAX_PATH_LENGTH } from '../syscalls/limits.ts'

/**
 * An absolute path without `.`, `..` and doubled slashes. `..` at the root stays at the root.
 * @throws {OsError} ENOENT for the empty path, which names nothing, as in POSIX: not the current directory; ENAMETOOLONG.
 */
export function resolvePath(cwd: string, path: string): string {
  if (path === '') throw new OsError('ENOENT', 'No such file or directory')
  const names: string[] = []
  for (const name of (path.startsWith('/') ? path : `${cwd}/${path}`).split('/')) {
    if (name === '' || name === '.') continue
    if (name === '..') names.pop()
    else names.push(name)
  }
  const resolved = `/${names.join('/')}`
  if (resolved.length > MAX_PATH_LENGTH) {
    throw new OsError('ENAMETOOLONG', `a path is at most ${MAX_PATH_LENGTH} characters`)
  }
  return resolved
}

/** The same, with a slash behind what was written as the path of a directory: with one, or as `directory/.`. */
export function namedPath(cwd: string, path: string): string {
  const resolved = resolvePath(cwd, path)
  return resolved !== '/' && /(^|\/)\.?$/.test(path) ? `${resolved}/` : resolved
}

/** The last name of a path; `/` for the root. */
export function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  return trimmed === '' ? '/' : trimmed.slice(trimmed.lastIndexOf('/') + 1)
}

/** Whether the last name of a path, as it was written, is `.` or `..`. */
export function endsInDots(path: string): boolean {
  return /(^|\/)\.\.?\/*$/.test(path)
}

export function parentPath(path: string): string {
  const at = path.lastIndexOf('/')
  return at <= 0 ? '/' : path.slice(0, at)
}

export function joinPath(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`
}

/** True when `path` is `directory` or below it; both absolute; the directory may have a slash behind it. */
export function isInside(path: string, directory: string): boolean {
  const above = directory.replace(/\/$/, '')
  return path === above || path.startsWith(`${above}/`)
}
