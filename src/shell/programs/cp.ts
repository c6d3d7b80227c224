// cp: copies files and, with -r, directories.
import { isOsError, OsError } from '../../base/errors.ts'
import type { Stats } from '../../syscalls/fs-entries.ts'
import { Complaint } from '../messages.ts'
import { isInside, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { copyFile } from './copy-file.ts'
import { destination, isThere, Made, type Place, sameFile } from './destination.ts'

const OWNER_READS = 0o400
const OWNER_WRITES = 0o200

interface Options {
  recursive: boolean
  archive: boolean
  preserve: boolean
  force: boolean
  'no-clobber': boolean
  verbose: boolean
}

export const cp = defineProgram(
  {
    name: 'cp',
    summary: 'Copy files and directories',
    usage: ['[OPTION]... SOURCE TARGET', '[OPTION]... SOURCE... DIRECTORY'],
    details: 'With -r links are copied as links; without it, what they lead to.',
    options: {
      recursive: { short: 'r', also: 'R', help: 'copy directories with all that is in them' },
      archive: { short: 'a', help: 'the same as -r -p' },
      preserve: { short: 'p', help: 'keep mode and time of change' },
      force: { short: 'f', help: 'replace what must not be written' },
      'no-clobber': { short: 'n', help: 'replace nothing' },
      verbose: { short: 'v', help: 'say what was copied' },
    },
    operands: [2, Number.POSITIVE_INFINITY],
  },
  async (context, { options: given, operands }) => {
    const { recursive, preserve, archive } = given
    const options = { ...given, recursive: recursive || archive, preserve: preserve || archive }
    const { sources, placeOf } = await destination(context, operands)
    const made = new Made()
    const copyOne = (source: string) => copyNamed(context, source, placeOf(source), { ...options, made })
    return forEachOperand(context, sources, copyOne, {
      describe: (source) => `cannot copy '${source}'`,
    })
  },
)

async function copyNamed(context: ProgramContext, source: string, place: Place, options: Options & { made: Made }) {
  const { from, to, name } = place
  const { made } = options
  const stat = options.recursive
    ? await context.fs.lstat(from, context.cancel)
    : await context.fs.stat(from, context.cancel)
  const { path } = stat.info
  if (await sameFile(context, from, to)) {
    throw new Complaint('EINVAL', `'${source}' and '${name}' are the same file`)
  }
  if (stat.isDirectory() && !options.recursive) throw new OsError('EISDIR', 'use -r to copy a directory')
  if (stat.isDirectory() && isInside(to, path)) throw new OsError('EINVAL', 'cannot copy a directory into itself')
  const one = { from: path, to, ...kindOf(stat) }
  if (options['no-clobber'] && !one.directory && (await isThere(context, to))) return
  if (!one.directory && (await made.twice(context, source, place))) return
  await copy(context, one, options)
  made.add(place)
  if (options.verbose) await context.print(`'${context.shown(source)}' -> '${context.shown(name)}'\n`)
}

interface Copy extends Pick<Stats, 'size' | 'mode' | 'mtimeMs'> {
  from: string
  to: string
  directory: boolean
  link: boolean
}

function kindOf(stat: Pick<Stats, 'size' | 'mode' | 'mtimeMs' | 'isDirectory' | 'isSymbolicLink'>) {
  const { size, mode, mtimeMs } = stat
  return { size, mode, mtimeMs, directory: stat.isDirectory(), link: stat.isSymbolicLink() }
}

/** Within the tree nothing is read: the copy shares its content with the original. */
async function copy(context: ProgramContext, one: Copy, options: Options): Promise<void> {
  const { from, to, directory, link } = one
  const merged = directory && (await context.fs.exists(to, context.cancel))
  const whole = !merged && (await shared(context, one, options))
  if (link) {
    if (!whole) await context.fs.symlink(await context.fs.readlink(from, context.cancel), to, context.cancel)
    return
  }
  if (directory && whole) return // with modes and times
  if (directory && !merged) await context.fs.mkdir(to, context.cancel)
  if (directory) await copyInside(context, one, options)
  else if (!whole) await copyFile(context, one)
  if (options.preserve) await keepAttributes(context, one)
}

async function copyInside(context: ProgramContext, { from, to }: Copy, options: Options): Promise<void> {
  for (const entry of await context.fs.readdir(from, { withFileTypes: true, ...context.cancel })) {
    const child = { from: joinPath(from, entry.name), to: joinPath(to, entry.name), ...kindOf(entry) }
    if (options['no-clobber'] && !child.directory && (await isThere(context, child.to))) continue
    await copy(context, child, options)
  }
}

async function keepAttributes(context: ProgramContext, { to, mode, mtimeMs }: Copy): Promise<void> {
  const known = mtimeMs > 0 ? { mtimeMs } : {}
  const change = { op: 'set', path: to, mode: mode & 0o7777, ...known } as const
  await context.client.call('change', change, context.cancel)
}

/** @returns false when the source is not in the tree. */
async function shared(context: ProgramContext, { from, to, mode }: Copy, { force }: Options): Promise<boolean> {
  const call = () => context.client.call('change', { op: 'copy', from, to }, context.cancel)
  try {
    await call()
  } catch (error) {
    if (isOsError(error, 'EXDEV')) return false
    if (!force || !isOsError(error, 'EACCES') || !(mode & OWNER_READS) || !(await isShut(context, to))) throw error
    await context.fs.rm(to, context.cancel)
    await call()
  }
  return true
}

/** Whether it is a file that its owner must not write. */
async function isShut(context: ProgramContext, path: string): Promise<boolean> {
  const stat = await context.fs.lstat(path, context.cancel)
  return stat.isFile() && !(stat.mode & OWNER_WRITES)
}
