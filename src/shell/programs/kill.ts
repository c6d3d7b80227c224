// kill: ends processes, stops them and lets them go on.
import { OsError } from '../../base/errors.ts'
import { isKidPrefix } from '../../base/ids.ts'
import { defineProgram, forEachOperand } from '../program.ts'

const SIGNALS = ['KILL', 'STOP', 'CONT'] as const

export const kill = defineProgram(
  {
    name: 'kill',
    summary: 'End processes, stop them or let them go on',
    usage: ['[-KILL | -STOP | -CONT] KID...'],
    details: [
      'KILL ends a process. STOP lets it start no more events (those that run already finish), CONT lets it go on: also',
      'after every tab was closed in between. A KID may be shortened to any prefix of at least K- and four digits that fits',
      'one process (see ps).',
    ].join('\n'),
    options: { signal: { short: 's', value: 'NAME', oneOf: SIGNALS, help: 'KILL (unless told), STOP or CONT' } },
    /** As kill has always taken them. */
    rewrite: (args) =>
      args.map((arg) => (SIGNALS.some((name) => arg === `-${name}`) ? `--signal=${arg.slice(1)}` : arg)),
    operands: [1, Number.POSITIVE_INFINITY],
  },
  (context, { options: { signal = 'KILL' }, operands }) =>
    forEachOperand(context, operands, async (kid) => {
      if (!isKidPrefix(kid)) throw new OsError('EINVAL', 'a process is named by its KID, e.g. K-0123abcd')
      const { delivered } = await context.client.call('signal', { signal, kid }, context.cancel)
      if (!delivered && signal === 'KILL') throw new OsError('ESRCH', 'it has ended already')
      if (!delivered)
        throw new OsError('EINVAL', `it has ended, or ${signal === 'STOP' ? 'is stopped' : 'runs'} already`)
    }),
)
