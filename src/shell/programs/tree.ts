// tree: a directory drawn with all that is below.

import type { Dirent } from '../../syscalls/fs.ts'
import { ASIDE } from '../../syscalls/mounts.ts'
import { joinPath } from '../paths.ts'
import { defineProgram, forEachOperand, type ProgramContext } from '../program.ts'
import { printable } from '../table.ts'
import { readable } from './walk.ts'

interface Counts {
  unread?: boolean
  directories: number
  files: number
}

async function draw(
  context: ProgramContext,
  at: { path: string; indent: string; depth: number },
  found: readonly Dirent[],
  options: { all: boolean; most: number },
  counts: Counts,
): Promise<void> {
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
    if (below.depth >= options.most || ASIDE.has(path)) continue
    const inside = await readable(context, path, () => listing(context, path))
    if (inside) await draw(context, below, inside, options, counts)
    else counts.unread = true
  }
}

function listing(context: ProgramContext, path: string): Promise<Dirent[]> {
  return context.fs.readdir(path, { withFileTypes: true, ...context.cancel })
}

export const tree = defineProgram(
  {
    name: 'tree',
    summary: 'Draw a directory with all that is below',
    usage: ['[OPTION]... [PATH]...'],
    options: {
      all: { short: 'a', help: 'names that begin with . as well' },
      level: { short: 'L', value: 'COUNT', number: 'count', help: 'so many levels' },
    },
  },
  async (context, { options, operands }) => {
    const most = options.level ?? Number.POSITIVE_INFINITY
    const counts: Counts = { directories: 0, files: 0 }
    let drawn = 0
    const code = await forEachOperand(context, operands.length > 0 ? operands : ['.'], async (operand) => {
      const path = context.path(operand)
      const found = await listing(context, path)
      drawn++
      await context.print(`${printable(operand)}\n`)
      if (most > 0) await draw(context, { path, indent: '', depth: 0 }, found, { all: options.all, most }, counts)
    })
    if (code > 0 && drawn === 0) return code
    const { directories, files } = counts
    const plural = (count: number, one: string, many: string) => `${count} ${count === 1 ? one : many}`
    await context.print(`\n${plural(directories, 'directory', 'directories')}, ${plural(files, 'file', 'files')}\n`)
    return counts.unread ? 1 : code
  },
)
