// Tab: names of commands in the first word, paths elsewhere.
import { OsError } from '../base/errors.ts'
import { MAX_COMPLETIONS } from './limits.ts'
import { resolvePath } from './paths.ts'
import type { ShellParts } from './program.ts'
import type { Session } from './session.ts'

export interface Completion {
  /** Where in the line the completed word begins. */
  from: number
  /** Texts that may stand there, quoted as needed; a directory ends in `/`, everything else in a blank. */
  candidates: string[]
}

const SEPARATOR = /[\s|&;<>]/

/** What may follow the text before the cursor. An unreadable directory offers nothing. */
export async function completeLine(
  before: string,
  { parts, session, signal }: { parts: ShellParts; session: Session; signal: AbortSignal },
): Promise<Completion> {
  const from = wordStart(before)
  const word = unquote(before.slice(from))
  const isCommand = /(^|[|&;])\s*$/.test(before.slice(0, from))
  if (isCommand && !word.includes('/')) {
    const names = [...parts.programs.keys()].filter((name) => name.startsWith(word)).sort()
    return { from, candidates: names.map((name) => `${name} `) }
  }
  const slash = word.lastIndexOf('/') + 1
  const shown = word.slice(0, slash)
  const home = shown.startsWith('~/') ? (session.get('HOME') ?? '/') : undefined
  try {
    const directory = resolvePath(session.cwd, home ? home + shown.slice(1) : shown || '.')
    const entries = await parts.fs.readdir(directory, { withFileTypes: true, signal })
    const prefix = word.slice(slash)
    const fitting = entries.filter(
      ({ name }) => name.startsWith(prefix) && (prefix.startsWith('.') || !name.startsWith('.')),
    )
    const candidates = fitting
      .slice(0, MAX_COMPLETIONS)
      .map((entry) => escapeWord(shown + entry.name) + (entry.isDirectory() ? '/' : ' '))
    return { from, candidates: candidates.sort() }
  } catch (error) {
    if (error instanceof OsError) return { from, candidates: [] }
    throw error
  }
}

/** The longest text with which all candidates begin. */
export function commonPrefix(candidates: readonly string[]): string {
  const [first = '', ...rest] = candidates
  let length = first.length
  for (const candidate of rest) {
    while (!candidate.startsWith(first.slice(0, length))) length--
  }
  return first.slice(0, length)
}

function wordStart(text: string): number {
  let start = 0
  let quote = ''
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? ''
    if (quote) {
      if (char === quote) quote = ''
    } else if (char === '\\') at++
    else if (char === '"' || char === "'") quote = char
    else if (SEPARATOR.test(char)) start = at + 1
  }
  return start
}

function unquote(word: string): string {
  return word.replace(/\$'\\x(..)'|\\(.)|["']/gs, (_, control: string | undefined, escaped: string | undefined) =>
    control ? String.fromCharCode(Number.parseInt(control, 16)) : (escaped ?? ''),
  )
}

function escapeWord(word: string): string {
  const tilde = word.startsWith('~/') ? '~' : ''
  const escaped = word.slice(tilde.length).replace(/[\s"'\\$`&|;<>()*?[\]{}!#~]|\p{Cc}/gu, (char) => {
    // A line holds no ends of lines, nor what a terminal would obey.
    return /\p{Cc}/u.test(char) ? `$'\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}'` : `\\${char}`
  })
  return tilde + escaped
}
