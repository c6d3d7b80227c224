// ln: another name for a path.
import { OsError } from '../../base/errors.ts'
import { saying } from '../messages.ts'
import { baseName, joinPath, parentPath, resolvePath } from '../paths.ts'
import { defineProgram, type ProgramContext } from '../program.ts'

export const ln = defineProgram(
  {
    name: 'ln',
    summary: 'Make a symbolic link',
    usage: ['-s [OPTION]... TARGET [LINK]'],
    details: 'A relative TARGET leads from the directory of the link. It need not exist.',
    options: {
      symbolic: { short: 's', help: 'a symbolic link: the only kind there is' },
      force: { short: 'f', help: 'replace what is there' },
      'no-dereference': {
        short: 'n',
        help: 'replace a LINK that leads to a directory, instead of making one in there',
      },
      verbose: { short: 'v', help: 'say what was made' },
    },
    operands: [1, 2],
  },
  async (context, { options, operands: [target = '', link = baseName(target)] }) => {
    if (!options.symbolic) throw new OsError('ENOTSUP', 'files have one name here: use -s')
    const failed = (name: string) => `failed to create symbolic link '${name}'`
    const into = await saying(failed(link), () => isDirectory(context, link, !options['no-dereference']))
    const name = into ? joinPath(link, baseName(target)) : link
    await saying(failed(name), () => make(context, target, { path: context.named(name), force: options.force }))
    if (options.verbose) await context.print(`'${context.shown(name)}' -> '${context.shown(target)}'\n`)
    return 0
  },
)

async function isDirectory(context: ProgramContext, operand: string, follow: boolean): Promise<boolean> {
  const path = context.path(operand)
  const found = follow ? context.fs.stat(path, context.cancel) : context.fs.lstat(path, context.cancel)
  return (await found.catch(() => undefined))?.isDirectory() ?? false // nothing there, or a link to nowhere
}

async function make(context: ProgramContext, target: string, { path, force }: { path: string; force: boolean }) {
  const leadsTo = resolvePath(parentPath(path), target)
  if (!force) return context.fs.symlink(target, path, context.cancel)
  if (leadsTo === path) throw new OsError('EINVAL', `'${target}' and the link are the same`)
  // What is there stays until the link is made.
  const made = `${path}.${Date.now().toString(36)}`
  await context.fs.symlink(target, made, context.cancel)
  try {
    await context.fs.rename(made, path, context.cancel)
  } catch (error) {
    await context.fs.rm(made, { force: true })
    throw error
  }
}
