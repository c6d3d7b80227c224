// What programs print must never become input: keeps xterm from answering questions in its output (who are you,
// where is the cursor, which colour) and from reporting focus and mouse, all of which arrive as if they were typed.
import type { IDisposable, Terminal } from '@xterm/xterm'

/** Modes of `CSI ? … h` that change what is sent: other codes for arrow keys, mouse, focus, pasted text in brackets. */
const REPORTING_MODES: ReadonlySet<unknown> = new Set([1, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1016, 2004])

const QUESTIONS = [
  { final: 'c' },
  { prefix: '>', final: 'c' },
  { final: 'n' },
  { prefix: '?', final: 'n' },
  { intermediates: '$', final: 'p' },
  { prefix: '?', intermediates: '$', final: 'p' },
  { final: 't' },
] as const

const COLOUR_COMMANDS = [4, 10, 11, 12] as const

export function muteReplies({ parser }: Pick<Terminal, 'parser'>): IDisposable[] {
  const swallow = () => true
  return [
    ...QUESTIONS.map((id) => parser.registerCsiHandler(id, swallow)),
    ...COLOUR_COMMANDS.map((code) => parser.registerOscHandler(code, (data) => data.includes('?'))),
    parser.registerDcsHandler({ intermediates: '$', final: 'q' }, swallow),
    parser.registerCsiHandler({ prefix: '?', final: 'h' }, (params) =>
      params.some((mode) => REPORTING_MODES.has(mode)),
    ),
  ]
}
