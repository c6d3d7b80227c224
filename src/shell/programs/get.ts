// get: files and folders of the tree onto this device.
import { MOUNTS } from '../../syscalls/mounts.ts'
import { baseName } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { ProgressLine } from '../progress.ts'
import { type TarEntry, tar, tarSize } from '../tar.ts'
import { transferText } from '../transfer.ts'
import { readable, walk } from './walk.ts'

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
        return download(name, withProgress(context, content, { name: path, total: info.size }))
      }
      const real = await context.fs.realpath(path, context.cancel)
      const failed = () => {
        whole = false
      }
      const entries = await archived(context, real, path === '/' ? '.' : name, failed)
      const archive = tar(opened(context, entries, failed))
      await download(`${name}.tar`, withProgress(context, archive, { name: path, total: tarSize(entries) }))
    })
    return whole ? code : 1
  },
)

/** All that is in a folder, to be opened when its turn comes. What is made when it is read has no place in an archive. */
async function archived(context: ProgramContext, path: string, name: string, failed: () => void): Promise<Archived[]> {
  const entries: Archived[] = []
  for await (const found of walk(context, path, failed)) {
    const made = path === '/' && MOUNTS.some((mount) => `${found.path}/`.startsWith(`/${mount}/`))
    if (found.kind === 'stream' || made) continue
    const { kind, size, mode, mtimeMs } = found
    const link = () => context.fs.readlink(found.path, context.cancel)
    const target = kind === 'symlink' ? await readable(context, found.path, link) : undefined
    const below = found.path === path ? '' : found.path.slice(path === '/' ? 0 : path.length)
    if (kind === 'symlink' && target === undefined) failed()
    else entries.push({ path: found.path, name: name + below, kind, size, mode, mtimeMs, target })
  }
  return entries
}

interface Archived extends TarEntry {
  path: string
}

/** A file is as it is when its turn comes: one that others have removed by then is reported and left out. */
async function* opened(context: ProgramContext, entries: Archived[], failed: () => void): AsyncGenerator<TarEntry> {
  for (const entry of entries) {
    if (entry.kind !== 'file') {
      yield entry
      continue
    }
    const { path } = entry
    const handle = await readable(context, path, () => context.fs.open(path, 'r', context.cancel))
    if (!handle) {
      failed()
      continue
    }
    try {
      const { size } = handle
      yield { ...entry, size, read: () => handle.pieces({ end: size, ...context.cancel }) }
    } finally {
      await handle.close({ discard: true })
    }
  }
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
