// File name patterns: `*`, `?`, `[…]`. One name at a time, by the two-pointer method: time is at most
// length × pattern, whatever the pattern. Pure; walking directories is glob.ts.

/** A character of a word after expansion; a quoted one never has a special meaning. */
export interface PatternChar {
  char: string
  quoted: boolean
}

type Token =
  | { type: 'char'; char: string }
  | { type: 'one' }
  | { type: 'many' }
  | { type: 'set'; has: (char: string) => boolean }

const CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /[\p{L}\p{Nd}]/u,
  alpha: /\p{L}/u,
  blank: /[ \t]/,
  cntrl: /\p{Cc}/u,
  digit: /[0-9]/,
  graph: /[^\s\p{Cc}]/u,
  lower: /\p{Ll}/u,
  print: /[^\p{Cc}]/u,
  punct: /[\p{P}\p{S}]/u,
  space: /\s/,
  upper: /\p{Lu}/u,
  xdigit: /[0-9A-Fa-f]/,
}

/**
 * The matcher of one path segment, or undefined when nothing in it is special.
 * @param hidden names that begin with a dot match as others do.
 */
export function compilePattern(chars: readonly PatternChar[], hidden = false): ((name: string) => boolean) | undefined {
  const tokens: Token[] = []
  let special = false
  let at = 0
  while (at < chars.length) {
    const { char, quoted } = chars[at] as PatternChar
    const set = char === '[' && !quoted ? parseSet(chars, at) : undefined
    if (set) {
      tokens.push({ type: 'set', has: set.has })
      at = set.end
    } else {
      if (!quoted && char === '*') tokens.push({ type: 'many' })
      else if (!quoted && char === '?') tokens.push({ type: 'one' })
      else tokens.push({ type: 'char', char })
      at++
    }
    special ||= tokens.at(-1)?.type !== 'char'
  }
  if (!special) return undefined
  const first = tokens[0]
  const dotted = first?.type === 'char' && first.char === '.'
  return (name) => (hidden || dotted || !name.startsWith('.')) && matches(tokens, [...name])
}

function matches(tokens: readonly Token[], name: readonly string[]): boolean {
  let token = 0
  let at = 0
  let starToken = -1
  let starAt = 0
  while (at < name.length) {
    const current = tokens[token]
    if (current?.type === 'many') {
      starToken = token++
      starAt = at
    } else if (current && matchesOne(current, name[at] ?? '')) {
      token++
      at++
    } else if (starToken >= 0) {
      token = starToken + 1
      at = ++starAt
    } else return false
  }
  while (tokens[token]?.type === 'many') token++
  return token === tokens.length
}

function matchesOne(token: Token, char: string): boolean {
  if (token.type === 'char') return token.char === char
  return token.type === 'set' ? token.has(char) : true
}

/** A bracket expression that begins at `start`, or undefined when it is never closed: then `[` is itself. */
function parseSet(
  chars: readonly PatternChar[],
  start: number,
): { has: (char: string) => boolean; end: number } | undefined {
  const tests: ((char: string) => boolean)[] = []
  let at = start + 1
  const plain = (i: number, wanted: string) => chars[i]?.char === wanted && !chars[i]?.quoted
  const negated = plain(at, '!') || plain(at, '^')
  if (negated) at++
  for (let first = true; ; first = false) {
    const current = chars[at]
    if (!current || current.char === '/') return undefined
    if (plain(at, ']') && !first) break
    const named = plain(at, '[') && plain(at + 1, ':') ? parseClass(chars, at) : undefined
    if (named) {
      tests.push(named.has)
      at = named.end
    } else if (plain(at + 1, '-') && chars[at + 2] && !plain(at + 2, ']')) {
      const low = current.char
      const high = chars[at + 2]?.char ?? low
      tests.push((char) => low <= char && char <= high)
      at += 3
    } else {
      tests.push((char) => char === current.char)
      at++
    }
  }
  return { has: (char) => tests.some((test) => test(char)) !== negated, end: at + 1 }
}

function parseClass(chars: readonly PatternChar[], start: number) {
  const rest = chars.slice(start + 2, start + 12)
  const name = /^[a-z]+/.exec(rest.map(({ char }) => char).join(''))?.[0] ?? ''
  const test = CLASSES[name]
  if (!test || rest[name.length]?.char !== ':' || rest[name.length + 1]?.char !== ']') return undefined
  return { has: (char: string) => test.test(char), end: start + 2 + name.length + 2 }
}
