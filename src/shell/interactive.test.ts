import { describe, expect, it } from 'vitest'
import type { ReadLineRequest, ReadLineResult, ShellTerminal } from './interactive.ts'
import { testShell } from './test-shell.ts'

/** A terminal whose user is the test. */
class FakeTerminal implements ShellTerminal {
  screen = ''
  requests: ReadLineRequest[] = []
  #answer: ((result: ReadLineResult) => void) | undefined
  #interrupted = false
  readonly #listeners = new Set<() => void>()

  readLine(request: ReadLineRequest): Promise<ReadLineResult> {
    this.requests.push(request)
    if (this.#interrupted) {
      this.#interrupted = false
      return Promise.resolve({ kind: 'interrupted', text: request.initial ?? '' })
    }
    return new Promise((resolve) => {
      this.#answer = resolve
    })
  }

  get reading(): boolean {
    return this.#answer !== undefined
  }

  async answer(result: ReadLineResult): Promise<void> {
    await expect.poll(() => this.reading).toBe(true)
    const answer = this.#answer
    this.#answer = undefined
    answer?.(result)
  }

  line(text: string): Promise<void> {
    return this.answer({ kind: 'line', text })
  }

  interruptLine(): void {
    if (this.#answer) void this.answer({ kind: 'interrupted', text: 'half' })
    else this.#interrupted = true
  }

  write(bytes: Uint8Array): Promise<void> {
    this.screen += new TextDecoder().decode(bytes)
    return Promise.resolve()
  }

  onInterrupt(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  get running(): boolean {
    return this.#listeners.size > 0
  }

  interrupt(): void {
    for (const listener of this.#listeners) listener()
  }
}

const none = { from: 0, candidates: [] }

function start(files: Record<string, string> = {}) {
  const test = testShell(files)
  const terminal = new FakeTerminal()
  const closed = test.shell.interactive(terminal)
  const plainPrompt = () =>
    terminal.requests
      .at(-1)
      ?.prompt.split('\x1b')
      .map((part, i) => (i === 0 ? part : part.replace(/^\[\d+m/, '')))
      .join('')
  return { ...test, terminal, closed, plainPrompt }
}

describe('the prompt loop', () => {
  it('runs lines, shows the directory and ends with the terminal', async () => {
    const { terminal, closed, plainPrompt } = start({ '/home/guest/d/f': '' })
    await terminal.line('echo hello; cd /home/guest/d')
    await terminal.line('pwd')
    await terminal.answer({ kind: 'closed' })
    await closed
    expect(terminal.screen).toBe('hello\n/home/guest/d\n')
    expect(plainPrompt()).toBe('~/d $ ')
  })

  it('keeps what was run in the history, blank lines not', async () => {
    const { terminal, shell } = start()
    await terminal.line('true')
    await terminal.line('   ')
    await terminal.line('history')
    await terminal.line('history')
    await terminal.line('')
    await expect.poll(() => terminal.reading).toBe(true)
    expect(shell.session.history.lines()).toEqual(['true', 'history'])
  })

  it('shows names of files without their control characters, which the terminal would obey', async () => {
    const name = 'a\x1b[2J\nb\u009b'
    const { terminal, closed } = start({ [`/d/${name}`]: '' })
    await terminal.line('ls /d; ls -l /d; ls /d | cat')
    await terminal.answer({ kind: 'closed' })
    await closed
    const [short, long, ...piped] = terminal.screen.split('\n')
    expect(short).toBe('a?[2J?b?')
    expect(long).toMatch(/^-rw-r--r-- .* a\?\[2J\?b\?$/)
    expect(piped.join('\n')).toBe(`${name}\n`)
  })

  it('tells what people should know between commands, and leaves the line and $? as they were', async () => {
    const { terminal, closed, shell } = start()
    await terminal.line('false')
    await expect.poll(() => terminal.reading).toBe(true)
    shell.tell('the clock \x1b[2J is wrong')
    await expect.poll(() => terminal.screen).toContain('is wrong')
    await expect.poll(() => terminal.requests.at(-1)?.initial).toBe('half')
    await terminal.line('echo $?')
    // A question of a program is not taken for the prompt: it would be answered by the note.
    const asking = shell.foreground({
      name: 'ask',
      run: async () => {
        const answer = terminal.readLine({ prompt: '?', isComplete: () => true, complete: async () => none })
        for (let i = 1; i <= 10; i++) shell.tell(`note ${i}`)
        return (await answer).kind === 'line' ? 7 : 8
      },
    })
    await expect.poll(() => terminal.requests.at(-1)?.prompt).toBe('?')
    await terminal.line('y')
    expect(await asking).toBe(7)
    await expect.poll(() => terminal.screen).toContain('more')
    await terminal.answer({ kind: 'closed' })
    await closed
    const plain = terminal.screen.replaceAll('\x1b[33m', '').replaceAll('\x1b[0m', '')
    const [first, status, ...notes] = plain.trimEnd().split('\n')
    expect([first, status]).toEqual(['Note: the clock ?[2J is wrong', '1'])
    expect(notes).toHaveLength(9)
    expect(notes.at(-1)).toBe('Note: 2 more notes are in dmesg')
  })

  it('asks for another line while a quote is open', async () => {
    const { terminal } = start()
    await terminal.line("echo 'one") // before the parser was loaded
    await expect.poll(() => terminal.requests.at(-1)?.initial).toBe("echo 'one\n")
    expect(terminal.requests.at(-1)?.isComplete("echo 'one\ntwo")).toBe(false)
    expect(terminal.requests.at(-1)?.isComplete("echo 'one\ntwo'")).toBe(true)
    await terminal.line("echo 'one\ntwo'")
    await terminal.answer({ kind: 'closed' })
    expect(terminal.screen).toBe('one\ntwo\n')
  })

  it('stops the foreground command on Ctrl-C and goes on', async () => {
    const { terminal, kernel } = start({ '/p.js': '' })
    kernel.programs.set('/p.js', ({ stdout, killed }) => {
      stdout('running\n')
      return killed.then(() => 0)
    })
    await terminal.line('/p.js; echo never')
    await expect.poll(() => terminal.screen).toBe('running\n')
    terminal.interrupt()
    await terminal.line('echo $?')
    await terminal.answer({ kind: 'closed' })
    expect(terminal.screen).toBe('running\n^C\n130\n')
  })

  it('no longer waits for a command that ignores Ctrl-C after the second one', async () => {
    const { terminal, shell } = start()
    await expect.poll(() => terminal.reading).toBe(true)
    const stuck = shell.foreground({ name: 'stuck', run: () => new Promise<number>(() => undefined) })
    await expect.poll(() => terminal.running).toBe(true)
    terminal.interrupt()
    terminal.interrupt()
    await expect.poll(() => terminal.reading).toBe(true)
    expect(shell.session.lastStatus).toBe(130)
    void stuck
  })

  it('runs a foreground task without losing what is being typed', async () => {
    const { terminal, shell } = start()
    await expect.poll(() => terminal.reading).toBe(true)
    const code = await shell.foreground({ name: 'put', run: (context) => context.print('stored\n').then(() => 0) })
    expect(code).toBe(0)
    await expect.poll(() => terminal.requests.at(-1)?.initial).toBe('half')
    expect(terminal.screen).toBe('stored\n')
  })

  it('tells a mistake of its own and goes on', async () => {
    const { terminal, shell } = start()
    await expect.poll(() => terminal.reading).toBe(true)
    const failing = shell.foreground({ name: 'bad', run: () => Promise.reject(new TypeError('oops')) })
    expect(await failing).toBe(70)
    await expect.poll(() => terminal.reading).toBe(true)
    expect(terminal.screen).toBe('bad: internal error: TypeError: oops\n')
  })

  it('shows a failure in the colour of the prompt', async () => {
    const { terminal } = start()
    await terminal.line('false')
    await expect.poll(() => terminal.requests.at(-1)?.prompt).toContain('\x1b[31m$')
  })
})

describe('completion', () => {
  it('offers commands first and paths after them', async () => {
    const { terminal } = start({ '/a b': '', '/dir/x': '', '/.h': '', '/home/guest/notes': '' })
    await expect.poll(() => terminal.reading).toBe(true)
    const complete = (text: string) => terminal.requests.at(-1)?.complete(text)
    expect(await complete('ki')).toEqual({ from: 0, candidates: ['kid ', 'kill '] })
    expect(await complete('ls; pw')).toEqual({ from: 4, candidates: ['pwd '] })
    expect(await complete('ls ')).toEqual({ from: 3, candidates: ['a\\ b ', 'dir/', 'home/'] })
    expect(await complete('ls "a')).toEqual({ from: 3, candidates: ['a\\ b '] })
    expect(await complete('cat a\\ ')).toEqual({ from: 4, candidates: ['a\\ b '] })
    expect(await complete('cat /dir/')).toEqual({ from: 4, candidates: ['/dir/x '] })
    expect(await complete('cat ~/n')).toEqual({ from: 4, candidates: ['~/notes '] })
    expect(await complete('ls .')).toEqual({ from: 3, candidates: ['.h '] })
    expect(await complete('ls /none/')).toEqual({ from: 3, candidates: [] })
  })

  it('writes what a line cannot hold as the shell reads it back', async () => {
    const { terminal, shell } = start({ '/two\nlines\x07': 'x', '/two\ndirs/in': '' })
    await expect.poll(() => terminal.reading).toBe(true)
    const complete = (text: string) => terminal.requests.at(-1)?.complete(text)
    const found = await complete('cat tw')
    expect(found).toEqual({ from: 4, candidates: ["two$'\\x0a'dirs/", "two$'\\x0a'lines$'\\x07' "] })
    expect(await complete(`cat ${found?.candidates[0]}`)).toEqual({ from: 4, candidates: ["two$'\\x0a'dirs/in "] })
    expect((await shell.execute(`cat ${found?.candidates[1]}`)).stdout).toBe('x')
  })
})
