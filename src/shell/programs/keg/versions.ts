// What the subcommands of keg share.
import type { OsError } from '../../../base/errors.ts'
import { type Kid, shortNode } from '../../../base/ids.ts'
import type { PathChange, VersionRow } from '../../../syscalls/types.ts'
import { reason } from '../../messages.ts'
import { UsageError } from '../../options.ts'
import { parentPath } from '../../paths.ts'
import type { ProgramContext } from '../../program.ts'
import { formatTime, printable } from '../../table.ts'

export function printVersions(context: ProgramContext, rows: readonly VersionRow[]): Promise<void> {
  return context.printTable(rows, [
    { title: 'VERSION', right: true, text: ({ version }) => String(version) },
    { title: 'WHEN', text: ({ atMs }) => formatTime(atMs) },
    { title: 'BY', text: ({ by }) => (by === null ? '-' : shortNode(by)) },
    { title: 'NAME', text: ({ names }) => (names.length > 0 ? names.join(',') : '-') },
    { title: 'WHAT', text: (row) => said(row) },
  ])
}

function said({ what, proof, branch }: VersionRow): string {
  if (proof === 'wrong') return `FORGED: ${what}`
  return branch ? `branch: ${what}` : what || '-'
}

const SIGNS = { added: 'A', changed: 'M', removed: 'D' } as const

/** As git's short form: A, M or D and a path. */
export function formatChanges(changes: readonly PathChange[], more: boolean, below: string): string {
  const base = below === '/' ? '/' : `${below}/`
  const lines = changes.map(({ what, path }) => `${SIGNS[what]}  ${printable(path === '' ? below : base + path)}\n`)
  return lines.join('') + (more ? '…  and more\n' : '')
}

/** Operands that are paths have a slash, or are a dot; all others are versions. */
export function isPath(operand: string): boolean {
  return operand.includes('/') || operand === '.' || operand === '..'
}

/** Operands that are no paths, and the one that is. @throws {UsageError} for several. */
export function withPath(context: ProgramContext, operands: readonly string[]): { words: string[]; path: string } {
  const [first, second] = operands.filter(isPath)
  if (second !== undefined) throw new UsageError(`extra operand '${second}'`)
  return {
    words: operands.filter((operand) => !isPath(operand)),
    path: first === undefined ? '/' : context.path(first),
  }
}

/** The keg that a path is in; undefined: `/` itself. */
export async function kegOf(context: ProgramContext, path: string): Promise<Kid | undefined> {
  for (let at = path; at !== '/'; at = await context.fs.realpath(parentPath(at), context.cancel)) {
    const { keg } = (await context.fs.lstat(at, context.cancel)).info
    if (keg) return keg
  }
  return undefined
}

/** The newest version of the keg that a path is in. */
export async function newest(context: ProgramContext, path = '/'): Promise<VersionRow | undefined> {
  return (await context.keg.log({ path, all: true, limit: 1, ...context.cancel }))[0]
}

/** What is not there is a version as often as a file: the kernel says which. */
export function explain(error: OsError): string {
  return error.code === 'ENOENT' ? error.message : reason(error)
}
