// get: a file of the tree onto this device.
import { OsError } from '../../base/errors.ts'
import { baseName } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { ProgressLine } from '../progress.ts'
import { transferText } from '../transfer.ts'

export const get = defineProgram(
  {
    name: 'get',
    summary: 'Download files to this device',
    usage: ['FILE...'],
    options: {},
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { operands }) => {
    const download = context.need('download', 'no downloads here; os.fs.readFile reads a file from a script')
    return forEachOperand(context, operands, async (operand) => {
      const path = context.path(operand)
      const info = await context.fs.stat(path, context.cancel)
      if (info.isDirectory()) throw new OsError('EISDIR', `${operand} is a directory`)
      await download(baseName(path), withProgress(context, { path, size: info.size }), info.size)
    })
  },
)

async function* withProgress(context: ProgramContext, { path, size }: { path: string; size: number }) {
  const progress = new ProgressLine(context)
  const startMs = context.host.now()
  let done = 0
  try {
    for await (const piece of context.fs.read(path, context.cancel)) {
      done += piece.byteLength
      await progress.show(transferText(path, { done, total: size, ms: context.host.now() - startMs }))
      yield piece
    }
  } finally {
    await progress.clear()
  }
}
