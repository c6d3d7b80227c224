// What is named together and changed in one call, so that it is one version: for rm and mv. Nothing is changed where one of them
// cannot be; which one it was is found out one by one.
import { type ErrorCode, OsError } from '../../base/errors.ts'
import { MAX_TOGETHER, MAX_TOGETHER_LENGTH } from '../../syscalls/limits.ts'
import { forEachOperand, type ProgramContext } from '../program.ts'

/** With them nothing was changed. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'EACCES',
  'EBUSY',
  'EEXIST',
  'EFBIG',
  'EINVAL',
  'EISDIR',
  'ELOOP',
  'ENAMETOOLONG',
  'ENOENT',
  'ENOTDIR',
  'ENOTEMPTY',
  'EROFS',
  'EXDEV',
])

/** As many together as one change takes. @param lengthOf characters of the paths of one. */
export function groups<T>(all: readonly T[], lengthOf: (one: T) => number): T[][] {
  const found: T[][] = []
  let length = 0
  for (const one of all) {
    const last = found.at(-1)
    length += lengthOf(one)
    if (last && last.length < MAX_TOGETHER && length <= MAX_TOGETHER_LENGTH) last.push(one)
    else {
      found.push([one])
      length = lengthOf(one)
    }
  }
  return found
}

export interface Together<T> {
  /** The change of all of them. */
  all(): Promise<unknown>
  /** @returns false for one that was left as it is. */
  one(each: T): Promise<unknown>
  /** Each that was changed. */
  tell(each: T): Promise<void>
  /** As the user has named it. */
  nameOf(each: T): string
  describe(name: string): string
}

/**
 * Changes a group in one call; where one of them cannot be changed so, or they are not in one keg, one by one: nothing was changed
 * before. @returns the exit code.
 */
export async function together<T>(context: ProgramContext, group: readonly T[], how: Together<T>): Promise<number> {
  if (group.length > 1 && (await tried(how.all))) {
    for (const each of group) await how.tell(each)
    return 0
  }
  let code = 0
  for (const each of group) {
    const work = async () => {
      if ((await how.one(each)) !== false) await how.tell(each)
    }
    code = Math.max(code, await forEachOperand(context, [how.nameOf(each)], work, { describe: how.describe }))
  }
  return code
}

async function tried(call: () => Promise<unknown>): Promise<boolean> {
  try {
    await call()
    return true
  } catch (error) {
    if (error instanceof OsError && REFUSALS.has(error.code)) return false
    throw error
  }
}
