// keg chunks: where the content of files is cut into blocks.
import { OsError } from '../../../base/errors.ts'
import { MOUNTS } from '../../../syscalls/mounts.ts'
import type { Chunking, FileInfo } from '../../../syscalls/types.ts'
import { joinPath } from '../../paths.ts'
import { defineProgram, forEachOperand, jsonOption } from '../../program.ts'

const isMount = (name: string) => (MOUNTS as readonly string[]).includes(name)
const isChunking = (text: string | undefined): text is Chunking => text === 'fixed' || text === 'content'

export const chunks = defineProgram(
  {
    name: 'keg chunks',
    summary: 'Show or choose where files are cut into blocks',
    usage: ['[-R] [fixed|content] PATH...'],
    details: `A file is cut every mebibyte (fixed), so that its CID is the one that IPFS tools give it. Cut by content, into some
3 KiB each, versions of it share all blocks but those that a change touches, also behind something that was put in: for
disk images and other large files of which many versions are kept. That costs time, and 2 % of space. The file is
rewritten; of a directory, files that are made in it from now on are cut so.`,
    examples: ['keg chunks content /images', 'keg chunks /images/disk.img'],
    options: { recursive: { short: 'R', help: 'also what is in directories' }, ...jsonOption },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const [first, ...rest] = operands
    const how = rest.length > 0 && isChunking(first) ? first : undefined
    const found: { path: string; kind: FileInfo['kind']; chunks: Chunking }[] = []
    let failed = false
    const describe = (operand: string) => `cannot ${how ? 'change' : 'tell'} how '${operand}' is cut`
    const visit = async (path: string): Promise<void> => {
      const { info } = await context.fs.stat(path, context.cancel)
      if (info.kind === 'stream') throw new OsError('EINVAL', `${path} is no file`)
      // There is nothing to say it for / itself.
      if (how && !(path === '/' && options.recursive)) await context.keg.chunks(path, how, context.cancel)
      found.push({ path, kind: info.kind, chunks: how ?? info.chunks ?? 'fixed' })
      if (!options.recursive || info.kind !== 'directory') return
      const names = (await context.fs.readdir(path, { withFileTypes: true, ...context.cancel }))
        .filter((entry) => !entry.isSymbolicLink() && !(path === '/' && isMount(entry.name)))
        .map(({ name }) => joinPath(path, name))
      if ((await forEachOperand(context, names, visit, { describe })) !== 0) failed = true
    }
    const visited = (operand: string) => visit(context.path(operand))
    const code = await forEachOperand(context, how ? rest : operands, visited, { describe })
    if (options.json) await context.printJson(found)
    else if (!how)
      await context.print(found.map(({ path, chunks }) => `${chunks.padEnd(8)} ${context.shown(path)}\n`).join(''))
    return failed ? 1 : code
  },
)
