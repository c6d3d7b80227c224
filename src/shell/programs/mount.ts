// mount: which kegs are mounted, and mounts one.
import { OsError } from '../../base/errors.ts'
import { isKid, type Kid, shortNode } from '../../base/ids.ts'
import type { KegRow } from '../../syscalls/types.ts'
import { saying } from '../messages.ts'
import { UsageError } from '../options.ts'
import { defineProgram, jsonOption, type ProgramContext } from '../program.ts'
import { printable } from '../table.ts'

export function printKegs(context: ProgramContext, rows: readonly KegRow[]): Promise<void> {
  return context.printTable(rows, [
    { title: 'KEG', text: ({ kid }) => kid.slice(0, 14) },
    { title: 'PATH', text: ({ paths }) => (paths.length > 0 ? paths.map(printable).join(' ') : '-') },
    { title: 'VERSION', right: true, text: ({ version }) => (version === null ? '-' : String(version)) },
    { title: 'LED BY', text: ({ home }) => (home === null ? 'nobody who is here' : shortNode(home)) },
  ])
}

/** The keg whose KID begins so, or that is mounted there. @throws {OsError} ENOENT, EINVAL. */
export async function kegNamed(context: ProgramContext, text: string): Promise<Kid> {
  if (isKid(text)) return text
  const rows = await context.keg.list(context.cancel)
  const found = rows.filter(({ kid }) => /^K-[0-9a-f]{4,}$/.test(text) && kid.startsWith(text))
  if (found.length > 1) throw new OsError('EINVAL', `${text} begins the KIDs of several kegs: give more of it`)
  if (!found[0]) throw new OsError('EINVAL', `no keg ${text} is known here: see keg list, or give all of its KID`)
  return found[0].kid
}

export const mount = defineProgram(
  {
    name: 'mount',
    summary: 'Mount a keg, or list those that are mounted',
    usage: ['[--json]', 'KEG PATH'],
    details: [
      'A keg is a tree of its own, with its own versions, that other devices may keep than those that keep /. It is mounted',
      'for everybody, over an empty directory, which is made if nothing is there. KEG is its KID, or the beginning of it.',
      'keg create makes a new one.',
    ].join('\n'),
    examples: ['mount', 'mount K-52ab31c0 /data'],
    options: jsonOption,
    operands: [0, 2],
  },
  async (context, { options, operands: [keg, path] }) => {
    if (keg !== undefined) {
      if (path === undefined) throw new UsageError('missing PATH')
      const kid = await kegNamed(context, keg)
      await saying(`cannot mount at '${path}'`, () => context.keg.mount(kid, context.path(path), context.cancel))
      return 0
    }
    const rows = (await context.keg.list(context.cancel)).filter(({ paths }) => paths.length > 0)
    if (options.json) await context.printJson(rows)
    else await printKegs(context, rows)
    return 0
  },
)
