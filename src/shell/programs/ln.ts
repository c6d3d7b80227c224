// ln: another name for a path.
import { OsError } from '../../base/errors.ts'
import { baseName, joinPath } from '../paths.ts'
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
    if (options.force) await context.fs.rm(path, { force: true, ...context.cancel })
    await context.fs.symlink(target, path, context.cancel)
    return 0
  },
)
