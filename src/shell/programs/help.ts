// help: what can be typed here.
import { defineProgram, jsonOption } from '../program.ts'

export const help = defineProgram(
  {
    name: 'help',
    summary: 'List the commands, or explain one',
    usage: ['[--json]', 'COMMAND'],
    options: jsonOption,
    operands: [0, 1],
  },
  async (context, { options, operands: [name] }) => {
    const { programs } = context.parts
    if (name !== undefined) {
      const program = programs.get(name)
      if (program) await context.print(program.help)
      else await context.complain(`no command is called '${name}'`)
      return program ? 0 : 1
    }
    const rows = [...programs.values()].map((program) => ({ name: program.name, summary: program.summary }))
    if (options.json) await context.printJson(rows)
    else {
      const lines = rows.map((row) => `  ${row.name.padEnd(8)}  ${row.summary}`)
      await context.print(
        `Commands (COMMAND --help explains one):\n\n${lines.join('\n')}\n\n` +
          'A program is started by run, or by its path: /bin/examples/primes.js 1000\n' +
          'Pipes |, && || ;, "quotes", $VARIABLES, * ? [a-z] and > >> < 2>&1 work as in bash.\n',
      )
    }
    return 0
  },
)
