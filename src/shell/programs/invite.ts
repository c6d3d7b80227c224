// invite: how another device joins.
import { renderUnicodeCompact } from 'uqr'
import { OsError } from '../../base/errors.ts'
import { defineProgram, jsonOption, type ProgramContext } from '../program.ts'

/** Black on white whatever the theme: cameras want dark modules on a light ground. */
const QR_COLOURS = '\x1b[38;2;255;255;255;48;2;0;0;0m'
const RESET = '\x1b[0m'

export const invite = defineProgram(
  {
    name: 'invite',
    summary: 'Show a link and a QR code that let another device join',
    usage: ['[OPTION]...'],
    options: { open: { short: 'o', help: 'open the link in one more tab of this browser' }, ...jsonOption },
    operands: [0, 0],
  },
  async (context, { options }) => {
    const { inviteUrl: url } = await context.client.info('node', context.cancel)
    if (url === null)
      throw new OsError('EHOSTUNREACH', 'no relay is connected that others could reach; try again later')
    if (options.json) {
      await context.printJson({ url })
      return 0
    }
    if (options.open) {
      const openLink = context.need('openLink', 'no browser here that could open a tab')
      if (!openLink(url)) throw new OsError('EPERM', `the browser blocked the new tab; open ${url} yourself`)
      return 0
    }
    await context.print(`${url}\n`)
    await printCode(url, context)
    return 0
  },
)

async function printCode(url: string, context: ProgramContext): Promise<void> {
  // A line holds two rows of an odd number of rows: the last one, half empty, is left out with a row of border.
  const lines = renderUnicodeCompact(url, { border: 3 }).split('\n').slice(0, -1)
  const shown = context.stdout.isTerminal ? lines.map((line) => QR_COLOURS + line + RESET) : lines
  await context.print(`\n${shown.join('\n')}\n`)
}
