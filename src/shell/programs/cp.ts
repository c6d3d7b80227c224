// cp: copies files and, with -r, directories.
import { type ErrorCode, isOsError, OsError } from '../../base/errors.ts'
import type { Stats } from '../../syscalls/fs-entries.ts'
import { Complaint } from '../messages.ts'
import { isInside, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { copyFile } from './copy-file.ts'
import { destination, Made, type Place, sameFile } from './destination.ts'

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

interface Copying extends Options {
  made: Made
  /** Something in a directory was not copied, of which the user was told. */
  failed(): void
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
    let inside = 0
    const failed = () => {
      inside = 1
    }
    const copyOne = (source: string) => copyNamed(context, source, placeOf(source), { ...options, made, failed })
    const code = await forEachOperand(context, sources, copyOne, { describe })
    return Math.max(code, inside)
  },
)

const describe = (source: string) => `cannot copy '${source}'`

async function copyNamed(context: ProgramContext, source: string, place: Place, options: Copying) {
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
  if (!one.directory && !options['no-clobber'] && (await made.twice(context, source, place))) return
  if (!(await copy(context, one, options))) return
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

/** Within the tree nothing is read: the copy shares its content with the original. @returns false for what -n leaves as it is. */
async function copy(context: ProgramContext, one: Copy, options: Copying): Promise<boolean> {
  if (one.directory) {
    if (await begun(context, one, options)) return true // with modes and times
    await copyInside(context, one, options)
  } else if (!(await copyLeaf(context, one, options))) return false
  if (options.preserve && !one.link) await keepAttributes(context, one)
  return true
}

/** A directory that what is in another goes into; somebody else may make it at the same moment. @returns whether all is there. */
async function begun(context: ProgramContext, one: Copy, options: Options): Promise<boolean> {
  const { to } = one
  if (await isDirectoryThere(context, to)) return false
  const whole = await unless(['ENOTEMPTY'], () => shared(context, one, options))
  if (whole === false) await unless(['EEXIST'], () => context.fs.mkdir(to, context.cancel))
  return whole === true
}

/** @throws {OsError} ENOTDIR for what is there and no directory. */
async function isDirectoryThere(context: ProgramContext, path: string): Promise<boolean> {
  if (!(await context.fs.exists(path, context.cancel))) return false
  if ((await context.fs.stat(path, context.cancel)).isDirectory()) return true
  throw new OsError('ENOTDIR', `cannot overwrite ${path}, which is no directory, with a directory`)
}

/** A file or a link. @returns false where something is there that -n does not replace, whoever has just made it. */
async function copyLeaf(context: ProgramContext, one: Copy, options: Options): Promise<boolean> {
  const { from, to, link } = one
  const copied = async () => {
    if (await shared(context, one, options)) return true
    if (link) await context.fs.symlink(await context.fs.readlink(from, context.cancel), to, context.cancel)
    else await copyFile(context, { ...one, exclusive: options['no-clobber'] })
    return true
  }
  return options['no-clobber'] ? ((await unless(['EEXIST'], copied)) ?? false) : copied()
}

/** @returns undefined where it fails so. */
async function unless<T>(codes: readonly ErrorCode[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    if (codes.some((code) => isOsError(error, code))) return undefined
    throw error
  }
}

/** What cannot be copied is named, and the others are. */
async function copyInside(context: ProgramContext, { from, to }: Copy, options: Copying): Promise<void> {
  for (const entry of await context.fs.readdir(from, { withFileTypes: true, ...context.cancel })) {
    const child = { from: joinPath(from, entry.name), to: joinPath(to, entry.name), ...kindOf(entry) }
    const work = async () => void (await copy(context, child, options))
    if ((await forEachOperand(context, [child.from], work, { describe })) > 0) options.failed()
  }
}

async function keepAttributes(context: ProgramContext, { to, mode, mtimeMs }: Copy): Promise<void> {
  const known = mtimeMs > 0 ? { mtimeMs } : {}
  const change = { op: 'set', path: to, mode: mode & 0o7777, ...known } as const
  await context.client.call('change', change, context.cancel)
}

/** @returns false when the source is not in the tree. */
async function shared(context: ProgramContext, one: Copy, options: Options): Promise<boolean> {
  const { from, to, mode } = one
  const { force } = options
  const only = options['no-clobber'] && !one.directory ? { exclusive: true } : {}
  const call = () => context.client.call('change', { op: 'copy', from, to, ...only }, context.cancel)
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
