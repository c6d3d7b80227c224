// tree: a directory drawn with all that is below.

import { joinPath } from '../paths.ts'
import type { ProgramContext } from '../program.ts'
import { defineProgram, forEachOperand } from '../program.ts'
import { printable } from '../table.ts'
import { countOf } from './head.ts'
import { readable } from './walk.ts'

interface Counts {
  unread?: boolean
  directories: number
  files: number
}

async function draw(
  context: ProgramContext,
  at: { path: string; indent: string; depth: number },
  options: { all: boolean; most: number },
  counts: Counts,
): Promise<void> {
  if (at.depth >= options.most) return
  const found = await readable(context, at.path, () =>
    context.fs.readdir(at.path, { withFileTypes: true, ...context.cancel }),
  )
  if (!found) {
    counts.unread = true
    return
  }
  const entries = found.filter(({ name }) => options.all || !name.startsWith('.'))
  for (const [i, entry] of entries.entries()) {
    const last = i === entries.length - 1
    const path = joinPath(at.path, entry.name)
    const target = entry.isSymbolicLink() ? ` -> ${printable(await context.fs.readlink(path, context.cancel))}` : ''
    await context.print(`${at.indent}${last ? '└── ' : '├── '}${printable(entry.name)}${target}\n`)
    if (!entry.isDirectory()) {
      counts.files++
      continue
    }
    counts.directories++
    const below = { path, indent: at.indent + (last ? '    ' : '│   '), depth: at.depth + 1 }
    await draw(context, below, options, counts)
  }
}

export const tree = defineProgram(
  {
    name: 'tree',
    summary: 'Draw a directory with all that is below',
    usage: ['[OPTION]... [PATH]...'],
    options: {
      all: { short: 'a', help: 'names that begin with . as well' },
      level: { short: 'L', value: 'COUNT', help: 'so many levels' },
    },
  },
  async (context, { options, operands }) => {
    const most = countOf(options.level, 'levels') ?? Number.POSITIVE_INFINITY
    const counts: Counts = { directories: 0, files: 0 }
    const code = await forEachOperand(context, operands.length > 0 ? operands : ['.'], async (operand) => {
      const path = context.path(operand)
      await context.fs.readdir(path, context.cancel) // first: what is no directory is not drawn
      await context.print(`${printable(operand)}\n`)
      await draw(context, { path, indent: '', depth: 0 }, { all: options.all, most }, counts)
    })
    const { directories, files } = counts
    const plural = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`
    await context.print(`\n${plural(directories, 'directory', 'directories')}, ${plural(files, 'file', 'files')}\n`)
    return counts.unread ? 1 : code
  },
)
