// rm: removes files and, with -r, directories. What is named together goes in one change, so that one undo brings it back.
import { isOsError, OsError } from '../../base/errors.ts'
import { Complaint } from '../messages.ts'
import { UsageError } from '../options.ts'
import { endsInDots } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { groups, together } from './together.ts'

interface Doomed {
  operand: string
  path: string
  directory: boolean
}

const describe = (operand: string) => `cannot remove '${operand}'`

/** A link itself, not what it leads to. @returns undefined for what is not there, if that is no error. */
async function present(context: ProgramContext, operand: string, force: boolean) {
  try {
    return await context.fs.lstat(context.named(operand), context.cancel)
  } catch (error) {
    if (force && (isOsError(error, 'ENOENT') || isOsError(error, 'ENOTDIR'))) return undefined
    throw error
  }
}

export const rm = defineProgram(
  {
    name: 'rm',
    summary: 'Remove files and directories',
    usage: ['[OPTION]... PATH...'],
    details: 'What ends in . or .. is not removed: the directory that one is in goes by its name only.',
    options: {
      recursive: { short: 'r', also: 'R', help: 'remove directories with all that is in them' },
      dir: { short: 'd', help: 'remove empty directories' },
      force: { short: 'f', help: 'say nothing about what is not there' },
      interactive: { short: 'i', help: 'ask before each' },
      verbose: { short: 'v', help: 'say what was removed' },
    },
  },
  async (context, { options, operands }) => {
    const { recursive, force } = options
    if (operands.length === 0 && !force) throw new UsageError('missing operand')
    const ask = options.interactive ? context.need('confirm', 'nobody here who could be asked') : undefined
    const doomed: Doomed[] = []
    const look = async (operand: string) => {
      if (endsInDots(operand)) {
        throw new Complaint('EINVAL', `refusing to remove '.' or '..' directory: skipping '${operand}'`)
      }
      const info = await present(context, operand, force)
      if (!info) return
      const path = context.named(operand)
      if (path === '/') throw new OsError('EPERM', 'the root of the tree stays')
      const directory = info.isDirectory()
      if (directory && !recursive && !options.dir) throw new OsError('EISDIR', `${operand} is a directory`)
      if (ask && !(await ask(`rm: remove '${operand}'?`, context.signal))) return
      doomed.push({ operand, path, directory })
    }
    const looked = await forEachOperand(context, operands, look, { describe })
    let removed = 0
    for (const group of groups(doomed, ({ path }) => path.length))
      removed = Math.max(removed, await remove(context, group, options))
    return Math.max(looked, removed)
  },
)

interface Options {
  recursive: boolean
  force: boolean
  verbose: boolean
}

/** @returns the exit code. */
function remove(context: ProgramContext, group: readonly Doomed[], options: Options): Promise<number> {
  const { recursive, force, verbose } = options
  const [path = '', ...also] = group.map((one) => one.path)
  return together(context, group, {
    all: () => context.client.call('change', { op: 'remove', path, also, recursive }, context.cancel),
    one: async (each) => {
      try {
        await context.client.call('change', { op: 'remove', path: each.path, recursive }, context.cancel)
      } catch (error) {
        if (!(force && isOsError(error, 'ENOENT'))) throw error
      }
    },
    tell: async ({ operand, directory }) => {
      if (verbose) await context.print(`removed ${directory ? 'directory ' : ''}'${context.shown(operand)}'\n`)
    },
    nameOf: ({ operand }) => operand,
    describe,
  })
}
