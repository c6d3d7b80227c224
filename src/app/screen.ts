// The page with a terminal: first screen, prompt, status line, dropped files. The kernel's worker starts when the prompt
// is painted.
import { missingPageApis } from '../adapters/system/features.ts'
import { errorLine } from '../base/errors.ts'
import type { EventFeed } from '../shell/events.ts'
import { lazily } from '../shell/lazy.ts'
import { createShell, type Shell } from '../shell/shell.ts'
import type { Begun } from './begin.ts'
import { acceptDrops } from './drop.ts'
import { storedHistory } from './history.ts'
import { pageHost } from './host.ts'
import type { Kernel } from './kernel.ts'
import { PAINT_TIMEOUT_MS, SLOW_BOOT_MS } from './limits.ts'
import { StatusLine } from './status.ts'
import { PageTerminal } from './terminal.ts'
import { storedUsers } from './users.ts'

const SCREEN_READER_KEY = 'brittlestar.screen-reader'

const TO_TRY = [
  ['help', 'what can be typed here'],
  ['run /bin/examples/mandelbrot.js', 'a picture, computed by all tabs together'],
  ['invite', 'a link and a QR code for another device'],
] as const

/** The first screen; on a narrow one the explanations go below what they explain. */
function welcome(columns: number): string {
  const wide = columns >= 80
  const lines = TO_TRY.map(([command, what]) => {
    const shown = `  \x1b[36m${wide ? command.padEnd(33) : command}\x1b[0m`
    return wide ? `${shown}  ${what}` : `${shown}\n    ${what}`
  })
  const drop = wide ? '\nFiles dropped onto this page are stored in the current directory.\n' : ''
  return `\x1b[1mBrittlestar\x1b[0m: an operating system${wide ? ' ' : '\n'}made of browser tabs.\n\nThree things to try:\n${lines.join('\n')}\n${drop}\n`
}

export function showScreen({ kernel, events, start }: Begun): void {
  const screenReader = localStorage.getItem(SCREEN_READER_KEY) === 'on'
  const history = storedHistory(localStorage)
  const terminal = new PageTerminal(element('terminal'), history, { screenReader })
  const host = {
    ...pageHost(),
    terminalSize: () => terminal.size,
    clearScreen: () => terminal.clear(),
    confirm: (question: string) => terminal.confirm(question),
  }
  const users = storedUsers(localStorage)
  const shell = createShell({ client: kernel.client, host, events, history, users })
  void terminal.write(welcome(terminal.size.columns))
  void shell.interactive(terminal)
  terminal.focus()
  performance.mark('prompt')
  void terminal.prompted(PAINT_TIMEOUT_MS).then(start)

  setUpControls(terminal, screenReader)
  acceptDrops((files) => {
    const put = (context: Parameters<Parameters<typeof shell.foreground>[0]['run']>[0]) =>
      lazily(import('../shell/engine.ts')).then(({ importFiles }) => importFiles(context, files, context.session.cwd))
    shell.foreground({ name: 'put', run: put }).catch((error) => terminal.write(`put: ${errorLine(error)}\n`))
  })
  events.on((event) => {
    if (event.type === 'notice') shell.tell(event.message)
  })
  const status = new StatusLine(element('status'), element('spoken'), kernel.client)
  void reportBoot(kernel, { events, status, shell })
  askForPersistence(events)
}

function element(id: string): HTMLElement {
  const found = document.getElementById(id)
  if (!found) throw new Error(`index.html has no #${id}`)
  return found
}

async function reportBoot(
  kernel: Kernel,
  { events, status, shell }: { events: EventFeed; status: StatusLine; shell: Shell },
): Promise<void> {
  const slow = setTimeout(
    () => status.say('still starting: the browser, or the relay, is slow to answer…', 'busy'),
    SLOW_BOOT_MS,
  )
  try {
    await kernel.booted
    performance.mark('ready')
    await status.follow(events)
  } catch (error) {
    status.say('not running: see the terminal', 'bad')
    const reason = error instanceof Error ? error.message : String(error)
    const missing = missingPageApis()
    const why = missing.length > 0 ? `This browser lacks ${missing.join(', ')}.` : 'Reload the page to try again.'
    shell.tell(`the system could not start: ${reason}. ${why}`)
  } finally {
    clearTimeout(slow)
  }
}

/** Buttons: screen reader mode, and on touch screens the keys that a soft keyboard lacks. */
function setUpControls(terminal: PageTerminal, screenReader: boolean): void {
  const toggle = element('screen-reader')
  const show = (on: boolean) => toggle.setAttribute('aria-pressed', String(on))
  let on = screenReader
  show(on)
  toggle.addEventListener('click', () => {
    on = !on
    show(on)
    terminal.screenReader = on
    localStorage.setItem(SCREEN_READER_KEY, on ? 'on' : 'off')
  })
  for (const button of element('keys').querySelectorAll('button')) {
    button.addEventListener('pointerdown', (event) => event.preventDefault()) // the soft keyboard stays
    button.addEventListener('click', () => terminal.type(KEYS[button.dataset['key'] ?? ''] ?? ''))
  }
}

const KEYS: Readonly<Record<string, string>> = { tab: '\t', up: '\x1b[A', down: '\x1b[B', interrupt: '\x03' }

/**
 * Asks the browser not to evict what is stored: once, after this person has done something and something was
 * stored. Some browsers show a question.
 */
function askForPersistence(events: EventFeed): void {
  const off = events.on((event) => {
    if (event.type !== 'tree' || navigator.userActivation?.hasBeenActive === false) return
    off()
    navigator.storage.persist().catch(() => undefined) // refused is an answer too: df shows it
  })
}
