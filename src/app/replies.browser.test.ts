// In a real browser, because xterm is.
import { Terminal } from '@xterm/xterm'
import { expect, it } from 'vitest'
import { muteReplies } from './replies.ts'

const QUESTIONS = [
  '\x1b[c',
  '\x1b[>c',
  '\u009bc',
  '\x1b[5n',
  '\x1b[6n',
  '\x1b[?6n',
  '\x1b[4$p',
  '\x1b[?25$p',
  '\x1b[18t',
  '\x1b]4;1;?\x07',
  '\x1b]10;?\x07',
  '\x1b]11;?;?\x07',
  '\x1b]12;?\x07',
  '\x1bP$qm\x1b\\',
]

/** What arrives as if typed when the output is written. */
async function typedAfter(output: string, muted: boolean): Promise<string> {
  const element = document.createElement('div')
  document.body.append(element)
  const term = new Terminal()
  term.open(element)
  if (muted) muteReplies(term)
  let typed = ''
  term.onData((data) => {
    typed += data
  })
  await new Promise<void>((resolve) => term.write(output, resolve))
  const modes = term.modes
  if (modes.applicationCursorKeysMode) typed += 'other arrows'
  if (modes.mouseTrackingMode !== 'none' || modes.sendFocusMode || modes.bracketedPasteMode) typed += 'reports'
  term.dispose()
  element.remove()
  return typed
}

it('xterm answers questions in its output, and none of them when muted', async () => {
  expect(await typedAfter(QUESTIONS.join(''), false)).not.toBe('')
  for (const question of QUESTIONS) expect(await typedAfter(question, true), JSON.stringify(question)).toBe('')
})

it('output cannot switch on other arrow keys or reports of mouse, focus or pasting', async () => {
  for (const mode of ['1', '9', '1000', '1003', '1004', '2004', '25;1000']) {
    expect(await typedAfter(`\x1b[?${mode}h`, true), mode).toBe('')
  }
})
