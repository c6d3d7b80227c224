// keg chunks: where the content of files is cut into blocks.
import { OsError } from '../../../base/errors.ts'
import type { Chunking, FileInfo } from '../../../syscalls/types.ts'
import { joinPath } from '../../paths.ts'
import { defineProgram, forEachOperand, jsonOption } from '../../program.ts'

const isChunking = (text: string | undefined): text is Chunking => text === 'fixed' || text === 'content'

export const chunks = defineProgram(
  {
    name: 'keg chunks',
    summary: 'Show or choose where files are cut into blocks',
    usage: ['[-R] [fixed|content] PATH...'],
    details: `A file is cut every mebibyte (fixed), so that its CID is the one that IPFS tools give it. Cut by content, into some
4 KiB each, versions of it share all blocks but those that a change touches, also behind something that was put in: for
disk images and other large files of which many versions are kept. That costs time, and 1 % of space. The file is
rewritten; of a directory, files that are made in it from now on are cut so.`,
    examples: ['keg chunks content /images', 'keg chunks /images/disk.img'],
    options: { recursive: { short: 'R', help: 'also what is in directories' }, ...jsonOption },
    operands: [1, Number.POSITIVE_INFINITY],
  },
  async (context, { options, operands }) => {
    const [first, ...rest] = operands
    const how = rest.length > 0 && isChunking(first) ? first : undefined
    const found: { path: string; kind: FileInfo['kind']; chunks: Chunking }[] = []
    const visit = async (path: string): Promise<void> => {
      const { info } = await context.fs.stat(path, context.cancel)
      if (info.kind === 'stream') throw new OsError('EINVAL', `${path} is no file`)
      if (how) await context.keg.chunks(path, how, context.cancel)
      found.push({ path, kind: info.kind, chunks: how ?? info.chunks ?? 'fixed' })
      if (!options.recursive || info.kind !== 'directory') return
      for (const entry of await context.fs.readdir(path, { withFileTypes: true, ...context.cancel })) {
        if (!entry.isSymbolicLink()) await visit(joinPath(path, entry.name))
      }
    }
    const code = await forEachOperand(context, how ? rest : operands, (operand) => visit(context.path(operand)), {
      describe: (operand) => `cannot ${how ? 'change' : 'tell'} how '${operand}' is cut`,
    })
    if (options.json) await context.printJson(found)
    else if (!how) await context.print(found.map(({ path, chunks }) => `${chunks.padEnd(8)} ${path}\n`).join(''))
    return code
  },
)
