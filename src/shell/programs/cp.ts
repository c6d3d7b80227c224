// cp: copies files and, with -r, directories.
import { OsError } from '../../base/errors.ts'
import { baseName, isInside, joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { bar, ProgressLine } from '../progress.ts'
import { destination } from './destination.ts'

export const cp = defineProgram(
  {
    name: 'cp',
    summary: 'Copy files and directories',
    usage: ['[-r] SOURCE TARGET', '[-r] SOURCE... DIRECTORY'],
    options: { recursive: { short: 'r', help: 'copy directories with all that is in them' } },
    operands: [2, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const { sources, target, into } = await destination(context, operands)
    return forEachOperand(
      context,
      sources,
      async (source) => {
        const from = context.path(source)
        const to = into ? joinPath(target, baseName(from)) : target
        const info = await context.fs.stat(from, context.cancel)
        if (from === to) throw new OsError('EINVAL', 'source and target are the same file')
        if (info.isDirectory() && !options.recursive) throw new OsError('EISDIR', 'use -r to copy a directory')
        if (info.isDirectory() && isInside(to, from)) throw new OsError('EINVAL', 'cannot copy a directory into itself')
        await copy(context, { from, to, directory: info.isDirectory(), size: info.size })
      },
      { describe: (source) => `cannot copy '${source}'` },
    )
  },
)

async function copy(
  context: ProgramContext,
  { from, to, directory, size }: { from: string; to: string; directory: boolean; size: number },
): Promise<void> {
  if (!directory) return copyFile(context, { from, to, size })
  if (!(await context.fs.exists(to, context.cancel))) await context.fs.mkdir(to, context.cancel)
  for (const entry of await context.fs.readdir(from, { withFileTypes: true, ...context.cancel })) {
    const child = { from: joinPath(from, entry.name), to: joinPath(to, entry.name), size: entry.size }
    await copy(context, { ...child, directory: entry.isDirectory() })
  }
}

async function copyFile(
  context: ProgramContext,
  { from, to, size }: { from: string; to: string; size: number },
): Promise<void> {
  const progress = new ProgressLine(context)
  async function* pieces() {
    let done = 0
    for await (const piece of context.fs.read(from, context.cancel)) {
      done += piece.byteLength
      if (done < size) await progress.show(`${bar(done / size, 24)} ${to}`)
      yield piece
    }
  }
  try {
    await context.fs.writeFile(to, pieces(), context.cancel)
  } finally {
    await progress.clear()
  }
}
