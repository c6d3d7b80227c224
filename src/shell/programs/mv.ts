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

interface Options {
  'no-clobber': boolean
  verbose: boolean
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
      moved = Math.max(moved, await moveAll(context, group, options))
    }
    return Math.max(looked, moved)
  },
)

/** @returns the exit code. */
function moveAll(context: ProgramContext, group: readonly Move[], options: Options): Promise<number> {
  const only = options['no-clobber'] ? { exclusive: true } : {}
  const [{ from, to } = { from: '', to: '' }, ...also] = group.map(({ from, to }) => ({ from, to }))
  return together(context, group, {
    all: () => context.client.call('change', { op: 'move', from, to, also, ...only }, context.cancel),
    one: async (each) => {
      try {
        await move(context, each.from, each.to, only)
        return true
      } catch (error) {
        // Somebody else has just made it.
        if (options['no-clobber'] && isOsError(error, 'EEXIST')) return false
        throw error
      }
    },
    tell: async ({ source, name }) => {
      if (options.verbose) await context.print(`renamed '${context.shown(source)}' -> '${context.shown(name)}'\n`)
    },
    nameOf: ({ source }) => source,
    describe,
  })
}

async function move(context: ProgramContext, from: string, to: string, only: { exclusive?: boolean }): Promise<void> {
  try {
    await context.client.call('change', { op: 'move', from, to, ...only }, context.cancel)
  } catch (error) {
    if (!isOsError(error, 'EXDEV')) throw error
    // Nothing is read: the other keg has the same blocks.
    const { cid: was } = (await context.fs.lstat(from, context.cancel)).info
    await context.client.call('change', { op: 'copy', from, to, ...only }, context.cancel)
    await remove(context, from, was).catch((error: unknown) => {
      if (!isOsError(error, 'EEXIST')) throw error
      const copied = `it was changed while it was copied to '${to}': both are there`
      throw new Complaint('EBUSY', `${describe(from)}: ${copied}`, { cause: error })
    })
  }
}

/** What somebody else has put into it since it was copied is not removed unseen. @throws {OsError} EEXIST for what has changed. */
async function remove(context: ProgramContext, path: string, was: string | undefined): Promise<void> {
  const only = was === undefined ? {} : { was }
  await context.client.call('change', { op: 'remove', path, recursive: true, ...only }, context.cancel)
}
