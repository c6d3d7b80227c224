// Errors of calls about paths, as node:fs has them: with the name of the call and the paths. Above: fs.ts.
import { OsError } from '../base/errors.ts'
import { MAX_PATH_LENGTH } from './limits.ts'

/** The call, as node names it, and the one or two paths that it is about. */
export type About = readonly [syscall: string, path: string, dest?: string]

/** @throws {OsError} what `work` throws, with `syscall`, `path` and `dest`; ENOENT and ENAMETOOLONG for what is no path. */
export async function telling<T>([syscall, path, dest]: About, work: () => Promise<T>): Promise<T> {
  try {
    for (const each of dest === undefined ? [path] : [path, dest]) demandPath(each)
    return await work()
  } catch (error) {
    // One that tells it already is of a call within this one. That of a lost connection is of all its calls.
    if (error instanceof OsError && error.path === undefined && error.code !== 'ECONNRESET') {
      Object.assign(error, { syscall, path }, dest === undefined ? {} : { dest })
    }
    throw error
  }
}

function demandPath(path: string): void {
  if (path === '') throw new OsError('ENOENT', 'an empty path leads to no file or directory')
  if (path?.length > MAX_PATH_LENGTH) {
    throw new OsError('ENAMETOOLONG', `a path is at most ${MAX_PATH_LENGTH} characters, not ${path.length}`)
  }
}
