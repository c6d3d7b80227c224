// keg import: what a CAR holds becomes files.
import { OsError } from '../../../base/errors.ts'
import type { FileInfo } from '../../../syscalls/types.ts'
import { saying } from '../../messages.ts'
import { baseName } from '../../paths.ts'
import { defineProgram, type ProgramContext } from '../../program.ts'
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
    await context.print(`${[context.shown(to), ...(await cidOf(context, to))].join(': ')}\n`)
    return 0
  },
)

/** None where it cannot be told, e.g. of a folder that is too large for a CAR of ours: what was imported is there. */
async function cidOf(context: ProgramContext, path: string): Promise<string[]> {
  try {
    const args = { topic: 'path', path, plain: true, follow: false } as const
    const { cid } = (await context.client.call('info', args, context.cancel)) as FileInfo
    return cid ? [cid] : []
  } catch (error) {
    if (context.signal.aborted || !(error instanceof OsError)) throw error
    return []
  }
}
