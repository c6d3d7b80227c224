// wait: until processes end.
import { OsError } from '../../base/errors.ts'
import { isKidPrefix } from '../../base/ids.ts'
import { waitForExit } from '../follow.ts'
import { defineProgram, forEachOperand } from '../program.ts'

export const wait = defineProgram(
  {
    name: 'wait',
    summary: 'Wait for processes and exit with the code of the last one',
    usage: ['[KID]...'],
    details: 'Without a KID: all that this shell started with run --detach; the exit code is then 0.',
    options: {},
  },
  async (context, { operands }) => {
    const kids = operands.length > 0 ? operands : context.session.detached.splice(0)
    let code = 0
    const failed = await forEachOperand(
      context,
      kids,
      async (kid) => {
        if (!isKidPrefix(kid)) throw new OsError('EINVAL', 'a process is named by its KID, e.g. K-0123abcd')
        const exit = await waitForExit(context.client, kid, context.cancel)
        code = exit.code
        if (exit.error !== null) await context.complain(`${kid}: ${exit.error}`)
      },
      { failure: 127 },
    )
    return failed || (operands.length > 0 ? code : 0)
  },
)
