// echo: prints its arguments. Options are bash's, which takes everything it does not know as text.

import { formatHelp } from '../options.ts'
import type { Program } from '../program.ts'

const NAME = 'echo'
const SUMMARY = 'Print a line of text'
const HELP = formatHelp(
  {
    name: NAME,
    summary: SUMMARY,
    usage: ['[-neE] [TEXT]...'],
    details: '-n: do not end the line. -e: \\n, \\t, \\x41 and the like have a meaning. -E: they have none.',
  },
  {},
)

export const echo: Program = {
  name: NAME,
  summary: SUMMARY,
  help: HELP,
  async run(context) {
    const words = [...context.args]
    if (words.length === 1 && words[0] === '--help') {
      await context.print(HELP)
      return 0
    }
    let newline = true
    let escapes = false
    while (words[0] && /^-[neE]+$/.test(words[0])) {
      for (const letter of words.shift()?.slice(1) ?? '') {
        if (letter === 'n') newline = false
        else escapes = letter === 'e'
      }
    }
    const text = words.join(' ')
    const { shown, stop } = escapes ? withEscapes(text) : { shown: text, stop: false }
    await context.print(shown + (newline && !stop ? '\n' : ''))
    return 0
  },
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  e: '\x1b',
  E: '\x1b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
}

/** `\c` stops the output. */
function withEscapes(text: string): { shown: string; stop: boolean } {
  const [before = '', ...after] = splitAtStop(text)
  const shown = before.replace(/\\(0[0-7]{0,3}|x[0-9a-fA-F]{1,2}|.)/gs, (whole, code: string) => {
    if (code.startsWith('0')) return String.fromCharCode(Number.parseInt(code, 8) & 0xff)
    if (code.length > 1) return String.fromCharCode(Number.parseInt(code.slice(1), 16))
    return ESCAPES[code] ?? whole
  })
  return { shown, stop: after.length > 0 }
}

function splitAtStop(text: string): string[] {
  for (let at = 0; at < text.length; at++) {
    if (text[at] !== '\\') continue
    if (text[at + 1] === 'c') return [text.slice(0, at), text.slice(at + 2)]
    at++
  }
  return [text]
}
