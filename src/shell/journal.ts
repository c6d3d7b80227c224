// The journal of a process, read page by page: behind `log` and `why`.
import { OsError } from '../base/errors.ts'
import { isKidPrefix } from '../base/ids.ts'
import type { HistoryRow } from '../syscalls/types.ts'
import type { ProgramContext } from './program.ts'

/** @param kid or a prefix of it. @throws {OsError} EINVAL, ESRCH. */
export async function* processHistory(context: ProgramContext, kid: string): AsyncGenerator<HistoryRow> {
  if (!isKidPrefix(kid)) throw new OsError('EINVAL', 'a process is named by its KID, e.g. K-0123abcd')
  for (let after = -1; ; ) {
    const args = { topic: 'history', kid, ...(after >= 0 ? { after } : {}) } as const
    const rows = (await context.client.call('info', args, context.cancel)) as HistoryRow[]
    yield* rows
    const last = rows.at(-1)
    if (!last) return
    after = last.n
  }
}
