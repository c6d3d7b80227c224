// In a real browser, because xterm is: also guards the private fields of xterm-readline that line-editor.ts uses.
import '@xterm/xterm/css/xterm.css'
import { Terminal } from '@xterm/xterm'
import { afterEach, describe, expect, it } from 'vitest'
import type { ReadLineRequest } from '../shell/interactive.ts'
import { memoryHistory } from '../shell/session.ts'
import { LineEditor } from './line-editor.ts'

const terminals: Terminal[] = []
afterEach(() => {
  for (const terminal of terminals.splice(0)) terminal.dispose()
})

function start(columns = 40) {
  const element = document.createElement('div')
  document.body.append(element)
  const term = new Terminal({ cols: columns, rows: 12, convertEol: true })
  term.open(element)
  terminals.push(term)
  const history = memoryHistory()
  const editor = new LineEditor(term, history)
  const read = (request: Partial<ReadLineRequest> = {}) =>
    editor.readLine({
      prompt: '$ ',
      isComplete: () => true,
      complete: async () => ({ from: 0, candidates: [] }),
      ...request,
    })
  const screen = () => {
    const lines = Array.from({ length: 12 }, (_, row) => term.buffer.active.getLine(row)?.translateToString(true) ?? '')
    return lines.join('\n').trimEnd()
  }
  /** Keys as the terminal sends them; waits until the prompt takes them. */
  const type = async (...keys: string[]) => {
    await expect.poll(screen).toMatch(/\$/)
    for (const key of keys) term.input(key)
    await new Promise<void>((resolve) => term.write('', resolve))
  }
  return { term, editor, history, read, screen, type }
}

describe('LineEditor', () => {
  it('reads a line', async () => {
    const { read, type } = start()
    const line = read()
    await type('l', 's', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'ls' })
  })

  it('moves and deletes by words', async () => {
    const { read, type } = start()
    const line = read()
    await type(...'one two/three four', '\x17', '\x1b\x7f', 'X', '\x1bb', '\x1bb', 'Y', '\x1bf', 'Z', '\x05', '!', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'one YtwoZ/X!' })
  })

  it('deletes to the beginning, to the end, and brings back', async () => {
    const { read, type } = start()
    const line = read()
    await type(...'abcdef', '\x1b[D', '\x1b[D', '\x15', '\x05', '\x19', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'efabcd' })
  })

  it('goes through the history and back to what was being typed', async () => {
    const { history, read, type } = start()
    for (const text of ['first', 'two\nlines']) history.append(text)
    const line = read()
    await type(...'draft', '\x1b[A', '\x1b[A', '\x1b[A', '\x1b[A', '\x1b[B', '\x1b[B', '!', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'draft!' })
    const second = read()
    await type('\x1b[A', '\x1b[A', '\x1b[A', '\r')
    expect(await second).toEqual({ kind: 'line', text: 'first' })
  })

  it('cancels with Ctrl-C', async () => {
    const { read, screen, type } = start()
    const line = read()
    await type('a', 'b', '\x03')
    expect(await line).toEqual({ kind: 'cancelled' })
    await expect.poll(screen).toBe('$ ab^C')
  })

  it('goes on in the next line while the text is not complete', async () => {
    const { read, type } = start()
    const line = read({ isComplete: (text) => text.endsWith("'") })
    await type("'", 'a', '\r', 'b', "'", '\r')
    expect(await line).toEqual({ kind: 'line', text: "'a\nb'" })
  })

  it('takes several pasted lines as one command', async () => {
    const { read, type } = start()
    const line = read()
    await type('echo one\recho\ttwo\r', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'echo one\necho  two' })
  })

  it('drops control characters from what is pasted, C1 too, because the terminal would obey them', async () => {
    const { read, type } = start()
    const line = read()
    await type('echo a\x00\x07b\x1b[2J\u0090c\u009b2Jd\x7f', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'echo ab[2Jc2Jd' })
  })

  it('takes what is pasted for text also where it begins with an escape, and not for keys', async () => {
    const { read, type } = start()
    const line = read()
    await type('\x1b[31mecho\x03 red\x1b[0m\rls', '\r')
    expect(await line).toEqual({ kind: 'line', text: '[31mecho red[0m\nls' })
  })

  it('draws a command of many lines once when it is pasted, not once for each line', async () => {
    const { term, read, type } = start()
    const line = read()
    const pastedLines = Array.from({ length: 500 }, (_, i) => `echo ${i}`)
    let drawn = 0
    const write = term.write.bind(term)
    term.write = (data, done) => {
      drawn += data.length
      write(data, done)
    }
    await type(pastedLines.join('\r'))
    expect(drawn).toBeLessThan(2 * pastedLines.join('\r\n').length)
    term.input('\r')
    expect(await line).toEqual({ kind: 'line', text: pastedLines.join('\n') })
  })

  it('brings back nothing where nothing was deleted', async () => {
    const { read, type } = start()
    const line = read()
    await type('a', '\x19', 'b', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'ab' })
  })

  it('completes a word, and makes keys wait for the answer', async () => {
    const { read, type } = start()
    let answer: (candidates: string[]) => void = () => undefined
    const asked = new Promise<string[]>((resolve) => {
      answer = resolve
    })
    const line = read({ complete: (before) => asked.then((candidates) => ({ from: before.length - 2, candidates })) })
    await type(...'cat fi', '\t', 'x', '\r')
    answer(['file.txt '])
    expect(await line).toEqual({ kind: 'line', text: 'cat file.txt x' })
  })

  it('shows what a word may become, and the line again below', async () => {
    const { read, screen, type } = start()
    const line = read({ complete: async () => ({ from: 0, candidates: ['kid ', 'kill '] }) })
    await type('k', 'i', '\t')
    await expect.poll(screen).toBe('$ ki\nkid   kill\n$ ki')
    await type('\x7f', '\r')
    expect(await line).toEqual({ kind: 'line', text: 'k' })
  })

  it('keeps a script that is pasted while nobody reads', async () => {
    const { term, read } = start()
    const script = Array.from({ length: 800 }, (_, i) => `echo line ${i}`)
    term.input(`${script.join('\r')}\r`)
    term.input('\r')
    expect(await read()).toEqual({ kind: 'line', text: script.join('\n') })
  })

  it('keeps what is typed while nobody reads, but interrupts at once', async () => {
    const { editor, read, term } = start()
    let interrupts = 0
    const off = editor.onInterrupt(() => {
      interrupts++
    })
    for (const key of ['x', '\x03', 'a', '\r', 'b', '\r']) term.input(key)
    expect(interrupts).toBe(1)
    off()
    expect(await read()).toEqual({ kind: 'line', text: 'a' })
    expect(await read()).toEqual({ kind: 'line', text: 'b' })
  })

  it('gives the line back when it is interrupted, now or at the next read', async () => {
    const { editor, read, type } = start()
    const line = read()
    await type('h', 'a', 'l', 'f')
    editor.interruptLine()
    expect(await line).toEqual({ kind: 'interrupted', text: 'half' })
    editor.interruptLine()
    expect(await read({ initial: 'half' })).toEqual({ kind: 'interrupted', text: 'half' })
    const again = read({ initial: 'half' })
    await type('!', '\r')
    expect(await again).toEqual({ kind: 'line', text: 'half!' })
  })

  it('draws a line of several rows again at each width, once', async () => {
    const { read, screen, term, type } = start(60)
    term.write('before\n')
    const line = read()
    const typed = `echo ${'abcdefghi '.repeat(20)}end`
    const drawn = () => screen().replaceAll(/ +$/gm, '')
    const shown = (columns: number) =>
      `before\n${(`$ ${typed}`.match(new RegExp(`.{1,${columns}}`, 'g')) ?? []).join('\n')}`.replaceAll(/ +$/gm, '')
    await type(typed)
    for (const columns of [60, 50, 37, 29, 80, 23, 41]) {
      term.resize(columns, 12)
      await expect.poll(drawn).toBe(shown(columns))
    }
    term.resize(30, 12)
    term.resize(25, 12)
    term.resize(33, 12)
    await expect.poll(drawn).toBe(shown(33))
    await type('\x01', '\x1b[C', 'X', '\r')
    expect(await line).toEqual({ kind: 'line', text: `eX${typed.slice(1)}` })
  })

  it('draws it again where the cursor is not at its end, at the bottom, and after Ctrl-L', async () => {
    const { read, term, type } = start(60)
    term.write('before\n'.repeat(11))
    void read()
    await type(`echo ${'abcdefghi '.repeat(20)}end`, '\x01')
    const all = () => {
      const rows = Array.from({ length: term.buffer.active.length }, (_, row) =>
        term.buffer.active.getLine(row)?.translateToString(true),
      )
      return rows.join('\n')
    }
    const counts = () => ['before', '$ echo', 'end'].map((text) => all().split(text).length - 1)
    for (const columns of [50, 37, 90, 45]) {
      term.resize(columns, 12)
      await expect.poll(() => term.buffer.active.cursorX).toBe(2)
      await expect.poll(counts).toEqual([11, 1, 1])
    }
    await type('\x0c')
    await expect.poll(() => term.buffer.active.cursorY).toBe(0)
    for (const columns of [60, 30]) {
      term.resize(columns, 12)
      await new Promise<void>((resolve) => term.write('', () => term.write('', resolve)))
      expect(term.buffer.active.cursorY).toBe(0)
      expect(term.buffer.active.getLine(term.buffer.active.baseY)?.translateToString(true)).toMatch(/^\$ echo abc/)
    }
  })

  it('begins the prompt on a line of its own', async () => {
    const { read, screen, term, type } = start()
    term.write('no newline')
    const line = read()
    await expect.poll(screen).toBe('no newline⏎\n$')
    await type('\r')
    await line
  })
})
