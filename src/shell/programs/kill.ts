// kill: ends processes.
import { OsError } from '../../base/errors.ts'
import { isKidPrefix } from '../../base/ids.ts'
import { defineProgram, forEachOperand } from '../program.ts'

export const kill = defineProgram(
  {
    name: 'kill',
    summary: 'End processes',
    usage: ['KID...'],
    details: 'A KID may be shortened to any prefix of at least K- and four digits that fits one process (see ps).',
    options: {},
    operands: [1, Number.POSITIVE_INFINITY],
  },
  (context, { operands }) =>
    forEachOperand(context, operands, async (kid) => {
      if (!isKidPrefix(kid)) throw new OsError('EINVAL', 'a process is named by its KID, e.g. K-0123abcd')
      const { delivered } = await context.client.call('signal', { signal: 'KILL', kid }, context.cancel)
      if (!delivered) throw new OsError('ESRCH', 'it has ended already')
    }),
)
