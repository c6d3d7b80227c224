// cd: changes the directory of this shell.
import { OsError } from '../../base/errors.ts'
import { reason } from '../messages.ts'
import { defineProgram } from '../program.ts'
import { homeOf, isUserName, makeHome } from '../user.ts'

export const cd = defineProgram(
  {
    name: 'cd',
    summary: 'Change the directory',
    usage: ['[DIRECTORY]'],
    details: 'Without a DIRECTORY: to $HOME, which is made if it is yours and missing. With -: back to where you were.',
    options: {},
    operands: [0, 1],
  },
  async (context, { operands: [operand] }) => {
    const { session } = context
    const wanted = operand === '-' ? session.get('OLDPWD') : (operand ?? session.get('HOME'))
    if (wanted === undefined) {
      await context.complain(operand === '-' ? 'OLDPWD not set' : 'HOME not set')
      return 1
    }
    const user = session.get('USER') ?? ''
    let path: string
    try {
      path = context.path(wanted)
      if (operand === undefined && isUserName(user) && path === homeOf(user)) {
        await makeHome(context.fs, user, context.cancel)
      } else if (!(await context.fs.stat(path, context.cancel)).isDirectory()) {
        throw new OsError('ENOTDIR', `${wanted} is not a directory`)
      }
    } catch (error) {
      if (!(error instanceof OsError) || context.signal.aborted) throw error
      await context.complain(`${wanted || "''"}: ${reason(error)}`)
      return 1
    }
    session.changeDirectory(path)
    if (operand === '-') await context.print(`${context.shown(path)}\n`)
    return 0
  },
)
