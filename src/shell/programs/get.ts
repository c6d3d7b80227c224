// get: files and folders of the tree onto this device.
import { MOUNTS } from '../../syscalls/mounts.ts'
import { baseName } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { ProgressLine } from '../progress.ts'
import { type TarEntry, tar, tarSize } from '../tar.ts'
import { transferText } from '../transfer.ts'
import { walk } from './walk.ts'

export const get = defineProgram(
  {
    name: 'get',
    summary: 'Download files and folders to this device',
    usage: ['PATH...'],
    details: 'A folder comes as a tar archive with all that is in it.',
    options: {},
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { operands }) => {
    const download = context.need('download', 'no downloads here; os.fs.readFile reads a file from a script')
    let whole = true
    const code = await forEachOperand(context, operands, async (operand) => {
      const path = context.path(operand)
      const info = await context.fs.stat(context.named(operand), context.cancel)
      const name = path === '/' ? 'root' : baseName(path)
      if (!info.isDirectory()) {
        const content = context.fs.read(path, context.cancel)
        return download(name, withProgress(context, content, { name: path, total: info.size }), info.size)
      }
      const real = await context.fs.realpath(path, context.cancel)
      const entries = await archived(context, real, path === '/' ? '.' : name, () => {
        whole = false
      })
      const total = tarSize(entries)
      await download(`${name}.tar`, withProgress(context, tar(entries), { name: path, total }), total)
    })
    return whole ? code : 1
  },
)

/** All that is in a folder. What is made when it is read has no place in an archive. */
async function archived(context: ProgramContext, path: string, name: string, failed: () => void): Promise<TarEntry[]> {
  const entries: TarEntry[] = []
  for await (const found of walk(context, path, failed)) {
    const made = path === '/' && MOUNTS.some((mount) => `${found.path}/`.startsWith(`/${mount}/`))
    if (found.kind === 'stream' || made) continue
    const { kind, mode, mtimeMs } = found
    const target = kind === 'symlink' ? await context.fs.readlink(found.path, context.cancel) : undefined
    // What is made when it is read has its size when it is asked for.
    const size = kind === 'file' ? (await context.fs.stat(found.path, context.cancel)).size : 0
    const read = () => context.fs.read(found.path, { end: size, ...context.cancel })
    const below = found.path === path ? '' : found.path.slice(path === '/' ? 0 : path.length)
    entries.push({ name: name + below, kind, size, mode, mtimeMs, target, read })
  }
  return entries
}

async function* withProgress(
  context: ProgramContext,
  content: AsyncIterable<Uint8Array>,
  { name, total }: { name: string; total: number },
) {
  const progress = new ProgressLine(context)
  const startMs = context.host.now()
  let done = 0
  try {
    for await (const piece of content) {
      done += piece.byteLength
      await progress.show(transferText(name, { done, total, ms: context.host.now() - startMs }))
      yield piece
    }
  } finally {
    await progress.clear()
  }
}
