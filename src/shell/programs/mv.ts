// mv: renames, and from one keg to another copies and removes. What is named together is moved in one change, as rm removes it.
import { isOsError } from '../../base/errors.ts'
import { Complaint } from '../messages.ts'
import { endsInDots } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { destination, isThere, Made, type Place, sameFile } from './destination.ts'
import { groups, together } from './together.ts'

interface Move extends Place {
  source: string
}

const describe = (source: string) => `cannot move '${source}'`

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
    const made = new Made()
    const moves: Move[] = []
    const look = async (source: string) => {
      const place = placeOf(source)
      const { from, to, name } = place
      if (endsInDots(source)) {
        throw new Complaint('EBUSY', `cannot move '${source}' to '${name}': Device or resource busy`)
      }
      if (await sameFile(context, from, to)) {
        throw new Complaint('EINVAL', `'${source}' and '${name}' are the same file`)
      }
      await context.fs.lstat(from, context.cancel)
      if (options['no-clobber'] && (made.has(to) || (await isThere(context, to)))) return
      if (await made.twice(context, source, place)) return
      made.add(place)
      moves.push({ ...place, source })
    }
    const looked = await forEachOperand(context, sources, look, { describe })
    let moved = 0
    for (const group of groups(moves, ({ from, to }) => from.length + to.length)) {
      moved = Math.max(moved, await moveAll(context, group, options.verbose))
    }
    return Math.max(looked, moved)
  },
)

/** @returns the exit code. */
function moveAll(context: ProgramContext, group: readonly Move[], verbose: boolean): Promise<number> {
  const [{ from, to } = { from: '', to: '' }, ...also] = group.map(({ from, to }) => ({ from, to }))
  return together(context, group, {
    all: () => context.client.call('change', { op: 'move', from, to, also }, context.cancel),
    one: (each) => move(context, each.from, each.to),
    tell: async ({ source, name }) => {
      if (verbose) await context.print(`renamed '${context.shown(source)}' -> '${context.shown(name)}'\n`)
    },
    nameOf: ({ source }) => source,
    describe,
  })
}

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
