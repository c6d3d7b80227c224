// cp: copies files and, with -r, directories.
import { isOsError, OsError } from '../../base/errors.ts'
import { baseName, isInside, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { copyFile } from './copy-file.ts'
import { destination } from './destination.ts'

export const cp = defineProgram(
  {
    name: 'cp',
    summary: 'Copy files and directories',
    usage: ['[-r] SOURCE TARGET', '[-r] SOURCE... DIRECTORY'],
    options: { recursive: { short: 'r', help: 'copy directories with all that is in them' } },
    operands: [2, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const { sources, target, into } = await destination(context, operands)
    return forEachOperand(
      context,
      sources,
      async (source) => {
        const from = context.path(source)
        const to = into ? joinPath(target, baseName(from)) : target
        // Links within a directory are copied as they are; one that is named stands for what it leads to.
        const { info } = await context.fs.stat(from, context.cancel)
        const directory = info.kind === 'directory'
        if (info.path === to) throw new OsError('EINVAL', 'source and target are the same file')
        if (directory && !options.recursive) throw new OsError('EISDIR', 'use -r to copy a directory')
        if (directory && isInside(to, info.path)) throw new OsError('EINVAL', 'cannot copy a directory into itself')
        await copy(context, { from: info.path, to, directory, size: info.size })
      },
      { describe: (source) => `cannot copy '${source}'` },
    )
  },
)

interface Copy {
  from: string
  to: string
  directory: boolean
  size: number
}

/** Within the tree nothing is read: the copy shares its content with the original. */
async function copy(context: ProgramContext, one: Copy): Promise<void> {
  const { from, to, directory } = one
  const merged = directory && (await context.fs.exists(to, context.cancel))
  if (!merged && (await shared(context, one))) return
  if (!directory) return copyFile(context, one)
  if (!merged) await context.fs.mkdir(to, context.cancel)
  for (const entry of await context.fs.readdir(from, { withFileTypes: true, ...context.cancel })) {
    if (entry.isSymbolicLink()) {
      await copyLink(context, joinPath(from, entry.name), joinPath(to, entry.name))
      continue
    }
    const child = { from: joinPath(from, entry.name), to: joinPath(to, entry.name), size: entry.size }
    await copy(context, { ...child, directory: entry.isDirectory() })
  }
}

/** A link in a directory of another file system, as it is. */
async function copyLink(context: ProgramContext, from: string, to: string): Promise<void> {
  if (await shared(context, { from, to })) return
  await context.fs.symlink(await context.fs.readlink(from, context.cancel), to, context.cancel)
}

/** @returns false when the source is not in the tree. */
async function shared(context: ProgramContext, { from, to }: Pick<Copy, 'from' | 'to'>): Promise<boolean> {
  try {
    await context.client.call('change', { op: 'copy', from, to }, context.cancel)
    return true
  } catch (error) {
    if (isOsError(error, 'EXDEV')) return false
    throw error
  }
}
