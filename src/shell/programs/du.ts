// du: what directories hold.
import { formatBytes } from '../../base/bytes.ts'
import { defineProgram, forEachOperand, jsonOption } from '../program.ts'
import { walk } from './walk.ts'

interface Sum {
  name: string
  depth: number
  directory: boolean
  bytes: number
}

function amountOf(bytes: number, { human, kibibytes }: { human: boolean; kibibytes: boolean }): string {
  if (human) return formatBytes(bytes)
  return String(kibibytes ? Math.ceil(bytes / 1024) : bytes)
}

export const du = defineProgram(
  {
    name: 'du',
    summary: 'Show how much directories hold',
    usage: ['[OPTION]... [PATH]...'],
    details: 'Bytes of content: equal content, such as that of copies, is stored once and counted each time.',
    options: {
      all: { short: 'a', help: 'files as well' },
      summarize: { short: 's', help: 'one sum for each PATH' },
      'max-depth': { short: 'd', value: 'COUNT', number: 'count', help: 'directories so deep below PATH' },
      human: { short: 'h', help: 'in KiB, MiB, …' },
      kibibytes: { short: 'k', help: 'in KiB, rounded up' },
      bytes: { short: 'b', help: 'in bytes, as it is without this' },
      ...jsonOption,
    },
  },
  async (context, { options, operands }) => {
    const deepest = options.summarize ? 0 : (options['max-depth'] ?? Number.POSITIVE_INFINITY)
    const rows: { name: string; bytes: number }[] = []
    let unread = false
    const failed = () => {
      unread = true
    }
    const code = await forEachOperand(
      context,
      operands.length > 0 ? operands : ['.'],
      async (operand) => {
        // The directories that the walk is in, each within the one before.
        const open: Sum[] = []
        const close = async (depth: number) => {
          for (let last = open.at(-1); last && last.depth >= depth; last = open.at(-1)) {
            open.pop()
            const above = open.at(-1)
            if (above) above.bytes += last.bytes
            const shown = last.depth <= deepest && (last.directory || options.all || last.depth === 0)
            if (!shown) continue
            rows.push({ name: last.name, bytes: last.bytes })
            const amount = amountOf(last.bytes, options)
            if (!options.json) await context.print(`${amount.padEnd(10)} ${context.shown(last.name)}\n`)
          }
        }
        for await (const { name, depth, kind, size } of walk(context, operand, failed)) {
          await close(depth)
          open.push({ name, depth, directory: kind === 'directory', bytes: kind === 'directory' ? 0 : size })
        }
        await close(0)
      },
      { describe: (operand) => `cannot access '${operand}'` },
    )
    if (options.json) await context.printJson(rows)
    return unread ? 1 : code
  },
)
