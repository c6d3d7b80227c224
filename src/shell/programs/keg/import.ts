// keg import: what a CAR holds becomes files.
import { saying } from '../../messages.ts'
import { baseName } from '../../paths.ts'
import { defineProgram } from '../../program.ts'
import { showing } from '../../progress.ts'
import { printable } from '../../table.ts'

export const importCar = defineProgram(
  {
    name: 'keg import',
    summary: 'Bring the files of a CAR into the tree',
    usage: ['FILE [PATH]'],
    details: [
      'FILE has one root, CIDs of version 1 and sha2-256; every block is checked. PATH is what its root becomes: the name of',
      'FILE without .car unless told. Nothing may be there yet.',
    ].join('\n'),
    examples: ['put && keg import docs.car'],
    options: {},
    operands: [1, 2],
  },
  async (context, { operands: [file = '', operand] }) => {
    const target = operand ?? baseName(file).replace(/\.car$/, '')
    const to = await saying(`cannot import '${file}' as '${target}'`, async () => {
      const [from, to] = [context.path(file), context.path(target)]
      await showing(context, printable(to), (options) =>
        context.client.call('change', { op: 'import', from, to }, options),
      )
      return to
    })
    const { cid = '' } = (await context.client.call(
      'info',
      { topic: 'path', path: to, plain: true },
      context.cancel,
    )) as { cid?: string }
    await context.print(`${context.shown(to)}: ${cid}\n`)
    return 0
  },
)
