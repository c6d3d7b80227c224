// Users: names, each with a directory below /home. A name keeps nobody out: there are no passwords, and files have no
// owners (docs/threat-model.md). Above: session, programs/login.ts. Source of the rule for names: useradd(8).
import { isOsError, OsError } from '../base/errors.ts'
import type { FileSystem } from '../syscalls/fs.ts'

/** Whoever has not said a name. */
export const GUEST = 'guest'

/** What a device remembers of who sits at it. */
export interface UserStore {
  /** Undefined when nobody has said a name. */
  name(): string | undefined
  remember(name: string): void
}

export function isUserName(text: string): boolean {
  return /^[a-z_][a-z0-9_-]{0,31}$/.test(text)
}

export function homeOf(user: string): string {
  return `/home/${user}`
}

/** Makes the user's directory where it is missing. @throws {OsError} as stat and mkdir. */
export async function makeHome(fs: FileSystem, user: string, options: { signal?: AbortSignal }): Promise<void> {
  const home = homeOf(user)
  try {
    // To look is possible also where nothing can be changed at the moment.
    const info = await fs.stat(home, options)
    if (!info.isDirectory()) throw new OsError('ENOTDIR', `${home} is not a directory`)
  } catch (error) {
    if (!isOsError(error, 'ENOENT')) throw error
    await fs.mkdir(home, { recursive: true, ...options })
  }
}
