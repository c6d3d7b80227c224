// mv: renames, and from one keg to another copies and removes.
import { isOsError } from '../../base/errors.ts'
import { Complaint } from '../messages.ts'
import { endsInDots } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { destination, isThere, sameFile } from './destination.ts'

export const mv = defineProgram(
  {
    name: 'mv',
    summary: 'Rename files and directories, or move them into a directory',
    usage: ['[OPTION]... SOURCE TARGET', '[OPTION]... SOURCE... DIRECTORY'],
    options: {
      force: { short: 'f', help: 'replace what is there, which happens anyway' },
      'no-clobber': { short: 'n', help: 'replace nothing' },
      verbose: { short: 'v', help: 'say what was moved' },
    },
    operands: [2, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const { sources, placeOf } = await destination(context, operands)
    const moveOne = async (source: string) => {
      const { from, to, name } = placeOf(source)
      if (endsInDots(source)) {
        throw new Complaint('EBUSY', `cannot move '${source}' to '${name}': Device or resource busy`)
      }
      if (await sameFile(context, from, to)) {
        throw new Complaint('EINVAL', `'${source}' and '${name}' are the same file`)
      }
      if (options['no-clobber'] && (await isThere(context, to))) return
      await move(context, from, to)
      if (options.verbose) await context.print(`renamed '${context.shown(source)}' -> '${context.shown(name)}'\n`)
    }
    return forEachOperand(context, sources, moveOne, { describe: (source) => `cannot move '${source}'` })
  },
)

async function move(context: ProgramContext, from: string, to: string): Promise<void> {
  try {
    await context.fs.rename(from, to, context.cancel)
  } catch (error) {
    if (!isOsError(error, 'EXDEV')) throw error
    // Nothing is read: the other keg has the same blocks.
    await context.client.call('change', { op: 'copy', from, to }, context.cancel)
    await context.fs.rm(from, { recursive: true, ...context.cancel })
  }
}
