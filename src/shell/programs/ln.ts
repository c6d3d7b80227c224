// ln: another name for a path.
import { OsError } from '../../base/errors.ts'
import { baseName, joinPath, parentPath, resolvePath } from '../paths.ts'
import { defineProgram } from '../program.ts'

export const ln = defineProgram(
  {
    name: 'ln',
    summary: 'Make a symbolic link',
    usage: ['-s [-f] TARGET [LINK]'],
    details: 'A relative TARGET leads from the directory of the link. It need not exist.',
    options: {
      symbolic: { short: 's', help: 'a symbolic link: the only kind there is' },
      force: { short: 'f', help: 'replace what is there' },
    },
    operands: [1, 2],
  },
  async (context, { options, operands: [target = '', link = baseName(target)] }) => {
    if (!options.symbolic) throw new OsError('ENOTSUP', 'files have one name here: use -s')
    const there = context.path(link)
    const within = await context.fs.stat(there, context.cancel).catch(() => undefined) // nothing there, or a link to nowhere
    const path = within?.isDirectory() ? joinPath(there, baseName(target)) : there
    if (!options.force) {
      await context.fs.symlink(target, path, context.cancel)
      return 0
    }
    if (resolvePath(parentPath(path), target) === path)
      throw new OsError('EINVAL', `'${target}' and the link are the same`)
    // What is there stays until the link is made.
    const made = `${path}.${Date.now().toString(36)}`
    await context.fs.symlink(target, made, context.cancel)
    try {
      await context.fs.rename(made, path, context.cancel)
    } catch (error) {
      await context.fs.rm(made, { force: true })
      throw error
    }
    return 0
  },
)
