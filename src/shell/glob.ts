// Patterns to paths: walks the tree one segment at a time, reading only directories that a pattern asks about.
import { OsError } from '../base/errors.ts'
import type { FileSystem } from '../syscalls/fs.ts'
import { MAX_GLOB_PATHS } from './limits.ts'
import { Complaint } from './messages.ts'
import { resolvePath } from './paths.ts'
import { compilePattern, type PatternChar } from './pattern.ts'

export interface GlobOptions {
  fs: FileSystem
  cwd: string
  signal: AbortSignal
}

/** Errors that mean "nothing there" while matching: bash skips what it cannot read. */
const NO_MATCH = new Set(['ENOENT', 'ENOTDIR', 'EACCES', 'ENAMETOOLONG'])

/**
 * Paths that match, sorted, written as the pattern was (relative stays relative).
 * @returns undefined when nothing in the word is special, an empty list when nothing matches.
 */
export async function expandGlob(chars: readonly PatternChar[], options: GlobOptions): Promise<string[] | undefined> {
  const segments = splitSegments(withoutEscapes(chars))
  const matchers = segments.map((segment) => compilePattern(segment))
  if (matchers.every((matcher) => matcher === undefined)) return undefined
  // As bash: a backslash alone in the last place quotes nothing, and is nothing.
  const [only, ...others] = segments.at(-1) ?? []
  if (only?.char === '\\' && !only.quoted && others.length === 0) segments[segments.length - 1] = []
  const lastPattern = matchers.findLastIndex((matcher) => matcher !== undefined)
  let paths = ['']
  for (let i = 0; i < segments.length; i++) {
    const matcher = matchers[i]
    const text = segments[i]?.map(({ char }) => char).join('') ?? ''
    if (!matcher) paths = paths.map((path) => path + text)
    else paths = await matchLevel(paths, matcher, i === segments.length - 1, options)
    if (i < segments.length - 1) paths = paths.map((path) => `${path}/`)
  }
  if (lastPattern < segments.length - 1) paths = await existing(paths, options)
  return paths.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
}

/**
 * A backslash that came out of a variable quotes the next character, but only where a pattern matches; at the end it
 * stands for itself.
 */
function withoutEscapes(chars: readonly PatternChar[]): PatternChar[] {
  const out: PatternChar[] = []
  for (let at = 0; at < chars.length; at++) {
    const current = chars[at] as PatternChar
    const next = chars[at + 1]
    if (current.char !== '\\' || current.quoted || !next) out.push(current)
    else {
      if (next.char !== '/' || out.at(-1)?.char !== '/') out.push({ char: next.char, quoted: true })
      at++
    }
  }
  return out
}

function splitSegments(chars: readonly PatternChar[]): PatternChar[][] {
  const segments: PatternChar[][] = [[]]
  for (const char of chars) {
    if (char.char === '/') segments.push([])
    else segments.at(-1)?.push(char)
  }
  return segments
}

async function matchLevel(
  paths: readonly string[],
  matcher: (name: string) => boolean,
  last: boolean,
  { fs, cwd, signal }: GlobOptions,
): Promise<string[]> {
  const found: string[] = []
  for (const path of paths) {
    const entries = await orNothing(() =>
      fs.readdir(path === '' ? cwd : resolvePath(cwd, path), { withFileTypes: true, signal }),
    )
    for (const entry of entries ?? []) {
      if (matcher(entry.name) && (last || entry.isDirectory())) found.push(path + entry.name)
    }
    if (found.length > MAX_GLOB_PATHS) {
      throw new Complaint('EFBIG', `a pattern matches more than ${MAX_GLOB_PATHS} names: find can go through them`)
    }
  }
  return found
}

async function existing(paths: readonly string[], { fs, cwd, signal }: GlobOptions): Promise<string[]> {
  const found: string[] = []
  for (const path of paths) {
    if (await orNothing(() => fs.stat(resolvePath(cwd, path), { signal }))) found.push(path)
  }
  return found
}

async function orNothing<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof OsError && NO_MATCH.has(error.code)) return undefined
    throw error
  }
}
