// keg export: a file or folder with all its blocks, for any IPFS tool.

import { saying } from '../../messages.ts'
import { baseName } from '../../paths.ts'
import { defineProgram } from '../../program.ts'
import { copyFile } from '../copy-file.ts'

export const exportCar = defineProgram(
  {
    name: 'keg export',
    summary: 'Write files and folders as a CAR, for any IPFS tool',
    usage: ['PATH [FILE]'],
    details: [
      'To NAME.car in this directory unless told; - is the standard output. CIDs are those of the unixfs-v1-2025 profile.',
      'The same can be read at /car/PATH.car: get /car/docs.car downloads it.',
    ].join('\n'),
    examples: ['keg export /docs', 'keg export /keg/12/docs old.car'],
    options: {},
    operands: [1, 2],
  },
  async (context, { operands: [operand = '', file] }) => {
    const path = context.path(operand)
    const car = path === '/' ? '/car/keg/HEAD.car' : `/car${path}.car`
    await context.fs.stat(path, context.cancel)
    if (file === '-') {
      for await (const piece of context.fs.read(car, context.cancel)) await context.stdout.write(piece)
      return 0
    }
    const to = context.path(file ?? `${path === '/' ? 'root' : baseName(path)}.car`)
    const { size } = await context.fs.stat(car, context.cancel)
    await saying(`cannot write '${to}'`, () => copyFile(context, { from: car, to, size }))
    const { cid = '' } = (await context.client.call('info', { topic: 'path', path, plain: true }, context.cancel)) as {
      cid?: string
    }
    await context.print(`${context.shown(to)}: ${cid}\n`)
    return 0
  },
)
