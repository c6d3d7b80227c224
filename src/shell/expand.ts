// Words to arguments in bash's order: tilde, parameters, field splitting, file name patterns, quote removal.
// Every piece of text remembers whether it was quoted; that decides all of it.
import type { Assignment, Word, WordPart } from 'unbash'
import { expandGlob, type GlobOptions } from './glob.ts'
import type { PatternChar } from './pattern.ts'
import type { Session } from './session.ts'

export interface Expander extends Omit<GlobOptions, 'cwd'> {
  session: Session
}

interface Piece {
  text: string
  /** Quoted text keeps its blanks and its pattern characters. */
  quoted: boolean
  /** Result of an unquoted expansion: blanks in it separate fields. */
  split: boolean
}

type Field = PatternChar[]

/** The fields of one word of a command: none, one or many. */
export async function expandWord(word: Word, expander: Expander): Promise<string[]> {
  const fields = splitFields(
    piecesOf(word, expander.session, /^[A-Za-z_]\w*\+?=/.test(word.text) ? 'assignment' : 'word'),
  )
  const out: string[] = []
  for (const field of fields) {
    const paths = await expandGlob(field, { ...expander, cwd: expander.session.cwd })
    if (paths && paths.length > 0) out.push(...paths)
    else out.push(field.map(({ char }) => char).join(''))
  }
  return out
}

/** An argument such as `NAME=$value` that stays one field whatever it holds. */
export function expandWhole(word: Word, session: Session): string {
  return joined(piecesOf(word, session, 'assignment'))
}

function joined(pieces: readonly Piece[]): string {
  return pieces.map((piece) => piece.text).join('')
}

/** The value of `NAME=value` or `NAME+=value`. */
export function assignmentValue(assignment: Assignment, session: Session): string {
  if (assignment.value.type !== 'Word') return '' // arrays were refused by parse.ts
  const value = joined(piecesOf(assignment.value, session, 'value'))
  return assignment.append ? (session.get(assignment.name) ?? '') + value : value
}

type TildeContext =
  | 'word' // ~ at the beginning
  | 'assignment' // also after = and : as in `echo A=~/x:~/y`
  | 'value' // at the beginning and after :

function piecesOf(word: Word, session: Session, context: TildeContext): Piece[] {
  const parts: readonly WordPart[] = word.parts ?? [literal(word.text)]
  return parts.flatMap((part, i) => {
    if (part.type !== 'Literal') return partPieces(part, session)
    return literalPieces(part.text, session, { context, first: i === 0, last: i === parts.length - 1 })
  })
}

function literal(text: string): WordPart {
  return { type: 'Literal', pos: 0, end: text.length, text, value: text }
}

function partPieces(part: WordPart, session: Session): Piece[] {
  switch (part.type) {
    case 'SingleQuoted':
    case 'AnsiCQuoted':
      return [{ text: part.value, quoted: true, split: false }]
    case 'DoubleQuoted':
    case 'LocaleString':
      return quotedPieces(part.parts, session)
    case 'SimpleExpansion':
      return [{ text: parameter(part.text.slice(1), session), quoted: false, split: true }]
    case 'ParameterExpansion':
      return [{ text: parameter(part.parameter, session), quoted: false, split: true }]
    case 'Glob':
      if (part.kind !== 'bracket') return [{ text: part.text, quoted: false, split: false }]
      return [
        { text: '[', quoted: false, split: false },
        ...part.parts.flatMap((inner) =>
          inner.type === 'Literal'
            ? literalPieces(inner.text, session, { context: 'word', first: false, last: false })
            : partPieces(inner, session),
        ),
        { text: ']', quoted: false, split: false },
      ]
    default:
      return [{ text: part.text, quoted: false, split: false }] // parse.ts has refused all others
  }
}

function quotedPieces(parts: readonly WordPart[], session: Session): Piece[] {
  // "$@" without positional parameters is no field at all; with anything beside it, an empty text.
  if (parts.length > 0 && parts.every((part) => part.type === 'SimpleExpansion' && part.text === '$@')) return []
  const text = parts.map((part) => {
    if (part.type === 'SimpleExpansion') return parameter(part.text.slice(1), session)
    if (part.type === 'ParameterExpansion') return parameter(part.parameter, session)
    return part.type === 'Literal' ? part.value : part.text
  })
  return [{ text: text.join(''), quoted: true, split: false }]
}

function parameter(name: string, session: Session): string {
  if (name === '?') return String(session.lastStatus)
  if (name === '#') return '0'
  if (name === '0') return 'sh'
  return session.get(name) ?? ''
}

/** Backslashes and tildes of unquoted text. */
function literalPieces(
  source: string,
  session: Session,
  { context, first, last }: { context: TildeContext; first: boolean; last: boolean },
): Piece[] {
  const text = source.replace(/\\([\s\S])/g, (pair, char) => (char === '\n' ? '' : pair)) // joined lines
  const pieces: Piece[] = []
  let plain = ''
  const add = (quoted: string) => {
    if (plain !== '') pieces.push({ text: plain, quoted: false, split: false })
    pieces.push({ text: quoted, quoted: true, split: false })
    plain = ''
  }
  let tildeHere = first
  let sawEquals = context === 'value' || !first // the first = of an assignment stands in its first part
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? ''
    const tilde = char === '~' && tildeHere ? tildePrefix(text.slice(at), { last, context, session }) : undefined
    if (char === '\\' && at + 1 < text.length) {
      const codePoint = String.fromCodePoint(text.codePointAt(at + 1) ?? 0)
      add(codePoint)
      at += codePoint.length
    } else if (tilde) {
      add(tilde.directory)
      at += tilde.length - 1
    } else plain += char
    tildeHere = context !== 'word' && ((char === '=' && !sawEquals) || (char === ':' && sawEquals))
    sawEquals ||= char === '='
  }
  if (plain !== '') pieces.push({ text: plain, quoted: false, split: false })
  return pieces
}

/** `~`, `~+` or `~-`, when a slash or the word's end follows, or a colon in an assignment. */
function tildePrefix(
  text: string,
  { last, context, session }: { last: boolean; context: TildeContext; session: Session },
): { directory: string; length: number } | undefined {
  const prefix = (context === 'word' ? /^~[+-]?(?=\/|$)/ : /^~[+-]?(?=[/:]|$)/).exec(text)?.[0]
  if (prefix === undefined || (prefix.length === text.length && !last)) return undefined
  const directory = session.get(prefix === '~' ? 'HOME' : prefix === '~+' ? 'PWD' : 'OLDPWD')
  return directory === undefined ? undefined : { directory, length: prefix.length }
}

const BLANK = /[ \t\n]/

function splitFields(pieces: readonly Piece[]): Field[] {
  const fields: Field[] = []
  let field: Field | undefined
  for (const piece of pieces) {
    if (piece.quoted) field ??= []
    for (const char of piece.text) {
      if (piece.split && BLANK.test(char)) {
        if (field) fields.push(field)
        field = undefined
      } else {
        field ??= []
        field.push({ char, quoted: piece.quoted })
      }
    }
  }
  if (field) fields.push(field)
  return fields
}
