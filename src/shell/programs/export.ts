// export: marks variables for the commands to come.
import { quote } from '../messages.ts'
import { defineProgram, jsonOption } from '../program.ts'

export const exportProgram = defineProgram(
  {
    name: 'export',
    summary: 'Set variables and hand them to commands',
    usage: ['[--json]', 'NAME[=VALUE]...'],
    options: jsonOption,
  },
  async (context, { options, operands }) => {
    const { session } = context
    if (operands.length === 0) {
      const rows = session.environment()
      if (options.json) await context.printJson(Object.fromEntries(rows))
      else await context.print(rows.map(([name, value]) => `export ${name}=${quote(value)}\n`).join(''))
      return 0
    }
    let code = 0
    for (const operand of operands) {
      const [, name, value] = /^([A-Za-z_]\w*)(?:=(.*))?$/s.exec(operand) ?? []
      if (name === undefined) {
        await context.complain(`'${operand}': not a valid identifier`)
        code = 1
      } else session.set(name, value ?? session.get(name) ?? '', true)
    }
    return code
  },
)
