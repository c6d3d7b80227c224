// login: takes a name on this device. whoami: tells it.
import { UsageError } from '../options.ts'
import { defineProgram, forEachOperand } from '../program.ts'
import { homeOf, isUserName, makeHome } from '../user.ts'

export const login = defineProgram(
  {
    name: 'login',
    summary: 'Take a name, and its directory below /home',
    usage: ['NAME'],
    details:
      'Goes to /home/NAME, which is made where it is missing, and which ~ and cd mean from then on. This device remembers the name; any other may use it as well, so that all files of /home/NAME are at hand there. There is no password: a name keeps nobody out. Who has said none is guest.',
    options: {},
    operands: [1, 1],
    examples: ['login ann', 'login guest'],
  },
  async (context, { operands }) => {
    const [name = ''] = operands
    if (!isUserName(name)) {
      throw new UsageError(`'${name}' is no name: up to 32 small letters, digits, - and _, a letter or _ first`)
    }
    const login = async () => {
      await makeHome(context.fs, name, context.cancel)
      context.session.login(name)
    }
    return forEachOperand(context, operands, login, { describe: () => `cannot make '${homeOf(name)}'` })
  },
)

export const whoami = defineProgram(
  { name: 'whoami', summary: 'Print your name', usage: [''], options: {}, operands: [0, 0] },
  async (context) => {
    await context.print(`${context.session.get('USER') ?? ''}\n`)
    return 0
  },
)
